//! Ends and breaks of terminals and forwards: each is told as what it is, and nothing is left over.

use bytes::Bytes;
use trunkline_core::ExitStatus;

use super::pair;
use crate::cases::support::eventually;
use crate::rt;
use crate::rt::tunnel::{
    AgentOptions, Dialect, OwnTerminal, Shell, Target, TerminalEvent, TerminalReader,
};

fn with_shell() -> AgentOptions {
    let mut options = AgentOptions::default();
    options.shell = Some(Shell::new());
    options
}

fn script(script: &str) -> OwnTerminal {
    let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    OwnTerminal { term: "xterm".into(), cols: 80, rows: 24, command: Some(command) }
}

/// What is shown until it contains this, or to the end.
async fn until(reader: &mut TerminalReader, text: &str) -> (String, Option<ExitStatus>) {
    let mut shown = String::new();
    while text.is_empty() || !shown.contains(text) {
        match reader.next().await.unwrap() {
            Some(TerminalEvent::Output(bytes)) => shown.push_str(&String::from_utf8_lossy(&bytes)),
            Some(TerminalEvent::End(status)) => return (shown, Some(status)),
            other => panic!("{other:?}"),
        }
    }
    (shown, None)
}

#[test]
fn input_ends_within_a_line_as_well_as_behind_one() {
    rt::each(async || {
        for input in ["", "whole\n", "torn"] {
            let pair = pair(Dialect::Own, with_shell());
            let terminal = pair.tunnel.open_terminal(script("cat; exit 5")).await.unwrap();
            let (mut reader, writer) = terminal.split();
            writer.write(Bytes::from_static(input.as_bytes())).await.unwrap();
            writer.finish();
            let (_, end) = until(&mut reader, "").await;
            assert_eq!(end.and_then(|end| end.code()), Some(5), "{input:?}");
        }
    });
}

#[test]
fn a_terminal_whose_input_is_over_is_hung_up_with_its_link() {
    rt::each(async || {
        let pair = pair(Dialect::Own, with_shell());
        let wanted = script("cat > /dev/null; echo pid $$ over; exec sleep 1000");
        let (mut reader, writer) = pair.tunnel.open_terminal(wanted).await.unwrap().split();
        writer.finish();
        let (shown, _) = until(&mut reader, "over").await;
        let pid: u32 = shown.split_whitespace().nth(1).unwrap().parse().unwrap();
        pair.tunnel.abort();
        let stat = format!("/proc/{pid}/stat");
        eventually("the command is gone", || {
            std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "))
        })
        .await;
    });
}

#[test]
fn frames_of_two_writers_are_never_torn_apart() {
    rt::each(async || {
        let pair = pair(Dialect::Own, with_shell());
        // Nobody reads what is typed, until both have long been stuck.
        let wanted =
            script("stty raw -echo; echo ready; read line; exec head -c 3000000 > /dev/null");
        let (mut reader, writer) = pair.tunnel.open_terminal(wanted).await.unwrap().split();
        until(&mut reader, "ready").await;
        let other = writer.clone();
        let sizes = rt::spawn(async move {
            for cols in 1..2000 {
                other.resize(cols, 10).await.unwrap();
            }
        });
        let mut input = vec![b'x'; 3_000_100];
        input[0] = b'\n';
        // A torn frame breaks the stream, or gives the command something else to read.
        let _ = writer.write(input.into()).await;
        let (_, end) = until(&mut reader, "").await;
        assert_eq!(end.and_then(|end| end.code()), Some(0));
        drop(sizes);
    });
}

#[test]
fn a_forward_that_is_lost_is_no_end_to_its_target() {
    rt::each(async || {
        let (listener, port) = rt::listen().await;
        let mut options = AgentOptions::default();
        let target: Target = format!("127.0.0.1:{port}").parse().unwrap();
        options.allowed = [target].into_iter().collect();
        let pair = pair(Dialect::Own, options);
        let _forward = pair.tunnel.open_forward("127.0.0.1", port).await.unwrap();
        let mut socket = rt::accept(&listener).await;
        pair.tunnel.abort();
        assert!(rt::read_to_end(&mut socket).await.is_err(), "an end was told");
    });
}
