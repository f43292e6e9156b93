//! Help, completions, the manual page, and what the program says when asked to say more.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::crafted::Crafted;
use crate::job::{clean, exec, run, shell, trunkline};
use crate::temp::Temp;

const COMMANDS: [&str; 8] =
    ["exec", "paths", "fs", "agent", "decode", "encode", "completions", "man"];

#[test]
fn help_and_version() {
    run(&mut trunkline(["--version"])).is(
        0,
        concat!("trunkline ", env!("CARGO_PKG_VERSION"), "\n"),
        "",
    );
    for help in [["--help"], ["-h"], ["help"]] {
        let ended = run(&mut trunkline(help));
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
        assert!(COMMANDS.iter().all(|command| ended.text().contains(command)), "{ended:?}");
    }
    for command in COMMANDS {
        let ended = run(&mut trunkline([command, "--help"]));
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
        assert!(ended.text().contains(&format!("Usage: trunkline {command}")), "{ended:?}");
    }
    let help = run(&mut trunkline(["exec", "--help"]));
    let flags = [
        "--via",
        "--answer-timeout",
        "--request-timeout",
        "--cwd",
        "--env",
        "--env-only",
        "--env-keep",
        "--env-remove",
        "--fd",
    ];
    for flag in flags {
        assert!(help.text().contains(flag), "{flag}");
    }
    assert!(run(&mut trunkline(["--help"])).text().contains("255"), "the exit codes are told");
}

/// Nobody reads the source to learn what a signal or the end of a stream does.
#[test]
fn what_every_command_does_is_explained() {
    let man = run(&mut trunkline(["man"])).text().replace('\\', "");
    for (command, text) in [
        ("exec", "second Ctrl-C"),
        ("exec", "TRUNKLINE_VIA"),
        ("paths", "TRUNKLINE_VIA"),
        ("agent", "Serves one session"),
        ("decode", "exit code is 1"),
        ("encode", "bare frames"),
    ] {
        let help = run(&mut trunkline([command, "--help"]));
        let help = help.text().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains(text), "{text:?} is not in the help of {command}");
        let man = man.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(man.contains(text), "{text:?} of {command} is not in the manual page");
    }
}

/// A program of the system without which nothing would be tested.
fn tool(program: &str) -> Command {
    let mut probe = Command::new(program);
    let started = probe.args(["-c", ":"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(started.is_ok(), "{program} is missing: `cargo xtask test` installs it");
    clean(program)
}

#[test]
fn completions_are_scripts_their_shells_take() {
    let temp = Temp::new();
    for shell in ["bash", "zsh", "fish"] {
        let ended = run(&mut trunkline(["completions", shell]));
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{shell}");
        assert!(COMMANDS.iter().all(|command| ended.text().contains(command)), "{shell}");
        assert!(ended.text().contains("env-keep"), "{shell}");
        let script = temp.write(shell, &ended.out);
        run(tool(shell).args(["-n", &script])).is(0, "", "");
    }
    let bash = r#". "$F"; COMP_WORDS=(trunkline exec --env-k); COMP_CWORD=2; _trunkline trunkline --env-k exec; echo "${COMPREPLY[@]}""#;
    let ended = run(tool("bash").args(["-c", bash]).env("F", temp.file("bash")));
    assert_eq!(ended.text(), "--env-keep\n", "{ended:?}");
}

#[test]
fn the_manual_page_covers_every_command() {
    let ended = run(&mut trunkline(["man"]));
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    let page = ended.text().replace('\\', "");
    assert!(page.contains(".TH trunkline"), "{page:.300}");
    for text in ["--env-keep", "--hangup-after", "--answer-timeout", "--accept"] {
        assert!(page.contains(text), "{text}");
    }
    let temp = Temp::new();
    let file = temp.write("page", &ended.out);
    run(tool("groff").args(["-ww", "-man", "-Tutf8", "-z", &file])).is(0, "", "");
    for command in ["man", "completions bash", "--help"] {
        let ended = run(&mut shell(&format!(r#"{{ "$T" {command}; echo $? >&2; }} | true"#)));
        assert_eq!(ended.err, "0\n", "{command}");
    }
}

#[test]
fn results_that_cannot_be_written_are_told() {
    for command in ["man", "completions bash"] {
        let ended = run(&mut shell(&format!(r#"exec "$T" {command} >/dev/full"#)));
        assert_ne!(ended.code, Some(0), "{command}");
        assert!(ended.line().contains("No space left on device"), "{ended:?}");
    }
}

fn log(level: i64, message: &str) -> serde_json::Value {
    json!({"t": 7, "l": {"lvl": level, "msg": message, "a": ["key=va\x1blue", "odd\r\n"]}})
}

#[test]
fn log_records_are_shown_when_asked_for() {
    let levels =
        [(-8, "at trace"), (-4, "at debug"), (0, "at info"), (4, "at warn"), (99, "at error")];
    let mut frames: Vec<_> = levels.iter().map(|(level, message)| log(*level, message)).collect();
    frames.push(json!({"t": 5}));
    let crafted = Crafted::frames(&frames);
    let shown = |options: &[&str], rust_log: Option<&str>| {
        let mut command = trunkline(options.iter().copied());
        command.args(["exec", "--via", &crafted.via(), "--", "true"]);
        rust_log.map(|value| command.env("RUST_LOG", value));
        let ended = run(&mut command);
        assert_eq!((ended.code, ended.text()), (Some(0), ""));
        levels.iter().filter(|(_, message)| ended.err.contains(message)).count()
    };
    assert_eq!(shown(&[], None), 2);
    assert_eq!(shown(&["-v"], None), 3);
    assert_eq!(shown(&["-vv"], None), 4);
    assert_eq!(shown(&["-v", "-v", "-v"], None), 5);
    assert_eq!(shown(&[], Some("trace")), 5);
    assert_eq!(shown(&["-vvv"], Some("off")), 0);
    assert_eq!(shown(&[], Some("trunkline::agent=debug")), 4);
}

#[test]
fn log_records_are_harmless() {
    let message = "one\x1b[2J\nfaked: line\u{202e}\u{9b}31m\r";
    let crafted = Crafted::frames(&[log(0, message), json!({"t": 5})]);
    let ended = run(&mut trunkline(["-v", "exec", "--via", &crafted.via(), "--", "true"]));
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
    let line = ended.err.lines().next().unwrap();
    assert!(line.contains("one\\u{1b}[2J\\nfaked: line\\u{202e}\\u{9b}31m\\r"), "{line}");
    assert!(!line.contains(|c: char| c.is_control() || c == '\u{202e}'), "{line}");
    for part in ["source=\"agent\"", "key=va\\u{1b}lue", "odd"] {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[test]
fn a_flood_of_log_records_drowns_nothing() {
    let mut frames: Vec<_> = (0..3_000).map(|n| log(4, &format!("record {n}"))).collect();
    frames.extend([crate::crafted::data(1, "out"), json!({"t": 5, "c": 6})]);
    let long = log(4, &"x".repeat(100_000));
    frames.insert(0, long);
    let ended = Crafted::frames(&frames).exec();
    assert_eq!((ended.code, ended.text()), (Some(6), "out"));
    let longest = ended.err.lines().map(str::len).max().unwrap();
    assert!(longest < 10_000, "a record of {longest} bytes");
}

#[test]
fn stdout_is_the_commands_whatever_is_said() {
    let ended = run(trunkline(["-vvv", "exec", "--", "echo", "out"]).env("RUST_LOG", "trace"));
    assert_eq!((ended.code, ended.text()), (Some(0), "out\n"));
    assert!(!ended.err.is_empty());
    run(exec(["echo", "out"]).env("RUST_LOG", "not/a=filter=")).is(0, "out\n", "");
}

#[test]
fn texts_have_no_colours_but_on_a_terminal() {
    let crafted = Crafted::frames(&[log(8, "failed"), json!({"t": 5})]);
    let ended = crafted.exec();
    assert!(!ended.err.contains('\x1b'), "{ended:?}");
    assert!(fs::exists("/dev/null").unwrap());
}
