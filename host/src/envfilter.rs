//! Which of a command's environment passes: `docs/protocols/agentproto.md` section 9.

mod glob;
mod re2;

use std::collections::HashSet;

use trunkline_core::agentproto::AgentConfig;

use glob::Glob;

/// The variable by which a local side names what it changed on purpose. It never passes itself.
const MARKER: &str = "MPROXY_CHANGED_ENVS";

/// Bytes of names that one list of patterns is matched against in all: a thousand patterns against
/// names of 64 KiB together.
const MATCHING: usize = 64 << 20;

/// What trying a name costs beside its bytes.
const NAME: usize = 16;

/// How many patterns of a list are used, and how long one may be. What exceeds never matches.
///
/// `docs/protocols/agentproto.md` section 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PatternLimits {
    /// Patterns used of each list, counted from its front. Default 1024.
    pub count: usize,
    /// Length of one pattern in bytes, slashes included. Default 1024.
    pub length: usize,
}

impl Default for PatternLimits {
    fn default() -> Self {
        Self { count: 1024, length: 1024 }
    }
}

/// The entries of `env` that `config` lets through, in their order, duplicates included.
///
/// An entry is dropped when a pattern of `env_remove` matches its name; else it is kept when the
/// marker variable names it or a pattern of `env_keep` matches; else it is dropped. Without an
/// environment the result is empty, so that a filtered command never falls back to the agent's own.
/// Nothing is ever added.
///
/// A pattern between slashes is a regular expression in the syntax of RE2, found anywhere in the
/// name; any other is a glob over the whole name. One that cannot be parsed, or lies beyond
/// `limits`, matches nothing. Of regular expressions this differs from RE2 as Go has it: one that
/// compiles to more than 1 MiB (all of a list: 32 MiB) or nests deeper than 250 matches nothing, nor
/// do patterns behind 64 MiB of names that were tried; nested repetitions may
/// multiply to more than 1000, and any name of a Unicode class the `regex` crate knows is
/// accepted. Every pattern is compiled once per call and none is held longer than its turn.
///
/// `docs/protocols/agentproto.md` section 9.
#[must_use]
pub fn filter(env: Option<&[String]>, config: &AgentConfig, limits: PatternLimits) -> Vec<String> {
    let entries = env.unwrap_or_default();
    let names: Vec<&str> = entries.iter().map(|entry| split(entry).0).collect();
    let changed = changed_names(entries);

    let removed = matches(&names, config.env_remove.as_deref(), limits);
    let mut kept = matches(&names, config.env_keep.as_deref(), limits);
    for (kept, name) in kept.iter_mut().zip(&names) {
        *kept |= changed.contains(name);
    }

    let verdicts = names.iter().zip(removed.iter().zip(&kept));
    let passes = verdicts.map(|(name, (removed, kept))| *name != MARKER && !removed && *kept);
    entries
        .iter()
        .zip(passes)
        .filter(|(_, passes)| *passes)
        .map(|(entry, _)| entry.clone())
        .collect()
}

/// Name and value of an entry; an entry without `=` is all name.
fn split(entry: &str) -> (&str, &str) {
    entry.split_once('=').unwrap_or((entry, ""))
}

/// The names the first marker lists. Later markers do not count, even when the first is empty.
fn changed_names(entries: &[String]) -> HashSet<&str> {
    let markers = entries.iter().map(|entry| split(entry)).filter(|(name, _)| *name == MARKER);
    let list = markers.map(|(_, value)| value).next().unwrap_or_default();
    list.split(':').filter(|name| !name.is_empty()).collect()
}

/// For each name whether any of the patterns matches it.
///
/// Patterns are the outer loop: a compiled expression can be large, and there may be a thousand.
/// Both what they take to compile and what they are matched against have a budget, so that a
/// configuration can delay an agent by seconds and not by minutes.
fn matches(names: &[&str], patterns: Option<&[String]>, limits: PatternLimits) -> Vec<bool> {
    let mut matched = vec![false; names.len()];
    let (mut programs, mut matching) = (re2::BUDGET, MATCHING);
    let once: usize = names.iter().map(|name| name.len() + NAME).sum();
    for pattern in patterns.unwrap_or_default().iter().take(limits.count) {
        if pattern.len() > limits.length {
            continue;
        }
        let Some(left) = matching.checked_sub(once) else { break };
        matching = left;
        let Some(pattern) = Pattern::new(pattern, &mut programs) else { continue };
        for (matched, name) in matched.iter_mut().zip(names) {
            *matched = *matched || pattern.is_match(name);
        }
    }
    matched
}

enum Pattern {
    Glob(Glob),
    Regex(Box<regex::Regex>),
}

impl Pattern {
    /// `None` for what cannot be parsed, or is beyond what is left for programs.
    fn new(pattern: &str, programs: &mut usize) -> Option<Self> {
        let inner = pattern.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
        match inner {
            Some(inner) if !inner.is_empty() => {
                re2::compile(inner, programs).map(|regex| Self::Regex(Box::new(regex)))
            }
            _ => Glob::new(pattern).map(Self::Glob),
        }
    }

    fn is_match(&self, name: &str) -> bool {
        match self {
            Self::Glob(glob) => glob.is_match(name),
            // Not `is_match`: in regex 1.13 it answers no for `\W|(?-u:\B)` on "Kés", where `find`
            // passes over the empty match inside the "é" and finds the letter itself.
            Self::Regex(regex) => regex.find(name).is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(env: &[&str], keep: &[&str], remove: &[&str], limits: PatternLimits) -> Vec<String> {
        let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let config = AgentConfig { env_keep: Some(owned(keep)), env_remove: Some(owned(remove)) };
        filter(Some(&owned(env)), &config, limits)
    }

    #[test]
    fn patterns_beyond_the_limits_never_match() {
        let limits = PatternLimits { count: 2, length: 4 };
        assert_eq!(run(&["A=", "B=", "C="], &["A", "B", "C"], &[], limits), ["A=", "B="]);
        assert_eq!(run(&["ABCDE="], &["ABCDE", "*"], &["/^AB/"], limits), ["ABCDE="]);
        assert_eq!(run(&["ABCD="], &["ABCD"], &[], limits), ["ABCD="]);
    }

    #[test]
    fn a_pattern_that_is_too_large_to_compile_is_ignored() {
        let env = ["AAAA=1", "B=2"];
        let limits = PatternLimits::default();
        assert_eq!(run(&env, &["/((((A{1000}){1000}){1000})|A)/", "B"], &[], limits), ["B=2"]);
    }

    #[test]
    fn patterns_beyond_what_they_may_cost_together_never_match() {
        let limits = PatternLimits::default();
        // Each compiles to more than 128 KiB, so that less than forty fit.
        let large: Vec<String> = (0..40).map(|n| format!("/x{n}.{{400}}/")).collect();
        let mut left = re2::BUDGET;
        let compiled = large.iter().filter(|p| Pattern::new(p, &mut left).is_some()).count();
        assert!((10..40).contains(&compiled), "{compiled} of 40");
        // A thousand of the usual size do.
        let small: Vec<String> = (0..1_023).map(|n| format!("/^NAME_{n}_[A-Z]*$/")).collect();
        let mut patterns: Vec<&str> = small.iter().map(String::as_str).collect();
        patterns.push("/^A$/");
        assert_eq!(run(&["A=1", "B=1"], &patterns, &[], limits), ["A=1"]);
    }

    #[test]
    fn patterns_behind_too_many_names_never_match() {
        let limits = PatternLimits::default();
        let name = format!("{}=1", "A".repeat(1 << 20));
        let env = [name.as_str(), "B=1"];
        let mut patterns = vec!["C"; 62];
        patterns.push("B");
        assert_eq!(run(&env, &patterns, &[], limits), ["B=1"]);
        patterns.insert(0, "C");
        assert_eq!(run(&env, &patterns, &[], limits), [""; 0]);
    }

    #[test]
    fn a_marker_without_a_value_is_dropped_and_names_nothing() {
        let limits = PatternLimits::default();
        assert_eq!(run(&["MPROXY_CHANGED_ENVS", "A=1"], &["*"], &[], limits), ["A=1"]);
        assert_eq!(
            run(&["MPROXY_CHANGED_ENVS", "MPROXY_CHANGED_ENVS=A", "A=1"], &[], &[], limits),
            [""; 0]
        );
    }

    #[test]
    fn an_empty_match_inside_a_character_does_not_hide_a_later_one() {
        let limits = PatternLimits::default();
        assert_eq!(run(&["Kés=1"], &["/\\W|\\B/"], &[], limits), ["Kés=1"]);
    }

    #[test]
    fn values_never_count() {
        let limits = PatternLimits::default();
        assert_eq!(run(&["A=SECRET=x", "B=1"], &["*"], &["/SECRET/", "*=*"], limits).len(), 2);
    }

    #[test]
    fn an_empty_pattern_is_a_glob_for_the_empty_name() {
        let limits = PatternLimits::default();
        assert_eq!(run(&["=x", "A=1"], &[""], &[], limits), ["=x"]);
        assert_eq!(run(&["//=x", "A=1"], &["//"], &[], limits), ["//=x"]);
    }
}
