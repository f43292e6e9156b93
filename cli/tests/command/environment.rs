//! Folder and variables of the command.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;

use crate::job::{PROGRAM, run, trunkline};
use crate::temp::Temp;

/// `trunkline exec` with options, in an environment of two variables (and PATH), of a command.
fn with(options: &[&str], command: &[&str]) -> Command {
    let mut exec = trunkline(["exec"]);
    let path = std::env::var_os("PATH").unwrap();
    exec.env_clear().env("PATH", path).env("ALPHA", "a b").env("BETA", "b=c");
    exec.args(options).arg("--").args(command);
    exec
}

/// What the command sees of its environment, without what every shell and test adds.
fn seen(options: &[&str]) -> Vec<String> {
    let ended = run(&mut with(options, &["env"]));
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    let others = ["PATH=", "PWD=", "OLDPWD=", "SHLVL=", "_=", "TRUNKLINE_CLI_TEST="];
    let ours = |line: &&str| !others.iter().any(|other| line.starts_with(other));
    let mut lines: Vec<_> = ended.text().lines().filter(ours).map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn the_folder_is_the_agents_or_the_one_asked_for() {
    let temp = Temp::new();
    let pwd = |options: &[&str]| {
        let mut command = with(options, &["pwd", "-P"]);
        run(command.current_dir("/usr")).text().trim_end().to_owned()
    };
    assert_eq!(pwd(&[]), "/usr");
    assert_eq!(pwd(&["--cwd", temp.text()]), temp.text());
    assert_eq!(pwd(&["--cwd", "bin/.."]), "/usr");
    let elsewhere = format!("cd /etc && {PROGRAM} agent");
    assert_eq!(pwd(&["--via", &elsewhere]), "/etc");
    assert_eq!(pwd(&["--via", &elsewhere, "--cwd", temp.text(), "--env", "A=1"]), temp.text());
}

#[test]
fn a_program_with_a_slash_is_looked_for_from_the_folder() {
    let temp = Temp::new();
    std::os::unix::fs::symlink("/bin/echo", temp.file("here")).unwrap();
    run(&mut with(&["--cwd", temp.text()], &["./here", "found"])).is(0, "found\n", "");
}

#[test]
fn a_folder_that_is_not_there_is_127_and_a_clear_line() {
    let temp = Temp::new();
    let file = temp.write("file", "");
    for (dir, text) in [("/no/such/dir", "no such file"), (file.as_str(), "not a directory")] {
        for options in [&["--cwd", dir][..], &["--cwd", dir, "--env", "A=1"]] {
            let ended = run(&mut with(options, &["true"]));
            assert_eq!(ended.code, Some(127), "{ended:?}");
            assert!(ended.line().contains(text) && ended.line().contains(dir), "{ended:?}");
        }
    }
}

#[test]
fn env_adds_to_the_agents_own() {
    assert_eq!(seen(&[]), ["ALPHA=a b", "BETA=b=c"]);
    let values = ["--env", "GAMMA=", "--env", "BETA=x y=z\n'\"$HOME"];
    assert_eq!(seen(&values), ["'\"$HOME", "ALPHA=a b", "BETA=x y=z", "GAMMA="]);
    // The last one counts, and an odd name is one too.
    assert_eq!(seen(&["--env", "ALPHA=1", "--env", "ALPHA=2"]), ["ALPHA=2", "BETA=b=c"]);
    assert_eq!(seen(&["--env", "a.b c=1", "--env-only"]), ["a.b c=1"]);
    // The agent's own, which need not be the caller's.
    let via = format!("ALPHA=agent {PROGRAM} agent");
    assert_eq!(seen(&["--via", &via, "--env", "C=1"]), ["ALPHA=agent", "BETA=b=c", "C=1"]);
}

#[test]
fn env_does_not_change_what_the_command_is() {
    let temp = Temp::new();
    let program = temp.file("a=b");
    std::os::unix::fs::symlink("/bin/echo", &program).unwrap();
    let arguments = [program.as_str(), "x=1", "-n", "--", "a  b", ""];
    run(&mut with(&["--env", "A=1"], &arguments)).is(0, "x=1 -n -- a  b \n", "");
    run(&mut with(&["--env", "A=1"], &["echo", "--help", "x=1"])).is(0, "--help x=1\n", "");
    let code = |code: &str| run(&mut with(&["--env", "A=1"], &["sh", "-c", code])).code;
    assert_eq!((code("exit 42"), code("kill -TERM $$")), (Some(42), Some(143)));
    // Not found: the same code, in the words of whoever looked.
    for command in ["no-such-program", "no=such", "/no/such/pro=gram"] {
        let ended = run(&mut with(&["--env", "A=1"], &[command]));
        assert_eq!((ended.code, ended.err.contains(command)), (Some(127), true), "{ended:?}");
    }
}

#[test]
fn env_only_is_all_there_is() {
    assert!(seen(&["--env-only"]).is_empty());
    assert_eq!(seen(&["--env-only", "--env", "A=1", "--env", "B="]), ["A=1", "B="]);
    // The program is still looked for in the agent's PATH (hazard H15).
    run(&mut with(&["--env-only", "--env", "PATH=/no"], &["env"])).is(0, "PATH=/no\n", "");
    for other in ["--env-keep", "--env-remove"] {
        let ended = run(&mut with(&["--env-only", other, "*"], &["env"]));
        assert_eq!(ended.code, Some(2), "{ended:?}");
    }
}

#[test]
fn patterns_choose_from_the_callers_environment() {
    // Nothing of the agent's own is left, whatever the caller sends.
    let via = format!("AGENT=1 ALPHA=agent {PROGRAM} agent");
    let seen = |options: &[&str]| seen(&[&["--via", &via][..], options].concat());
    assert_eq!(seen(&["--env-keep", "*"]), ["ALPHA=a b", "BETA=b=c"]);
    assert_eq!(seen(&["--env-keep", "AL*"]), ["ALPHA=a b"]);
    assert_eq!(seen(&["--env-keep", "?ETA", "--env-keep", "[A]LPH?"]), ["ALPHA=a b", "BETA=b=c"]);
    assert_eq!(seen(&["--env-keep", "LPH"]), [""; 0]);
    assert_eq!(seen(&["--env-keep", "/LPH|^B/"]), ["ALPHA=a b", "BETA=b=c"]);
    assert_eq!(seen(&["--env-keep", "*", "--env-remove", "/^AL/"]), ["BETA=b=c"]);
    assert_eq!(seen(&["--env-remove", "ALPHA"]), [""; 0]);
    // What is set is kept, and what is removed is removed.
    assert_eq!(seen(&["--env-keep", "B*", "--env", "ALPHA=2"]), ["ALPHA=2", "BETA=b=c"]);
    assert_eq!(seen(&["--env-keep", "*", "--env", "BETA=2", "--env-remove", "B*"]), ["ALPHA=a b"]);
    assert_eq!(seen(&["--env-keep", "[", "--env-keep", "/(/", "--env", "C=3"]), ["C=3"]);
}

/// Names go into a list between colons on their way.
#[test]
fn a_name_with_a_colon_is_set_like_any_other() {
    assert_eq!(seen(&["--env-keep", "B*", "--env", "A:B=1"]), ["A:B=1", "BETA=b=c"]);
}

#[test]
fn variables_that_are_not_utf_8_are_left_out_and_told() {
    let mut command = with(&["--env-keep", "*"], &["env"]);
    command.env("BAD", OsStr::from_bytes(b"\xff\n\x1b")).env(OsStr::from_bytes(b"N\xfeE"), "1");
    let ended = run(&mut command);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!((ended.lines().len(), ended.err.lines().count()), (2, 2), "{ended:?}");
    assert!(ended.lines().iter().all(|line| line.contains("not UTF-8")), "{ended:?}");
    assert!(ended.text().contains("ALPHA=a b") && !ended.text().contains("BAD"), "{ended:?}");
}

/// What the patterns would drop anyway is nothing to be told about.
#[test]
fn variables_that_are_not_wanted_are_not_told() {
    let mut command = with(&["--env-keep", "ALPHA"], &["env"]);
    let ended = run(command.env("BAD", OsStr::from_bytes(b"\xff")));
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
}
