//! The agent is not there, dies, hangs or talks nonsense: 255, one line that says why, and nothing
//! left running.

use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::crafted::{Crafted, bytes_of, data, eof};
use crate::job::{Ended, Job, LONG, PROGRAM, run, run_with, trunkline};
use crate::marker::Marker;

fn via(line: &str) -> Ended {
    run(&mut trunkline(["exec", "--answer-timeout", "1", "--via", line, "--", "true"]))
}

/// 255 and one line, which holds this text.
#[track_caller]
fn is_lost(ended: &Ended, text: &str) {
    assert_eq!(ended.code, Some(255), "{ended:?}");
    assert!(ended.line().contains(text), "{text:?} is not in {ended:?}");
}

#[test]
fn what_leads_to_it_is_not_there() {
    for line in ["no-such-program", "no-such-program --with arguments", "/no/such | cat", "/tmp"] {
        is_lost(&via(line), "lost");
    }
}

#[test]
fn it_ends_at_once() {
    for line in ["true", "false", "exit 0; true", "kill -KILL $$", ":", "", " "] {
        is_lost(&via(line), "ended");
    }
}

/// `exec` in front of every plain line would break those that begin with what only a shell knows.
#[test]
fn a_line_may_begin_with_what_the_shell_itself_does() {
    let taken = |line: &&str| {
        let line = line.replace("{}", PROGRAM);
        let ended = run(&mut trunkline(["exec", "--via", &line, "--", "echo", "here"]));
        (ended.code, ended.text()) == (Some(0), "here\n")
    };
    let lines = [
        "{} agent",
        "  {}  agent  ",
        "exec {} agent",
        "command {} agent",
        "eval {} agent",
        "LANG=C {} agent",
        "cd / && {} agent",
        "if true; then {} agent; fi",
        "! {} agent",
        "{ {} agent; }",
        "( {} agent )",
        "{} agent # to be used with care",
        "{} \\\nagent",
        "'{}' \"agent\"",
    ];
    let refused: Vec<_> = lines.into_iter().filter(|line| !taken(line)).collect();
    assert!(refused.is_empty(), "lines every shell takes: {refused:?}");
    is_lost(&via("exit 3"), "status 3");
}

#[test]
fn it_is_killed_in_the_middle() {
    let marker = Marker::new();
    let script = "echo $PPID; cat >/dev/null; : the end of input ends it";
    let line = format!("{PROGRAM} agent");
    let mut command = trunkline(["exec", "--via", &line, "--", "sh", "-c", script, marker.text()]);
    let job = Job::start_fed(&mut command);
    let agent: i32 = job.out.line().parse().unwrap();
    kill_process(Pid::from_raw(agent).unwrap(), Signal::KILL).unwrap();
    job.err.until("\n");
    let ended = job.end();
    is_lost(&ended, "137");
    marker.gone();
}

#[test]
fn it_ends_without_an_exit() {
    for frames in [vec![], vec![data(1, "out")], vec![data(1, "out"), eof(1), eof(2)]] {
        let crafted = Crafted::frames(&frames);
        let ended = via(&crafted.says());
        is_lost(&ended, "ended");
        assert_eq!(ended.text(), if frames.is_empty() { "" } else { "out" });
    }
}

#[test]
fn it_ends_in_the_middle_of_a_frame() {
    let whole = bytes_of(&[data(1, "first"), data(1, "second")]);
    for cut in [1, 5, 11] {
        let ended = via(&Crafted::bytes(&whole[..whole.len() - cut]).says());
        is_lost(&ended, "middle of a frame");
        assert_eq!(ended.text(), "first");
    }
}

#[test]
fn it_closes_its_output_and_stays() {
    let (marker, part) = (Marker::new(), Crafted::bytes(&[0xa1, 0x61]));
    let line = format!("{}; exec sleep {} >&-", part.says(), marker.text());
    is_lost(&via(&line), "middle of a frame");
    marker.gone();
}

/// What it said before is heard, whatever becomes of the other direction.
#[test]
fn it_closes_its_input_and_answers() {
    let crafted = Crafted::frames(&[data(1, "out"), json!({"t": 5, "c": 3})]);
    let line = format!("exec <&-; {}", crafted.says());
    run(&mut trunkline(["exec", "--via", &line, "--", "true"])).is(3, "out", "");
    // With input on its way that nobody takes.
    let line = format!("head -c 100000 >/dev/null; exec <&-; {}", crafted.says());
    let mut command = trunkline(["exec", "--via", &line, "--", "true"]);
    run_with(&mut command, &vec![0; 4 << 20]).is(3, "out", "");
}

#[test]
fn it_closes_its_input_and_stays() {
    let marker = Marker::new();
    is_lost(&via(&format!("exec sleep {} <&-", marker.text())), "");
    marker.gone();
}

#[test]
fn nonsense_after_frames_is_told_and_what_came_before_is_kept() {
    let mut bytes = bytes_of(&[data(1, "good")]);
    bytes.extend(b"Connection to host closed by remote host.\r\n");
    let ended = Crafted::bytes(&bytes).exec();
    is_lost(&ended, "Connection to host closed");
    assert_eq!(ended.text(), "good");
}

#[test]
fn a_login_banner_is_shown() {
    let banners = [
        ("Welcome to Ubuntu\n", "Welcome to Ubuntu"),
        ("\n", "\\n"),
        ("\r\nLast login: today\r\n", "Last login"),
        ("0", "0"),
        ("hi", "hi"),
        ("*** staff only ***\n", "staff only"),
        ("-bash: warning: setlocale\n", "setlocale"),
        ("stty: standard input: Inappropriate ioctl for device\n", "stty: standard input"),
        ("{\"error\":\"no such container\"}\n", "no such container"),
        ("\u{feff}byte order\n", "byte order"),
        ("日本語\n", "日本語"),
    ];
    for (banner, text) in banners {
        is_lost(&Crafted::bytes(banner.as_bytes()).exec(), text);
    }
}

/// Some bytes are no beginning of an item at all, and some begin one: users see a banner all the same.
#[test]
fn a_banner_is_shown_whatever_character_it_begins_with() {
    let frame = |c: char| format!("{c}{c}{c} Welcome {c}{c}{c}\n");
    let shown = |c: &char| {
        let ended = Crafted::bytes(frame(*c).as_bytes()).exec();
        ended.code == Some(255) && ended.lines().len() == 1 && ended.line().contains("Welcome")
    };
    let first = "=<>|~^?]\\}#*-_+.:!@%&/'\"([{ \t\x1bAz09ÄÉßñØčłйЯΩאع한🎉";
    let hidden: String = first.chars().filter(|c| !shown(c)).collect();
    assert_eq!(hidden, "", "banners that begin with these are not shown");
}

#[test]
fn a_banner_is_harmless() {
    let ended = Crafted::bytes(b"\x1b[2J\x07Welcome\r\n\xff\xc2\x9b1m").exec();
    is_lost(&ended, "Welcome");
    assert!(!ended.line().contains(|c: char| c.is_control()), "{ended:?}");
    let long = Crafted::bytes("x".repeat(100_000).as_bytes()).exec();
    is_lost(&long, "xxx");
    assert!(long.line().len() < 500, "{long:?}");
}

/// A real agent behind a banner is lost too, and ends.
#[test]
fn an_agent_behind_a_banner_ends() {
    let marker = Marker::new();
    let line = format!("echo Welcome; {PROGRAM} agent; : {}", marker.text());
    is_lost(&via(&line), "Welcome");
    marker.gone();
}

#[test]
fn noise_is_told() {
    for start in 1..=8_u8 {
        let noise: Vec<u8> =
            (0..2_000_u32).map(|n| (n * 7 / 4) as u8 ^ start.rotate_left(n)).collect();
        is_lost(&Crafted::bytes(&noise).exec(), "lost");
    }
}

#[test]
fn silence_ends_at_the_timeout() {
    let marker = Marker::new();
    let ended = via(&format!("sleep {}", marker.text()));
    is_lost(&ended, "no answer in time");
    assert!(ended.took < LONG / 3, "{ended:?}");
    marker.gone();
}

/// Nobody must be left behind, also where the shell stays between this side and the agent.
#[test]
fn silence_behind_a_shell_leaves_nothing() {
    let marker = Marker::new();
    is_lost(&via(&format!("sleep {}; true", marker.text())), "no answer in time");
    marker.gone();
}

#[test]
fn silence_behind_a_pipeline_leaves_nothing() {
    let marker = Marker::new();
    is_lost(&via(&format!("sleep {0} | grep {0}", marker.text())), "no answer in time");
    marker.gone();
}

/// Ending what the shell waits for must not make it go on to the next.
#[test]
fn silence_behind_a_list_leaves_nothing() {
    let marker = Marker::new();
    let line = format!("sleep {0}; ", marker.text()).repeat(5);
    // Several at once: the shell is seldom fast enough.
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| is_lost(&via(&line), "no answer in time"));
        }
    });
    marker.gone();
}

#[test]
fn one_that_ignores_being_asked_is_killed() {
    let marker = Marker::new();
    // The shell reads nothing and ignores everything but SIGKILL.
    let line = format!("trap '' TERM HUP; exec sleep {}", marker.text());
    is_lost(&via(&line), "no answer in time");
    marker.gone();
}

/// The shell ends when it is asked to, and leaves what it was waiting for.
#[test]
fn one_that_ignores_being_asked_behind_a_shell_is_killed() {
    let marker = Marker::new();
    let line = format!("sh -c \"trap '' TERM HUP; sleep {0}; :\" {0}; true", marker.text());
    let ended = via(&line);
    is_lost(&ended, "no answer in time");
    // What ended it was ended from here, and says nothing about it.
    assert!(!ended.line().contains("status"), "{ended:?}");
    marker.gone();
}

#[test]
fn a_frame_that_never_ends_is_no_answer() {
    let (marker, part) = (Marker::new(), Crafted::bytes(&[0xa2, 0x61, b't']));
    let line = format!("{}; exec sleep {}", part.says(), marker.text());
    is_lost(&via(&line), "no answer in time");
    marker.gone();
}

#[test]
fn a_frame_beyond_the_limit_is_refused_from_its_head() {
    // {"d": a byte string of 2^62 bytes, of which nothing comes
    let ended = Crafted::bytes(b"\xa2\x61d\x5b\x40\0\0\0\0\0\0\0").exec();
    is_lost(&ended, "more than");
    // The same without a length: 0x5f, then chunk after chunk.
    let chunk = [&[0x59, 0xff, 0xff][..], &vec![0; 65_535]].concat();
    let endless = [&b"\xa2\x61d\x5f"[..], &chunk.repeat(300)].concat();
    is_lost(&Crafted::bytes(&endless).exec(), "more than");
}

#[test]
fn answers_to_something_else_are_no_answer() {
    let strange = strange_frames();
    is_lost(&Crafted::frames(&strange).exec_to_the_end(), "ended");
    // They harm nobody either.
    let mut frames = strange;
    frames.extend([data(1, "out"), json!({"t": 5, "c": 4})]);
    Crafted::frames(&frames).exec().is(4, "out", "");
}

impl Crafted {
    fn exec_to_the_end(&self) -> Ended {
        via(&self.says())
    }
}

fn strange_frames() -> Vec<Value> {
    vec![
        json!({"t": 10, "i": {"entries": null}}),
        json!({"t": 12, "frp": {"id": 1}}),
        json!({"t": 6, "e": "an error frame"}),
        json!({"t": 4, "sig": 15}),
        json!({"t": 8, "cfg": {"env_keep": null, "env_remove": null}}),
        json!({"t": 9, "q": {}}),
        json!({"t": 7}),
        json!({"t": 0}),
        json!({"t": 77}),
        data(0, "to nobody"),
        data(99, "to nobody"),
        eof(99),
    ]
}
