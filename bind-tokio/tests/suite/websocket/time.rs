//! Signs of life of a WebSocket.

use std::time::Duration;

use trunkline_core::TimeoutKind;

use super::raw::{BINARY, PING, PONG, Peer, pinging};
use crate::cases::support::{Pattern, turn};
use crate::rt::{self, CloseReason};

const SOON: Duration = Duration::from_millis(5);
const LATE: Duration = Duration::from_secs(40);

#[test]
fn a_peer_that_answers_no_ping_is_lost() {
    rt::each(async || {
        let (client, mut peer, _line) = Peer::new(pinging(SOON, SOON)).await;
        // It may be over before that.
        if let Ok(mut stream) = client.open().await {
            assert!(rt::read_to_end(&mut stream).await.is_err());
        }
        assert_eq!(client.closed().await, CloseReason::Timeout(TimeoutKind::KeepAlive));
        assert_eq!(peer.next_of(PING).await, b"1");
        peer.gone().await;
    });
}

#[test]
fn a_peer_that_answers_is_asked_again_and_again() {
    rt::each(async || {
        let (client, mut peer, _line) = Peer::new(pinging(SOON, LATE)).await;
        for count in 1..=5_u32 {
            let payload = peer.next_of(PING).await;
            assert_eq!(payload, count.to_string().into_bytes());
            peer.send(PONG, &payload).await;
        }
        assert_eq!(client.close_reason(), None);
    });
}

#[test]
fn a_ping_that_waits_takes_the_writer_s_wake_up_from_nobody() {
    rt::each(async || {
        const COUNT: usize = 400_000;
        let (client, mut peer, line) = Peer::new(pinging(SOON, LATE)).await;
        // Everything is full: the writer waits, then a ping comes due and waits as well.
        line.up.hold();
        let mut stream = client.open().await.unwrap();
        let writing = rt::spawn(async move {
            let mut sent = 0;
            let pattern = Pattern::new();
            while sent < COUNT {
                let piece = pattern.at(sent, COUNT - sent);
                sent += piece.len();
                rt::write_all(&mut stream, &piece).await.unwrap();
            }
            stream
        });
        let mut data = 0;
        for _ in 0..3 {
            rt::sleep(2 * SOON).await;
            turn().await;
        }
        line.up.open();
        let mut pings = 0;
        // The window of yamux ends it before all of it has come: what is granted must come.
        while data < 250_000 || pings < 2 {
            let (opcode, payload) = peer.next().await;
            match opcode {
                BINARY => data += payload.len(),
                PING => {
                    pings += 1;
                    peer.send(PONG, &payload).await;
                }
                other => panic!("{other}"),
            }
        }
        assert_eq!(client.close_reason(), None);
        drop(writing);
    });
}
