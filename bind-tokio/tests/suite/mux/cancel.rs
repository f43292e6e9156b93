//! Dropping any future at any of its polls loses nothing, doubles nothing and leaks nothing.

use std::future::Future as _;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use bytes::{Buf as _, Bytes};

use super::wires::{Kind, over_each_wire, serve, stream};
use crate::cases::support::{Pattern, cancel_at, eventually, turn};
use crate::cases::wire::{Pace, Rough};
use crate::rt::{self, CloseReason, Connection};

over_each_wire!(
    reads_and_writes_given_up_at_any_poll_lose_and_double_nothing,
    opens_and_accepts_given_up_at_any_poll_lose_no_stream,
    ends_given_up_at_any_poll_are_told_again,
    pings_given_up_at_any_poll_leave_the_next_one_alone,
    waiting_given_up_by_many_tasks_piles_nothing_up,
);

/// What streams are read and written with, given up here.
pub(crate) const FUTURES: [&str; 5] = [
    "mux.rs poll_flush",
    "mux.rs poll_read",
    "mux.rs poll_shutdown",
    "mux.rs poll_write",
    "mux.rs poll_write_vectored",
];

/// How many polls a future gets before it is dropped.
const POLLS: [usize; 4] = [1, 2, 3, 7];

/// A pair behind a wire that makes everybody wait all the time.
fn nervous(kind: Kind) -> (Connection, Connection) {
    let rough = |end| Rough::new(end, 9_000, Pace::Nervous, true);
    let (client, server, _line) = kind.pair_with(10_000, rough, rough);
    (client, server)
}

async fn reads_and_writes_given_up_at_any_poll_lose_and_double_nothing(kind: Kind) {
    const COUNT: usize = 300_000;
    for polls in POLLS {
        for chunks in [true, false] {
            let (client, server) = nervous(kind);
            let _serving = serve(server);
            let (mut reader, mut writer) = client.open().await.unwrap().into_split();
            let writing = rt::spawn(async move {
                let pattern = Pattern::new();
                let mut sent = 0;
                while sent < COUNT {
                    let most = if sent % 2 == 0 { 20_001 } else { 501 };
                    let mut piece = pattern.at(sent, most.min(COUNT - sent));
                    let length = piece.len();
                    if chunks {
                        let _ = cancel_at(polls, writer.write_bytes(&mut piece)).await;
                    } else {
                        let slice = piece.clone();
                        if let Some(taken) = cancel_at(polls, rt::write(&mut writer, &slice)).await
                        {
                            piece.advance(taken.unwrap());
                        }
                    }
                    sent += length - piece.len();
                    let _ = cancel_at(polls, rt::flush(&mut writer)).await;
                }
                writer
            });
            let pattern = Pattern::new();
            let mut seen = 0;
            while seen < COUNT {
                let mut buf = [0; 1_001];
                let bytes = if chunks {
                    let read = cancel_at(polls, reader.read_chunk()).await;
                    read.map(|chunk| chunk.unwrap().unwrap())
                } else {
                    let read = cancel_at(polls, rt::read(&mut reader, &mut buf)).await;
                    read.map(|length| Bytes::copy_from_slice(&buf[..length.unwrap()]))
                };
                let Some(bytes) = bytes else { continue };
                assert!(!bytes.is_empty(), "an end");
                pattern.check(seen, &bytes);
                seen += bytes.len();
            }
            let mut writer = writing.await;
            while cancel_at(polls, rt::close(&mut writer)).await.is_none() {}
        }
    }
}

async fn opens_and_accepts_given_up_at_any_poll_lose_no_stream(kind: Kind) {
    const STREAMS: u8 = 60;
    for polls in POLLS {
        let (client, server) = nervous(kind);
        let opening = rt::spawn(async move {
            let mut kept = Vec::new();
            for number in 0..STREAMS {
                let mut stream = loop {
                    if let Some(stream) = cancel_at(polls, client.open()).await {
                        break stream.unwrap();
                    }
                };
                rt::write_all(&mut stream, &[number]).await.unwrap();
                kept.push(stream);
            }
            (client, kept)
        });
        let mut numbers = Vec::new();
        let mut kept = Vec::new();
        while numbers.len() < usize::from(STREAMS) {
            if let Some(stream) = cancel_at(polls, server.accept()).await {
                let mut stream = stream.unwrap();
                numbers.push(rt::read_exact(&mut stream, 1).await.unwrap()[0]);
                kept.push(stream);
            }
        }
        assert_eq!(numbers, (0..STREAMS).collect::<Vec<_>>());
        let (client, opened) = opening.await;
        assert_eq!(client.stats().opened, u64::from(STREAMS));
        drop((opened, kept));
        eventually("no streams", || client.stats().streams + server.stats().streams == 0).await;
    }
}

async fn ends_given_up_at_any_poll_are_told_again(kind: Kind) {
    for polls in POLLS {
        let (client, server) = nervous(kind);
        let (mut ours, mut theirs) = stream(&client, &server).await;
        rt::write_all(&mut ours, &[3; 20_000]).await.unwrap();
        ours.finish();
        let reading = rt::spawn(async move { rt::read_to_end(&mut theirs).await });
        assert!(cancel_at(1, client.closed()).await.is_none());
        let reason = loop {
            if let Some(reason) = cancel_at(polls, client.close()).await {
                break reason;
            }
        };
        assert_eq!(reason, CloseReason::Local);
        while cancel_at(polls, server.closed()).await.is_none() {}
        assert_eq!(reading.await.unwrap().len(), 20_000);
    }
}

struct Nothing;

impl Wake for Nothing {
    fn wake(self: Arc<Self>) {}
}

/// How many of so many tasks that began to wait and went away are still remembered.
pub(super) fn remembered(mut begin: impl FnMut(&mut Context<'_>)) -> usize {
    let wakers: Vec<_> = (0..500).map(|_| Arc::new(Nothing)).collect();
    for waker in &wakers {
        begin(&mut Context::from_waker(&Waker::from(Arc::clone(waker))));
    }
    wakers.iter().filter(|waker| Arc::strong_count(waker) > 1).count()
}

async fn pings_given_up_at_any_poll_leave_the_next_one_alone(kind: Kind) {
    for polls in POLLS {
        let (client, _server) = nervous(kind);
        if !client.abilities().ping {
            return;
        }
        let mut given_up = 0;
        while cancel_at(polls, client.ping()).await.is_none() && given_up < 50 {
            given_up += 1;
        }
        client.ping().await.unwrap();
    }
}

async fn waiting_given_up_by_many_tasks_piles_nothing_up(kind: Kind) {
    let (client, server, line) = kind.pair();
    let (mut ours, _theirs) = stream(&client, &server).await;
    line.up.hold();
    for _ in 0..3 {
        turn().await;
    }
    let left = remembered(|cx| assert!(pin!(client.accept()).poll(cx).is_pending()));
    assert_eq!(left, 0, "acceptors are remembered");
    let left = remembered(|cx| assert!(pin!(client.closed()).poll(cx).is_pending()));
    assert_eq!(left, 0, "waiters are remembered");
    if client.abilities().ping {
        let left = remembered(|cx| assert!(pin!(client.ping()).poll(cx).is_pending()));
        assert_eq!(left, 0, "pings are remembered");
    }
    let left = remembered(|cx| assert!(pin!(ours.read_chunk()).poll(cx).is_pending()));
    assert!(left <= 1, "{left} readers are remembered");
}
