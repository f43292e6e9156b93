//! `trunkline fs`: what the tests of its commands share, and what is true of all of them.

use std::process::Command;

use serde_json::Value;

use crate::interop::peer;
use crate::job::{Ended, run, trunkline};

/// Who serves the files.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Server {
    /// The Go peer.
    Go,
}

pub(crate) const SERVERS: [Server; 1] = [Server::Go];

impl Server {
    /// What leads to it.
    pub(crate) fn via(self) -> String {
        match self {
            Self::Go => format!("{} agent", peer()),
        }
    }

    /// A command on its files.
    pub(crate) fn fs<'a>(self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = trunkline(["fs"]);
        command.args(args).env("TRUNKLINE_VIA", self.via());
        command
    }

    /// A command on its files, run to its end.
    pub(crate) fn run<'a>(self, args: impl IntoIterator<Item = &'a str>) -> Ended {
        run(&mut self.fs(args))
    }

    /// A command on its files that must go well and say nothing of it.
    #[track_caller]
    pub(crate) fn ok<'a>(self, args: impl IntoIterator<Item = &'a str>) -> String {
        let ended = self.run(args);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{self:?}: {ended:?}");
        ended.text().to_owned()
    }

    /// What a command prints with `--json`.
    #[track_caller]
    pub(crate) fn json<'a>(self, args: impl IntoIterator<Item = &'a str>) -> Vec<Value> {
        let text = self.ok(args.into_iter().chain(["--json"]));
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// A command that fails with 1, and the lines in which it says why.
    #[track_caller]
    pub(crate) fn fails<'a>(self, args: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let ended = self.run(args);
        assert_eq!(ended.code, Some(1), "{self:?}: {ended:?}");
        assert_eq!(ended.lines().len(), ended.err.lines().count(), "{ended:?}");
        ended.lines().into_iter().map(str::to_owned).collect()
    }
}
