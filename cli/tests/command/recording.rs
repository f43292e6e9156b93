//! `trunkline recording`: recordings shown, given back and verified, damaged ones too.

use serde_json::{Value, json};

use crate::codec::{bytes, cases, plain};
use crate::crafted::bytes_of;
use crate::job::{run, run_with, shell, trunkline};
use crate::record::recording;
use crate::temp::Temp;

/// A golden recording.
fn golden(name: &str) -> Value {
    cases("recordings.json").into_iter().find(|case| case["name"] == name).expect("a case")
}

/// The same as a file.
fn file(folder: &Temp, name: &str) -> String {
    folder.write(name, bytes(&golden(name)["hex"]))
}

/// The record of a frame, written by hand around the frame's own bytes.
fn frame_record(seq: u8, direction: u8, frame: &Value) -> Vec<u8> {
    let frame = bytes_of(std::slice::from_ref(frame));
    let head = b"\xa2\x64type\x03\x65frame\xa4\x62ts\x00\x63dir";
    [&head[..], &[direction], b"\x63seq", &[seq], b"\x65frame", &frame].concat()
}

#[test]
fn golden_recordings_are_shown_whole_and_then_told_where_they_end() {
    let folder = Temp::new();
    for case in cases("recordings.json") {
        let name = case["name"].as_str().unwrap();
        let shown = recording(&["show", "--json", &file(&folder, name)]);
        let lines: Vec<Value> =
            shown.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let (end, records) = lines.split_last().unwrap();
        let seen: Vec<Value> = records.iter().map(|line| plain(&line["record"])).collect();
        let expected: Vec<Value> = case["decoded"].as_array().unwrap().iter().map(plain).collect();
        assert_eq!(seen, expected, "{name}");
        let places = records.iter().try_fold(0, |at, line| {
            (line["offset"] == at).then(|| at + line["length"].as_u64().unwrap())
        });
        assert_eq!(places, end["offset"].as_u64(), "{name}");
        if case.get("error").is_none() {
            assert_eq!((shown.code, shown.err.as_str()), (Some(0), ""), "{name}");
            assert_eq!(end["end"], "clean", "{name}");
        } else {
            assert_eq!((shown.code, &end["end"]), (Some(1), &json!("damage")), "{name}");
            let line = shown.line();
            assert!(line.contains(name) && line.contains(&end["offset"].to_string()), "{line}");
        }
        let people = recording(&["show", &folder.file(name)]);
        assert_eq!((people.code, people.err), (shown.code, shown.err), "{name}");
        assert_eq!(people.out.iter().filter(|byte| **byte == b'\n').count(), expected.len());
    }
}

#[test]
fn a_recording_is_shown_to_people() {
    let folder = Temp::new();
    let expected = "      \
      0.000000          HEADER       begun 2023-11-14T22:13:20Z, process 4242, user alice, \
      version 1.3.0, agent /tmp/mproxy-agent, backend ssh, at build.example:22
      0.000001    #0    START        /bin/cat [cat] in /srv with 1 variable
      0.001001    #0 -> CONFIG       keep [LANG], remove []
      0.002001    #0 -> EXEC         /bin/cat [cat] in /srv with 1 variable
      0.003001    #0 -> DATA         stdin, 6 bytes \"hello\\n\"
      0.004001    #0 -> EOF          stdin
      0.005001    #0 <- LOG          -8 child started pid=77
      0.006001    #0 <- DATA         stdout, 6 bytes \"hello\\n\"
      0.007001    #0 <- EOF          stdout
      0.008001    #0 <- EOF          stderr
      0.009001    #0 <- LOG          -4 child exited code=0
      0.010001    #0 <- EXIT         0
      0.011001    #0    END          0
      0.012001          FOOTER       1 command
";
    recording(&["show", &file(&folder, "one_cat_command")]).is(0, expected, "");
}

#[test]
fn nothing_in_a_recording_reaches_the_terminal_as_it_is() {
    let folder = Temp::new();
    let nasty = "a\u{1b}[31m\r\n\u{202e}\u{9b}b";
    let hex: String = nasty.bytes().map(|byte| format!("{byte:02x}")).collect();
    let frames = [
        json!({"t": 1, "x": {"path": nasty, "argv": [nasty], "env": [], "cwd": nasty}}),
        json!({"t": 2, "s": 1, "d": {"hex": hex}}),
        json!({"t": 2, "s": 1, "d": {"hex": "ff1b0a"}}),
        json!({"t": 5, "c": 1, "e": nasty}),
        json!({"t": 6, "e": nasty}),
        json!({"t": 7, "l": {"lvl": 0, "msg": nasty, "a": [nasty]}}),
        json!({"t": 8, "cfg": {"env_keep": [nasty], "env_remove": null}}),
        json!({"t": 9, "q": {"paths": [nasty]}}),
        json!({"t": 11, "fop": {"id": 1, "op": 13, "p": nasty, "np": nasty}}),
        json!({"t": 12, "frp": {"id": 1, "em": nasty, "p": nasty, "st": {"n": nasty, "s": 1, "m": 0}}}),
    ];
    let records: Vec<u8> = frames.iter().flat_map(|frame| frame_record(0, 2, frame)).collect();
    let shown = recording(&["show", &folder.write("nasty", records)]);
    assert_eq!(shown.code, Some(0));
    assert_eq!(shown.text().lines().count(), frames.len());
    let plain = |c: char| c == '\n' || !c.is_control() && c != '\u{202e}';
    assert!(shown.text().chars().all(plain), "{}", shown.text());
}

#[test]
fn long_lines_are_cut_and_whole_in_json() {
    let folder = Temp::new();
    let long = "ü".repeat(100_000);
    let log = json!({"t": 7, "l": {"lvl": 0, "msg": long}});
    let path = folder.write("long", frame_record(0, 2, &log));
    let shown = recording(&["show", &path]);
    assert!(shown.text().len() < 600, "{}", shown.text().len());
    assert!(recording(&["show", "--json", &path]).text().contains(&long));
}

#[test]
fn commands_that_ran_at_once_are_told_apart() {
    let folder = Temp::new();
    let path = file(&folder, "interleaved_commands");
    let cat = |args: &[&str]| recording(&[&["cat", "--stream"], args, &[&path]].concat());
    cat(&["stdout", "--command", "0"]).is(0, "from-a", "");
    cat(&["stdout", "--command", "1"]).is(0, "", "");
    cat(&["3", "--sent", "--command", "1"]).is(0, "to-b", "");
    cat(&["3", "--command", "1"]).is(0, "", "");
    let ended = cat(&["stdout"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.line().contains("several commands"), "{}", ended.err);
    let ended = cat(&["stdout", "--command", "2"]);
    assert_eq!((ended.code, ended.line()), (Some(1), &*format!("{path} has no command 2")));
}

#[test]
fn streams_are_given_back_as_far_as_a_damaged_file_goes() {
    let folder = Temp::new();
    let path = file(&folder, "cut_inside_a_record");
    let ended = recording(&["cat", "--stream", "stdout", &path]);
    assert_eq!((ended.code, ended.text()), (Some(1), "hello\n"));
    assert!(ended.line().contains("ends in the middle of a record"), "{}", ended.err);
    let whole = bytes(&golden("one_cat_command")["hex"]);
    let again = run_with(&mut trunkline(["recording", "cat", "--stream", "stdin", "-"]), &whole);
    again.is(0, "hello\n", "");
}

#[test]
fn sound_recordings_verify_and_others_say_what_is_wrong() {
    let folder = Temp::new();
    for name in ["header_and_footer_only", "one_cat_command"] {
        recording(&["verify", &file(&folder, name)]).is(0, "", "");
    }
    let verify = |name: &str| {
        let ended = recording(&["verify", "--json", &file(&folder, name)]);
        assert_eq!((ended.code, ended.err.as_str()), (Some(1), ""), "{name}");
        let line = |line: &str| serde_json::from_str::<Value>(line).expect("JSON");
        ended.text().lines().map(line).collect::<Vec<_>>()
    };
    let kinds = |name: &str| -> Vec<String> {
        verify(name).iter().map(|finding| finding["kind"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds("empty_file"), ["no header", "no footer"]);
    // Those were not made by a session: codes, and no exit that they came from.
    assert_eq!(kinds("two_commands"), ["exit code", "exit code"]);
    assert_eq!(kinds("interleaved_commands"), ["exit code"]);
    assert_eq!(kinds("connection_lost_no_footer"), ["no footer"]);
    assert_eq!(kinds("cut_inside_a_record"), ["damage", "no footer"]);
    assert_eq!(kinds("corrupt_record_midway"), ["damage", "no footer"]);
    assert_eq!(kinds("file_op_frames"), ["no header", "not begun", "not begun", "no footer"]);
    let odd =
        ["no header", "unknown type", "unknown type", "body", "direction", "not begun", "count"];
    assert_eq!(kinds("odd_records"), odd);
    let cut = verify("cut_inside_a_record");
    let whole = bytes(&golden("cut_inside_a_record")["hex"]).len() as u64;
    assert!(cut[0]["offset"].as_u64().unwrap() < whole, "{cut:?}");
    let ended = recording(&["verify", &folder.file("empty_file")]);
    let lines = ["the recording does not begin with a header", "the recording has no footer"];
    assert!(ended.text().lines().zip(lines).all(|(seen, line)| seen.contains(line)));
}

#[test]
fn an_exit_code_that_is_not_the_exit_s_is_found() {
    let folder = Temp::new();
    let whole = bytes(&golden("one_cat_command")["hex"]);
    let at = whole.windows(10).position(|window| window == b"exit_code\x00").unwrap() + 9;
    let mut doctored = whole;
    doctored[at] = 7;
    let ended = recording(&["verify", &folder.write("doctored", doctored)]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.text().ends_with(": command 0 ended with 7, but its exit says 0\n"));
}

#[test]
fn a_file_that_is_not_there_and_one_that_is_none_are_told() {
    let folder = Temp::new();
    let text = folder.write("text", "Welcome to host\n");
    for command in [&["show"][..], &["verify"], &["cat", "--stream", "1"]] {
        let ended = recording(&[command, &[&folder.file("none")]].concat());
        assert_eq!((ended.code, ended.text()), (Some(1), ""));
        assert!(ended.line().contains("No such file"), "{}", ended.err);
        let ended = recording(&[command, &[&text]].concat());
        assert_eq!(ended.code, Some(1));
        let said = format!("{}{}", ended.text(), ended.err);
        assert!(said.contains("damaged at offset 0") && said.contains("Welcome"), "{said}");
        let ended = recording(&[command, &[folder.text()]].concat());
        assert_eq!(ended.code, Some(1));
        assert!(ended.line().contains("s a directory"), "{}", ended.err);
    }
}

#[test]
fn whoever_reads_only_the_beginning_is_no_error() {
    let folder = Temp::new();
    let log = json!({"t": 7, "l": {"lvl": 0, "msg": "m".repeat(300)}});
    let record = frame_record(0, 2, &log);
    let path = folder.write("long", record.repeat(5_000));
    for command in ["show", "show --json", "verify"] {
        let script = format!("{{ \"$T\" recording {command} {path}; echo $? >&2; }} | head -n 1");
        let ended = run(&mut shell(&script));
        assert!(ended.err == "0\n", "{command}: {}", ended.err);
    }
}
