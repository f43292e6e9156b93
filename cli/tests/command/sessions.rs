//! Session after session, and at once.

use std::thread;

use crate::job::{Job, PROGRAM, exec, run, run_with, trunkline};
use crate::marker::Marker;

#[test]
fn twenty_in_a_row_leave_nothing_behind() {
    let marker = Marker::new();
    for round in 0..20 {
        let line = match round % 4 {
            0 => format!("{PROGRAM} agent"),
            1 => format!("{PROGRAM} agent; : {}", marker.text()),
            2 => format!("cat | {PROGRAM} agent | cat; : {}", marker.text()),
            _ => format!("sh -c 'exec {PROGRAM} agent' {}", marker.text()),
        };
        let script = "cat; exit $1";
        let mut command = trunkline(["exec", "--via", &line, "--", "sh", "-c", script]);
        command.args([marker.text(), &round.to_string()]);
        run_with(&mut command, b"in").is(round, "in", "");
        assert!(marker.all().is_empty(), "round {round}");
    }
}

#[test]
fn several_at_once_do_not_mix() {
    thread::scope(|scope| {
        for number in 0..6_i32 {
            scope.spawn(move || {
                let script = format!("read line; seq 1 20000; echo $line; exit {number}");
                let ended =
                    run_with(&mut exec(["sh", "-c", &script]), format!("{number}\n").as_bytes());
                let last = ended.text().lines().last().map(str::to_owned);
                assert_eq!((ended.code, last), (Some(number), Some(number.to_string())));
                assert_eq!(ended.text().lines().count(), 20_001);
            });
        }
    });
}

#[test]
fn a_link_may_cut_frames_anywhere() {
    let bytes = "dd bs=1 status=none";
    let line = format!("{bytes} | {PROGRAM} agent | {bytes}");
    let script = "cat; seq 1 500 >&2; exit 4";
    let mut command = trunkline(["exec", "--via", &line, "--", "sh", "-c", script]);
    let ended = run_with(&mut command, b"one byte at a time");
    assert_eq!((ended.code, ended.text()), (Some(4), "one byte at a time"), "{ended:?}");
    assert!(ended.err.lines().map(|line| line.parse().unwrap_or(0)).eq(1..=500));
}

#[test]
fn one_inside_another() {
    let command = exec([PROGRAM, "exec", "--", PROGRAM, "exec", "--", "sh", "-c", "cat; exit 9"]);
    let mut command = command;
    run_with(&mut command, b"through three").is(9, "through three", "");
}

#[test]
fn the_program_does_not_wait_for_a_stdin_that_stays_open() {
    let mut job = Job::start_fed(&mut exec(["echo", "done"]));
    assert_eq!(job.wait().code(), Some(0));
    // A file, a pipe or a terminal is one thing; a thread in a read is another.
    let script = r#"exec "$T" exec -- echo done </dev/zero"#;
    run(&mut crate::job::shell(script)).is(0, "done\n", "");
}
