//! Terminals, forwards, control streams and the registry.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use trunkline_core::ExitStatus;

use super::{DIALECTS, pair};
use crate::cases::mux::wires::Kind;
use crate::cases::support::{cancel_at, eventually};
use crate::rt::tunnel::{
    AgentOptions, Dialect, OwnTerminal, Raw, Registry, Shell, StreamType, Target, TerminalEvent,
    Tunnel, TunnelOptions, collect_control,
};
use crate::rt::{self, CloseReason};

fn terminal(command: &[&str]) -> OwnTerminal {
    OwnTerminal {
        term: "xterm".into(),
        cols: 101,
        rows: 37,
        command: Some(command.iter().map(|part| (*part).to_owned()).collect()),
    }
}

fn with_shell() -> AgentOptions {
    let mut options = AgentOptions::default();
    options.shell = Some(Shell::new());
    options
}

#[test]
fn a_header_given_up_at_any_poll_is_read_all_the_same() {
    rt::each(async || {
        for at in 1..6 {
            let (agent, relay, _line) = Kind::WebSocket.pair();
            let tunnel = Tunnel::new(relay, TunnelOptions::default());
            let _opened = tunnel.open(StreamType(0x7f), b"metadata").await.unwrap();
            let mut raw = Raw::accept(&agent).await.unwrap();
            let header = loop {
                let reading = rt::tunnel::read_header(&mut raw, Duration::from_secs(50));
                if let Some(header) = cancel_at(at, reading).await {
                    break header.unwrap();
                }
            };
            assert_eq!((header.kind, &header.metadata[..]), (StreamType(0x7f), &b"metadata"[..]));
        }
    });
}

#[test]
fn a_terminal_has_its_size_its_input_and_a_truthful_end() {
    rt::each(async || {
        let pair = pair(Dialect::Own, with_shell());
        let script = "stty size; read line; echo got $line; exit 7";
        let request = terminal(&["/bin/sh", "-c", script]);
        let terminal = pair.tunnel.open_terminal(request).await.unwrap();
        let (mut reader, writer) = terminal.split();
        writer.write(Bytes::from_static(b"hello\n")).await.unwrap();
        let mut shown = Vec::new();
        let end = loop {
            match reader.next().await.unwrap() {
                Some(TerminalEvent::Output(bytes)) => shown.extend_from_slice(&bytes),
                Some(TerminalEvent::End(status)) => break status,
                other => panic!("{other:?}"),
            }
        };
        let shown = String::from_utf8(shown).unwrap();
        assert!(shown.contains("37 101") && shown.contains("got hello"), "{shown:?}");
        assert_eq!(end.code(), Some(7), "{end:?}");
    });
}

#[test]
fn a_terminal_that_was_lost_has_no_code() {
    rt::each(async || {
        let pair = pair(Dialect::Own, with_shell());
        let request = terminal(&["/bin/sh", "-c", "echo here; exec sleep 1000"]);
        let terminal = pair.tunnel.open_terminal(request).await.unwrap();
        let (mut reader, _writer) = terminal.split();
        assert!(matches!(reader.next().await.unwrap(), Some(TerminalEvent::Output(_))));
        pair.agent.abort();
        loop {
            match reader.next().await {
                Ok(Some(TerminalEvent::Output(_))) => {}
                Ok(Some(TerminalEvent::End(status))) => {
                    assert!(matches!(status, ExitStatus::Lost(_)), "{status:?}");
                    break;
                }
                Ok(other) => panic!("{other:?}"),
                Err(_) => break,
            }
        }
    });
}

#[test]
fn a_forward_goes_where_it_may_and_nowhere_else() {
    rt::each(async || {
        let (listener, port) = rt::listen().await;
        let _serving = rt::spawn(async move {
            let mut socket = rt::accept(&listener).await;
            let read = rt::read_to_end(&mut socket).await.unwrap();
            rt::write_all(&mut socket, &read).await.unwrap();
            rt::close(&mut socket).await.unwrap();
        });
        let mut options = AgentOptions::default();
        let target: Target = format!("127.0.0.1:{port}").parse().unwrap();
        options.allowed = [target].into_iter().collect();
        let own = pair(Dialect::Own, options);
        let refused = own.tunnel.open_forward("127.0.0.1", 1).await.unwrap_err();
        assert!(refused.to_string().contains("does not allow"), "{refused}");
        let mut forward = own.tunnel.open_forward("127.0.0.1", port).await.unwrap();
        let mut data = Bytes::from(vec![7; 100_000]);
        while !data.is_empty() {
            poll_fn(|cx| forward.poll_write(cx, &mut data)).await.unwrap();
        }
        forward.finish();
        let mut heard = 0;
        while let Some(bytes) = poll_fn(|cx| forward.poll_read(cx)).await.unwrap() {
            heard += bytes.len();
        }
        assert_eq!(heard, 100_000);
        let original = pair(Dialect::Original, AgentOptions::default());
        let refused = original.tunnel.open_forward("127.0.0.1", port).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::Unsupported);
    });
}

#[test]
fn what_an_agent_tells_about_itself_arrives_again_and_again() {
    rt::each(async || {
        for dialect in DIALECTS {
            let mut options = AgentOptions::default();
            options.info = Arc::new(|| br#"{"hostname":"box"}"#.to_vec());
            options.info_interval = Duration::from_millis(5);
            let pair = pair(dialect, options);
            let told = Arc::new(Mutex::new(Vec::new()));
            let kept = Arc::clone(&told);
            let collecting =
                rt::spawn(collect_control(pair.tunnel.connection().clone(), move |document| {
                    kept.lock().unwrap().push(document);
                }));
            eventually("three documents", || told.lock().unwrap().len() >= 3).await;
            assert!(told.lock().unwrap().iter().all(|text| text == r#"{"hostname":"box"}"#));
            pair.tunnel.abort();
            assert_eq!(collecting.await, CloseReason::Local);
        }
    });
}

#[test]
fn an_agent_that_comes_back_replaces_its_old_tunnel() {
    rt::each(async || {
        let tunnel = || {
            let (agent, relay, line) = Kind::WebSocket.pair();
            (Tunnel::new(relay, TunnelOptions::default()), agent, line)
        };
        let registry = Registry::new();
        let ((old, old_agent, _line), (new, _agent, _other)) = (tunnel(), tunnel());
        let first = registry.register("box", old.clone());
        assert!(registry.get("box").unwrap().is_same(&old));
        let second = registry.register("box", new.clone());
        assert_eq!(old.closed().await, CloseReason::Local);
        old_agent.closed().await;
        assert!(registry.get("box").unwrap().is_same(&new));
        // The cleanup of the one that was replaced comes late, and takes nothing away.
        assert!(!registry.unregister("box", first));
        assert!(registry.unregister("box", second) && !registry.unregister("box", second));
        assert!(registry.get("box").is_none());
        assert_eq!(new.connection().close_reason(), None);
    });
}
