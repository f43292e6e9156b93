//! What peers may not send, and how what is sent is grouped.

use trunkline_core::{Violation, carrier::Violation as Rule};

use super::raw::{BINARY, CLOSE, PING, PONG, Peer, TEXT, frame, quiet};
use crate::rt::{self, CloseReason, carrier};

/// What the client says to these bytes, and with which code.
async fn refused(bytes: &[u8], code: u16) -> Rule {
    let (client, mut peer, _line) = Peer::new(quiet()).await;
    peer.bytes(bytes).await;
    let told = peer.next_of(CLOSE).await;
    assert_eq!(told.get(..2), Some(&code.to_be_bytes()[..]), "{told:?}");
    peer.gone().await;
    match client.closed().await {
        CloseReason::Violation(Violation::Carrier(rule)) => rule,
        reason => panic!("no violation of the carrier's: {reason:?}"),
    }
}

#[test]
fn text_is_refused_with_1003() {
    rt::each(async || {
        assert_eq!(refused(&frame(TEXT, b"hello"), 1003).await, Rule::Text);
        assert_eq!(refused(&frame(TEXT, b"\xff\xff"), 1003).await, Rule::Text);
    });
}

#[test]
fn a_message_that_is_too_large_is_refused_with_1009_by_its_head() {
    rt::each(async || {
        let limit = (4 << 20) + (64 << 10);
        let length = limit + 1;
        let mut head = vec![0x82, 127];
        head.extend((length as u64).to_be_bytes());
        assert_eq!(refused(&head, 1009).await, Rule::TooLarge { length, limit });
        let mut endless = vec![0x82, 127];
        endless.extend((i64::MAX as u64).to_be_bytes());
        assert!(matches!(refused(&endless, 1009).await, Rule::TooLarge { .. }));
    });
}

#[test]
fn the_largest_message_there_may_be_is_taken_also_in_pieces() {
    rt::each(async || {
        let (client, mut peer, _line) = Peer::new(quiet()).await;
        // Pings of yamux, of which the last is answered for sure, in fragments of one message.
        let mut ping = vec![0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
        let mut first = frame(BINARY, &ping);
        first[0] = BINARY;
        peer.bytes(&first).await;
        ping[11] = 2;
        peer.bytes(&frame(0, &ping)).await;
        // An empty message means nothing.
        peer.send(BINARY, &[]).await;
        loop {
            let answer = peer.next_of(BINARY).await;
            if answer.chunks(12).any(|frame| frame[11] == 2) {
                break;
            }
        }
        assert_eq!(client.close_reason(), None);
    });
}

#[test]
fn frames_against_the_rules_of_websocket_are_refused_with_1002() {
    rt::each(async || {
        let mut masked = vec![0x82, 0x81, 1, 2, 3, 4];
        masked.push(0);
        for wrong in [
            masked,
            vec![0xc2, 0],
            vec![0x83, 0],
            vec![0x09, 0],
            vec![0x80, 0],
            [&[0x89, 126, 0, 126][..], &[0; 126]].concat(),
        ] {
            assert_eq!(refused(&wrong, 1002).await, Rule::Protocol, "{wrong:?}");
        }
    });
}

#[test]
fn pings_are_answered_also_while_nothing_else_is_sent() {
    rt::each(async || {
        let (client, mut peer, _line) = Peer::new(quiet()).await;
        for payload in [&b""[..], b"1", &[7; 125]] {
            peer.send(PING, payload).await;
            assert_eq!(peer.next().await, (PONG, payload.to_vec()));
        }
        // One that nobody asked for.
        peer.send(PONG, b"never").await;
        assert_eq!(client.close_reason(), None);
    });
}

#[test]
fn what_is_sent_at_once_is_one_message() {
    rt::each(async || {
        let (client, mut peer, _line) = Peer::new(quiet()).await;
        let mut stream = client.open().await.unwrap();
        rt::write_all(&mut stream, &[7; 100]).await.unwrap();
        let mut payload = peer.next_of(BINARY).await;
        if payload.len() == 12 {
            // The open left in a turn of its own.
            payload = peer.next_of(BINARY).await;
        }
        // The head and the data behind it.
        assert!(payload.ends_with(&[7; 100]) && payload.len() >= 112, "{}", payload.len());
    });
}

#[test]
fn large_writes_are_messages_of_64_kib_at_most() {
    rt::each(async || {
        let (client, mut peer, _line) = Peer::new(quiet()).await;
        let mut stream = client.open().await.unwrap();
        let mut data = bytes::Bytes::from(vec![7; 200_000]);
        stream.write_bytes(&mut data).await.unwrap();
        let mut seen = 0;
        while seen < 200_000 {
            let payload = peer.next_of(BINARY).await;
            assert!(!payload.is_empty() && payload.len() <= 64 << 10, "{}", payload.len());
            seen += payload.iter().filter(|byte| **byte == 7).count();
        }
    });
}

#[test]
fn the_original_s_frames_are_two_messages() {
    rt::each(async || {
        let mut config = quiet();
        config.grouping = carrier::Grouping::HeadAndPayload;
        let (client, mut peer, _line) = Peer::new(config).await;
        let mut stream = client.open().await.unwrap();
        let mut data = bytes::Bytes::from(vec![7; 200_000]);
        stream.write_bytes(&mut data).await.unwrap();
        let mut seen = 0;
        while seen < 200_000 {
            let head = peer.next_of(BINARY).await;
            assert_eq!((head.len(), head[0]), (12, 0));
            let length = u32::from_be_bytes([head[8], head[9], head[10], head[11]]) as usize;
            if head[1] == 0 && length > 0 {
                let payload = peer.next_of(BINARY).await;
                assert!(payload.len() == length && payload.iter().all(|byte| *byte == 7));
                seen += length;
            }
        }
    });
}
