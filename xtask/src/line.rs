//! One command line of cargo.

use std::fmt;
use std::process::Command;

use crate::setup;

/// A command line of cargo: which toolchain's, with which variables and words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    nightly: bool,
    env: Vec<(&'static str, String)>,
    /// Everything behind the word `cargo`; no word holds a space.
    text: String,
}

impl Line {
    /// For the toolchain in use.
    pub(crate) fn stable(text: impl Into<String>) -> Self {
        Self { nightly: false, env: Vec::new(), text: text.into() }
    }

    /// For the nightly toolchain.
    pub(crate) fn nightly(text: impl Into<String>) -> Self {
        Self { nightly: true, ..Self::stable(text) }
    }

    /// The line with one more variable in its environment.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// The command to start.
    pub(crate) fn command(&self) -> Command {
        let mut command = if self.nightly { setup::nightly() } else { setup::cargo() };
        command.args(self.text.split_whitespace()).envs(self.env.iter().map(|(k, v)| (*k, v)));
        command
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.env {
            write!(f, "{name}=\"{value}\" ")?;
        }
        let text = self.text.split_whitespace().collect::<Vec<_>>().join(" ");
        write!(f, "cargo {}{text}", if self.nightly { "+nightly " } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_as_one_would_type_it() {
        assert_eq!(Line::stable("fmt  --all").to_string(), "cargo fmt --all");
        let line = Line::nightly("miri test").with("MIRIFLAGS", "-Z x");
        assert_eq!(line.to_string(), "MIRIFLAGS=\"-Z x\" cargo +nightly miri test");
    }

    #[test]
    fn another_toolchain_is_not_told_of_this_one() {
        let command = Line::nightly("fuzz list").with("A", "b").command();
        let words: Vec<_> = command.get_args().collect();
        assert_eq!(words, ["run", "nightly", "cargo", "fuzz", "list"]);
        let gone: Vec<_> = command.get_envs().filter(|(_, value)| value.is_none()).collect();
        assert!(gone.iter().any(|(name, _)| *name == "RUSTUP_TOOLCHAIN"), "{gone:?}");
    }
}
