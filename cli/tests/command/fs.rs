//! `trunkline fs`: what the tests of its commands share, and what is true of all of them.

use std::process::Command;

use serde_json::Value;

use crate::interop::peer;
use crate::job::{Ended, PROGRAM, run, trunkline};
use crate::temp::Temp;

/// Who serves the files.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Server {
    /// Our own agent.
    Ours,
    /// The Go peer.
    Go,
}

pub(crate) const SERVERS: [Server; 2] = [Server::Ours, Server::Go];

impl Server {
    /// What leads to it.
    pub(crate) fn via(self) -> String {
        match self {
            Self::Ours => format!("{PROGRAM} agent"),
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

/// Every command, with an option that is its own.
const COMMANDS: [(&str, &str); 16] = [
    ("ls", "--human-readable"),
    ("stat", "--dereference"),
    ("cat", "--via"),
    ("mkdir", "--parents"),
    ("rm", "--recursive"),
    ("mv", "--no-target-directory"),
    ("cp", "--preserve"),
    ("ln", "--symbolic"),
    ("readlink", "--json"),
    ("chmod", "--recursive"),
    ("chown", "--recursive"),
    ("touch", "--reference"),
    ("truncate", "--no-create"),
    ("df", "--inodes"),
    ("fsync", "--answer-timeout"),
    ("pwd", "--json"),
];

#[test]
fn help_the_manual_page_and_completions_know_every_command() {
    let help = run(&mut trunkline(["fs", "--help"]));
    let man = run(&mut trunkline(["man"])).text().replace('\\', "");
    let scripts = ["bash", "zsh", "fish"].map(|shell| run(&mut trunkline(["completions", shell])));
    for (command, option) in COMMANDS {
        assert!(help.text().lines().any(|line| line.starts_with(&format!("  {command} "))));
        let own = run(&mut trunkline(["fs", command, "--help"]));
        assert_eq!((own.code, own.err.as_str()), (Some(0), ""));
        assert!(own.text().contains(&format!("Usage: trunkline fs {command}")), "{own:?}");
        assert!(own.text().contains(option), "{option}: {own:?}");
        assert!(man.contains(&format!(".TH trunkline-fs-{command} ")), "{command}");
        for script in &scripts {
            assert!(script.text().contains(option.trim_start_matches('-')), "{option}");
            assert!(script.text().contains(command), "{command}");
        }
    }
    for text in ["255 when the link or the agent was lost", "1 when something could not be done"] {
        let help = help.text().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains(text), "{help}");
    }
}

/// Each operation of the wire is asked for by some command: the table in `docs/files.md`.
#[test]
fn all_25_operations_are_reached() {
    let temp = Temp::new();
    temp.write("file", "content");
    // `tee` writes to its own output first: that is the file, so that nothing is answered that is
    // not in it.
    let via = format!("tee /dev/fd/3 3>&1 >>{} | {}", temp.file("asked"), Server::Go.via());
    for line in [
        "pwd",
        "ls .",
        "stat file",
        "stat -L file",
        "cat file",
        "mkdir one",
        "mkdir -p two/three",
        "touch new",
        "truncate -s 0 new",
        "truncate -s 5 new",
        "truncate -c -s 6 new",
        "ln -s new soft",
        "ln new hard",
        "readlink soft",
        "chmod 600 new",
        "chown :0 new",
        "fsync new",
        "df .",
        "cp file copy",
        "mv copy moved",
        "rm moved",
    ] {
        let mut fs = Server::Go.fs(line.split(' '));
        run(fs.args(["--via", &via]).current_dir(temp.path()));
    }
    let frames = crate::crafted::frames_of(&std::fs::read(temp.file("asked")).expect("sessions"));
    let asked = frames.iter().filter_map(|frame| frame["fop"]["op"].as_u64());
    let asked: std::collections::BTreeSet<_> = asked.collect();
    assert_eq!(asked, (1..=25).collect());
}
