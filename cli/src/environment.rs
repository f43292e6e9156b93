//! The command and its environment, as the wire can carry them.

use std::ffi::OsString;

use trunkline_core::agentproto::{AgentConfig, ExecRequest};

use trunkline_host::envfilter::PatternLimits;

use crate::args::Exec;
use crate::report::{Failure, say};

/// The entry by which a caller marks names that pass whatever the patterns keep.
const CHANGED: &str = "MPROXY_CHANGED_ENVS";

/// What to send for a command line: the request, and a configuration when patterns are used.
pub(crate) fn request(args: &Exec) -> Result<(ExecRequest, Option<AgentConfig>), Failure> {
    let mut argv = Vec::new();
    for (index, word) in args.command.iter().enumerate() {
        argv.push(utf8(word, || {
            if index == 0 { "the command".into() } else { format!("argument {index}") }
        })?);
    }
    if argv.first().is_none_or(String::is_empty) {
        return Err(Failure::usage("the command is empty"));
    }
    let mut request =
        ExecRequest { cwd: args.cwd.clone().unwrap_or_default(), ..ExecRequest::default() };
    request.fds = args.fd.clone();
    let mut config = None;
    if args.env_only {
        request.env = Some(args.env.clone());
    } else if !args.env_keep.is_empty() || !args.env_remove.is_empty() {
        // Names with a colon cannot stand in the list of names that pass.
        let mut keep = args.env_keep.clone();
        keep.extend(
            args.env
                .iter()
                .map(|entry| name_of(entry))
                .filter(|name| name.contains(':'))
                .map(glob_of),
        );
        let patterns =
            AgentConfig { env_keep: Some(keep), env_remove: Some(args.env_remove.clone()) };
        request.env = Some(own_environment(&args.env, &patterns));
        config = Some(patterns);
    } else if !args.env.is_empty() {
        argv = through_env(&args.env, argv);
    }
    request.path = argv.first().cloned().unwrap_or_default();
    request.argv = Some(argv);
    Ok((request, config))
}

fn utf8(word: &OsString, what: impl FnOnce() -> String) -> Result<String, Failure> {
    word.to_str().map(str::to_owned).ok_or_else(|| {
        Failure::usage(format!("{} is not UTF-8, and the wire carries only text: {word:?}", what()))
    })
}

/// The wire replaces an environment or leaves it alone; to add to it, the far side's `env` does.
fn through_env(env: &[String], argv: Vec<String>) -> Vec<String> {
    let mut words = vec!["env".to_string()];
    words.extend(env.iter().cloned());
    if argv.first().is_some_and(|command| command.contains('=')) {
        // `env` would take the command for one more assignment.
        words.extend(["sh", "-c", "exec \"$0\" \"$@\""].map(str::to_string));
    }
    words.extend(argv);
    words
}

fn name_of(entry: &str) -> &str {
    entry.split('=').next().unwrap_or_default()
}

/// A pattern that matches this name alone.
fn glob_of(name: &str) -> String {
    name.chars().flat_map(|c| ['\\', c]).collect()
}

/// Whether the agent would let a variable of this name through.
fn passes(name: &str, patterns: &AgentConfig) -> bool {
    let entry = [format!("{name}=")];
    !trunkline_host::envfilter::filter(Some(&entry), patterns, PatternLimits::default()).is_empty()
}

/// This process's environment with `added` on top, and those names marked to pass.
fn own_environment(added: &[String], patterns: &AgentConfig) -> Vec<String> {
    let names: Vec<&str> = added.iter().map(|entry| name_of(entry)).collect();
    let mut env = Vec::new();
    let listed: Vec<&str> = names.iter().copied().filter(|name| !name.contains(':')).collect();
    if !listed.is_empty() {
        env.push(format!("{CHANGED}={}", listed.join(":")));
    }
    for (name, value) in std::env::vars_os() {
        match (name.to_str(), value.to_str()) {
            (Some(name), Some(value)) if !names.contains(&name) => {
                env.push(format!("{name}={value}"));
            }
            (Some(_), Some(_)) => {}
            // What the patterns drop anyway is nothing to be told about.
            _ if !passes(&name.to_string_lossy(), patterns) => {}
            _ => say(format_args!("leaving out the environment variable {name:?}: not UTF-8")),
        }
    }
    env.extend(added.iter().cloned());
    env
}
