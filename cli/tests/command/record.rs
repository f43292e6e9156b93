//! `--record` and `--redact`: what a recorded session leaves behind, and what it does not change.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use crate::crafted::{Crafted, data};
use crate::interop::peer;
use crate::job::{Ended, Job, eventually, run, run_with, shell, trunkline};
use crate::temp::Temp;

/// The command lines that lead to an agent: ours, which is started without one, and the Go peer's.
fn agents() -> [Vec<String>; 2] {
    [vec![], vec!["--via".to_owned(), format!("{} agent", peer())]]
}

fn record(file: &str, options: &[&str], command: &[&str]) -> Command {
    let mut exec = trunkline(["exec", "--record", file]);
    exec.args(options).arg("--").args(command);
    exec
}

pub(crate) fn recording(args: &[&str]) -> Ended {
    run(trunkline(["recording"]).args(args))
}

/// Asserts that nothing is wrong with a recording, in the eyes of both implementations.
#[track_caller]
fn is_sound(file: &str) {
    recording(&["verify", file]).is(0, "", "");
    let bytes = fs::read(file).unwrap();
    run_with(Command::new(peer()).arg("records"), &bytes).is_bytes(0, &bytes);
}

fn contains(file: &str, text: &str) -> bool {
    fs::read(file).unwrap().windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn a_recorded_command_behaves_as_ever_and_can_be_given_back() {
    let folder = Temp::new();
    let input: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    for (number, via) in agents().iter().enumerate() {
        let file = folder.file(&format!("{number}.rec"));
        let script = "cat; echo trouble >&2; exit 3";
        let mut exec = trunkline(["exec", "--record", &file]);
        exec.args(via).args(["--", "sh", "-c", script]);
        let ended = run_with(&mut exec, &input);
        assert_eq!((ended.code, ended.err.as_str()), (Some(3), "trouble\n"));
        assert!(ended.out == input);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
        is_sound(&file);
        for stream in ["stdin", "0", "stdout", "1"] {
            recording(&["cat", "--stream", stream, &file]).is_bytes(0, &input);
        }
        recording(&["cat", "--stream", "stderr", "--command", "0", &file]).is(0, "trouble\n", "");
        let shown = recording(&["show", &file]);
        assert_eq!((shown.code, shown.err.as_str()), (Some(0), ""));
        assert!(shown.text().contains("#0 <- EXIT         3\n"), "{}", shown.text());
        let end = shown.text().lines().rev().nth(1).unwrap();
        assert!(end.contains("#0    END          3"), "{}", shown.text());
    }
}

#[test]
fn a_recording_of_the_go_peer_is_read() {
    let folder = Temp::new();
    let file = folder.file("go.rec");
    let mut run = Command::new(peer());
    run.args(["run", "-record", &file, crate::job::PROGRAM, "agent", "--", "sh", "-c"]);
    run_with(run.arg("cat; exit 5"), b"from go").is(5, "from go", "");
    is_sound(&file);
    recording(&["cat", "--stream", "stdin", &file]).is(0, "from go", "");
    recording(&["cat", "--stream", "stdout", &file]).is(0, "from go", "");
    assert!(recording(&["show", &file]).text().contains("EXIT         5\n"));
}

#[test]
fn extra_descriptors_are_given_back_in_both_directions() {
    let folder = Temp::new();
    let file = folder.file("fd.rec");
    folder.write("in", b"to the command");
    let script = format!(
        "exec \"$T\" exec --record {file} --fd 3 -- sh -c 'cat <&3 >/dev/null; echo back >&3' \
         3<>{0} <&-",
        folder.file("in")
    );
    run(&mut shell(&script)).is(0, "", "");
    recording(&["cat", "--stream", "3", "--sent", &file]).is(0, "to the command", "");
    recording(&["cat", "--stream", "3", &file]).is(0, "back\n", "");
}

/// Secrets of each kind, each where it can be found.
const SECRETS: [(&str, [&str; 2]); 3] = [
    ("argv", ["ARGUMENT-SECRET", "SECRET-ARGUMENT"]),
    ("env", ["VARIABLE-SECRET", "KEPT-SECRET"]),
    ("data", ["INPUT-SECRET", "OUTPUT-SECRET"]),
];

fn with_secrets(file: &str, via: &[String], redact: &str) {
    let mut exec = trunkline(["exec", "--record", file, redact, "--env", "A=VARIABLE-SECRET"]);
    exec.args(via).args(["--env-keep", "RECORD_*", "--env-keep", "PATH"]);
    // The secret of the output must not be an argument.
    exec.args(["--", "sh", "-c", "cat; printf '%s%s' OUTPUT -SECRET; exit $1; #SECRET-ARGUMENT"]);
    exec.args(["ARGUMENT-SECRET", "4"]).env("RECORD_B", "KEPT-SECRET");
    let ended = run_with(&mut exec, b"INPUT-SECRET");
    ended.is(4, "INPUT-SECRETOUTPUT-SECRET", "");
}

#[test]
fn what_is_redacted_is_nowhere_in_the_recording() {
    let folder = Temp::new();
    let file = folder.file("redacted.rec");
    for via in agents() {
        for redact in
            ["--redact", "--redact=all", "--redact=argv", "--redact=env", "--redact=env,data"]
        {
            with_secrets(&file, &via, redact);
            is_sound(&file);
            let all = !redact.contains('=') || redact.contains("all");
            for (kind, secrets) in SECRETS {
                for secret in secrets {
                    let hidden = all || redact.contains(kind);
                    assert_eq!(contains(&file, secret), !hidden, "{redact} {via:?} {secret}");
                }
            }
        }
    }
}

#[test]
fn a_redacted_recording_keeps_its_shape() {
    let folder = Temp::new();
    let file = folder.file("redacted.rec");
    with_secrets(&file, &[], "--redact");
    let shown = recording(&["show", "--json", &file]);
    let lines = shown.text().lines().map(|line| serde_json::from_str(line).unwrap());
    let start: Value = lines.clone().nth(1).unwrap();
    let exec = &start["record"]["cmd_start"]["exec"];
    assert_eq!((exec["path"].as_str(), exec["argv"].as_array().unwrap().len()), (Some("sh"), 5));
    let env = exec["env"].as_array().unwrap();
    let is = |text: &str| env.iter().any(|variable| variable == text);
    assert!(is("A=[redacted]") && is("RECORD_B=[redacted]") && is("PATH=[redacted]"), "{env:?}");
    recording(&["cat", "--stream", "stdin", &file]).is(0, "[redacted: 12 bytes]", "");
}

#[test]
fn what_leads_to_the_agent_is_in_the_header_and_its_arguments_can_be_secrets() {
    let folder = Temp::new();
    let file = folder.file("via.rec");
    let via = format!("true VIA-SECRET; exec '{}' agent", crate::job::PROGRAM);
    for (redact, shown) in
        [("--redact=data", true), ("--redact=argv", false), ("--redact=env", false)]
    {
        run(&mut record(&file, &["--via", &via, redact], &["true"])).is(0, "", "");
        assert_eq!(contains(&file, "VIA-SECRET"), shown, "{redact}");
    }
}

#[test]
fn a_file_that_cannot_be_created_is_told_before_anything_runs() {
    let folder = Temp::new();
    let ran = folder.file("ran");
    for (file, why) in [
        (folder.file("no/such/folder/f"), "No such file or directory"),
        (folder.text().to_owned(), "Is a directory"),
        ("/dev/full".to_owned(), "No space left on device"),
    ] {
        for mut command in
            [record(&file, &[], &["touch", &ran]), trunkline(["paths", "--record", &file, "/bin"])]
        {
            let ended = run(&mut command);
            assert_eq!((ended.code, ended.text()), (Some(2), ""));
            let line = ended.line();
            assert!(line.starts_with(&format!("--record {file}: cannot be")), "{line}");
            assert!(line.contains(why), "{line}");
        }
    }
    assert!(fs::metadata(&ran).is_err());
}

#[test]
fn to_redact_without_a_recording_or_something_unknown_is_bad_usage() {
    for options in [&["--redact"][..], &["--record", "/dev/null", "--redact=passwords"]] {
        let ended = run(trunkline(["exec"]).args(options).args(["--", "true"]));
        assert_eq!(ended.code, Some(2), "{}", ended.err);
    }
}

#[test]
fn a_recording_that_fails_in_the_middle_is_told_at_the_end_and_changes_nothing_else() {
    let folder = Temp::new();
    let file = folder.file("full.rec");
    // As a full disk would: no file may become longer than 16 blocks.
    let script = format!(
        "trap '' XFSZ; ulimit -f 16; exec \"$T\" exec --record {file} -- \
         sh -c 'head -c 1000000 /dev/zero; exit 6'"
    );
    let ended = run(&mut shell(&script));
    assert_eq!((ended.code, ended.out.len()), (Some(6), 1_000_000));
    let line = ended.line();
    assert!(
        line.starts_with(&format!("the recording {file} is not whole: File too large")),
        "{line}"
    );
    let verified = recording(&["verify", &file]);
    assert_eq!(verified.code, Some(1));
    assert!(verified.text().contains("ends in the middle of a record"), "{}", verified.text());
    let whole = recording(&["cat", "--stream", "stdout", &file]);
    assert!(whole.code == Some(1) && whole.out.iter().all(|byte| *byte == 0));
}

#[test]
fn the_recording_of_a_lost_agent_says_that_no_exit_came() {
    let folder = Temp::new();
    let file = folder.file("lost.rec");
    let agent = Crafted::frames(&[data(1, "half of it")]);
    let ended = run(&mut record(&file, &["--via", &agent.says()], &["true"]));
    assert_eq!((ended.code, ended.text()), (Some(255), "half of it"));
    is_sound(&file);
    recording(&["cat", "--stream", "stdout", &file]).is(0, "half of it", "");
    let shown = recording(&["show", &file]);
    assert!(shown.text().contains("END          -1 (no exit came)"), "{}", shown.text());
}

#[test]
fn what_was_recorded_survives_a_killed_process() {
    let folder = Temp::new();
    let file = folder.file("killed.rec");
    let job = Job::start(&mut record(&file, &[], &["sh", "-c", "echo begun; sleep 100"]));
    assert_eq!(job.out.line(), "begun");
    eventually("it is in the file", || contains(&file, "begun\n"));
    job.signal(Signal::KILL);
    drop(job);
    recording(&["cat", "--stream", "stdout", &file]).is(0, "begun\n", "");
    let verified = recording(&["verify", &file]);
    let text = verified.text();
    assert_eq!(verified.code, Some(1));
    assert!(text.contains("before command 0 has") && text.contains("no footer"), "{text}");
}

#[test]
fn an_old_file_is_emptied_and_made_private() {
    let folder = Temp::new();
    let file = folder.write("old.rec", b"long long ago".repeat(1_000));
    fs::set_permissions(&file, PermissionsExt::from_mode(0o666)).unwrap();
    run(&mut record(&file, &[], &["true"])).is(0, "", "");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    is_sound(&file);
}

#[test]
fn a_query_is_recorded_too() {
    let folder = Temp::new();
    let file = folder.file("paths.rec");
    let listed = run(&mut trunkline(["paths", "--record", &file, "/bin"]));
    assert_eq!((listed.code, listed.err.as_str()), (Some(0), ""));
    is_sound(&file);
    let shown = recording(&["show", &file]);
    let programs = format!("<- PATH INFO    {} programs\n", listed.text().lines().count());
    assert!(shown.text().contains(&programs), "{}", shown.text());
    assert!(shown.text().contains("-> PATH QUERY   /bin\n"), "{}", shown.text());
}

#[test]
fn a_session_given_up_is_recorded_to_its_end() {
    let folder = Temp::new();
    let file = folder.file("interrupted.rec");
    let job = Job::start(&mut record(&file, &[], &["sh", "-c", "trap '' INT; echo on; sleep 100"]));
    assert_eq!(job.out.line(), "on");
    job.signal(Signal::INT);
    eventually("the first is passed on", || contains(&file, "\x63sig\x02"));
    job.signal(Signal::INT);
    let ended = job.end();
    assert_eq!(ended.code, Some(255), "{}", ended.err);
    is_sound(&file);
    assert!(recording(&["show", &file]).text().contains("-> SIGNAL       2\n"));
}

/// A Go agent, whose files are these.
fn go_files(folder: &Temp) -> String {
    format!("cd {} && exec {} agent", folder.text(), peer())
}

#[test]
fn a_session_of_files_is_recorded_with_what_was_read() {
    let folder = Temp::new();
    folder.write("file", "FILE-SECRET\n");
    let (via, file) = (go_files(&folder), folder.file("files.rec"));
    for (redact, shown) in
        [(None, true), (Some("--redact=argv,env"), true), (Some("--redact"), false)]
    {
        let mut cat = trunkline(["fs", "--via", &via, "--record", &file]);
        run(cat.args(redact).args(["cat", "file"])).is(0, "FILE-SECRET\n", "");
        is_sound(&file);
        assert_eq!(contains(&file, "FILE-SECRET"), shown, "{redact:?}");
        let text = recording(&["show", &file]);
        assert!(text.text().contains("-> FILE REQUEST 1 open file\n"), "{}", text.text());
    }
}

#[test]
fn what_fails_among_files_fails_as_ever_when_it_is_recorded() {
    let folder = Temp::new();
    let (via, file) = (go_files(&folder), folder.file("files.rec"));
    let ended = run(&mut trunkline(["fs", "stat", "none", "--via", &via, "--record", &file]));
    assert_eq!((ended.code, ended.text()), (Some(1), ""));
    assert!(ended.line().contains("none: No such file or directory"), "{}", ended.err);
    is_sound(&file);
    assert!(recording(&["show", &file]).text().contains("<- FILE ANSWER  1 errno 2 "));
    let nowhere = folder.file("no/file");
    let ended = run(&mut trunkline(["fs", "mkdir", "made", "--via", &via, "--record", &nowhere]));
    assert_eq!(ended.code, Some(2));
    assert!(ended.line().starts_with(&format!("--record {nowhere}: ")), "{}", ended.err);
    assert!(fs::metadata(folder.file("made")).is_err());
}
