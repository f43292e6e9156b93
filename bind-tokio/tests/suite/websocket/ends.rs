//! How connections inside WebSockets end: `docs/protocols/agent-tunnel.md` section 2.

use trunkline_core::{TimeoutKind, Violation};

use super::raw::{BINARY, CLOSE, Peer, close, quiet};
use crate::cases::support::{eventually, turn};
use crate::cases::wire::Fate;
use crate::rt::{self, CloseReason, MuxError, StreamEnd, carrier};

#[test]
fn an_orderly_close_says_1000_once_and_waits_for_the_answer() {
    rt::each(async || {
        let (client, mut peer, _line) = Peer::new(quiet()).await;
        let closing = rt::spawn(async move { client.close().await });
        assert_eq!(peer.next_of(CLOSE).await, close(1000, ""));
        peer.answer_close().await;
        // Nothing came behind the close.
        assert_eq!(rt::read(&mut peer.wire, &mut [0; 9]).await.unwrap(), 0);
        assert_eq!(closing.await, CloseReason::Local);
    });
}

#[test]
fn a_peer_that_answers_no_close_is_not_waited_for_for_long() {
    rt::each(async || {
        let (client, mut peer, _line) = Peer::new(quiet()).await;
        let closing = rt::spawn(async move { client.close().await });
        assert_eq!(peer.next_of(CLOSE).await, close(1000, ""));
        peer.gone().await;
        assert_eq!(closing.await, CloseReason::Local);
    });
}

#[test]
fn the_original_s_end_is_without_a_word() {
    rt::each(async || {
        let mut config = carrier::Config::reference(rt::Side::Client);
        config.pings = None;
        let (client, mut peer, _line) = Peer::new(config).await;
        let closing = rt::spawn(async move { client.close().await });
        // Not even yamux says anything here.
        assert_eq!(rt::read_to_end(&mut peer.wire).await.unwrap(), b"");
        assert_eq!(closing.await, CloseReason::Local);
    });
}

#[test]
fn a_killed_socket_is_an_error_and_never_an_end() {
    rt::each(async || {
        for fate in [Fate::End, Fate::Reset] {
            let (client, _peer, line) = Peer::new(quiet()).await;
            let mut stream = client.open().await.unwrap();
            rt::write_all(&mut stream, b"hello").await.unwrap();
            line.down.cut(fate);
            let error = rt::read_to_end(&mut stream).await.unwrap_err();
            let reason = client.closed().await;
            let lost = StreamEnd::Connection(reason.clone());
            assert_eq!(MuxError::of(&error), Some(&MuxError::Stream(lost)));
            match fate {
                Fate::End => assert_eq!(reason, CloseReason::Eof { mid_frame: false }),
                _ => assert!(matches!(reason, CloseReason::Transport { .. }), "{reason:?}"),
            }
        }
    });
}

#[test]
fn a_close_in_order_loses_the_streams_that_had_not_ended() {
    rt::each(async || {
        for payload in [close(1000, ""), Vec::new()] {
            let (client, mut peer, _line) = Peer::new(quiet()).await;
            let mut stream = client.open().await.unwrap();
            rt::write_all(&mut stream, b"hello").await.unwrap();
            peer.send(CLOSE, &payload).await;
            assert!(rt::read_to_end(&mut stream).await.is_err());
            assert_eq!(client.closed().await, CloseReason::Eof { mid_frame: false });
            peer.gone().await;
        }
    });
}

#[test]
fn a_close_with_another_code_says_which() {
    rt::each(async || {
        let (client, mut peer, _line) = Peer::new(quiet()).await;
        peer.send(CLOSE, &close(1011, "out of order")).await;
        let reason = CloseReason::Peer { code: 1011, text: "out of order".into() };
        assert_eq!(client.closed().await, reason);
        peer.gone().await;
    });
}

#[test]
fn a_close_in_the_middle_of_a_frame_is_told_as_such() {
    rt::each(async || {
        let (client, mut peer, _line) = Peer::new(quiet()).await;
        peer.send(BINARY, &[0, 2, 0]).await;
        peer.send(CLOSE, &close(1000, "")).await;
        assert_eq!(client.closed().await, CloseReason::Eof { mid_frame: true });
        peer.gone().await;
    });
}

#[test]
fn a_close_that_the_transport_does_not_take_ends_all_the_same() {
    rt::each(async || {
        let (client, _peer, line) = Peer::new(quiet()).await;
        line.up.break_after(line.up.written());
        let reason = client.close().await;
        let known = matches!(
            reason,
            CloseReason::Local
                | CloseReason::Transport { .. }
                | CloseReason::Timeout(TimeoutKind::Close)
        );
        assert!(known, "{reason:?}");
    });
}

#[test]
fn what_the_library_still_holds_is_sent_before_the_close() {
    rt::each(async || {
        // The wire takes little, and the library has the rest: nothing waits above it.
        let (client, mut peer, line) = Peer::behind(1_000, quiet()).await;
        line.up.hold();
        let mut stream = client.open().await.unwrap();
        rt::write_all(&mut stream, &[7; 40_000]).await.unwrap();
        stream.finish();
        eventually("the wire is full", || line.up.written() >= 1_000).await;
        let closing = rt::spawn(async move { client.close().await });
        for _ in 0..10 {
            turn().await;
        }
        line.up.open();
        let mut seen = 0;
        loop {
            match peer.next().await {
                (BINARY, payload) => seen += payload.iter().filter(|byte| **byte == 7).count(),
                (CLOSE, payload) => break assert_eq!(payload, close(1000, "")),
                other => panic!("{other:?}"),
            }
        }
        assert!(seen >= 40_000, "{seen}");
        peer.answer_close().await;
        peer.gone().await;
        assert_eq!(closing.await, CloseReason::Local);
        drop(stream);
    });
}

#[test]
fn an_aborted_connection_lets_go_of_its_socket() {
    rt::each(async || {
        let (client, mut peer, _line) = Peer::new(quiet()).await;
        client.abort();
        peer.gone().await;
        assert_eq!(client.closed().await, CloseReason::Local);
    });
}

#[test]
fn garbage_inside_messages_is_the_wire_s_violation() {
    rt::each(async || {
        let (client, mut peer, _line) = Peer::new(quiet()).await;
        peer.send(BINARY, &[0xff; 12]).await;
        let reason = client.closed().await;
        assert!(matches!(reason, CloseReason::Violation(Violation::Yamux(_))), "{reason:?}");
        peer.gone().await;
    });
}

#[test]
fn dropping_every_handle_closes_in_order() {
    rt::each(async || {
        let (client, mut peer, _line) = Peer::new(quiet()).await;
        drop(client);
        assert_eq!(peer.next_of(CLOSE).await, close(1000, ""));
        peer.answer_close().await;
        peer.gone().await;
    });
}
