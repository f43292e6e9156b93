//! Dropping any future at any of its polls loses nothing, doubles nothing and leaks nothing.

use std::future::Future;
use std::io::IoSlice;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use bytes::{Buf as _, Bytes};

use super::wires::{Kind, over_each_wire, serve, stream};
use crate::cases::support::{Pattern, cancel_at, eventually, turn};
use crate::cases::wire::{Pace, Rough};
use crate::rt::{self, CloseReason, Connection, StreamEnd};

over_each_wire!(
    halves_given_up_at_any_poll_lose_and_double_nothing,
    whole_streams_given_up_at_any_poll_lose_and_double_nothing,
    opens_and_accepts_given_up_at_any_poll_lose_no_stream,
    opens_that_wait_for_others_and_are_given_up_at_any_poll_lose_no_place,
    ends_given_up_at_any_poll_are_told_again,
    ends_of_streams_given_up_at_any_poll_are_told_again,
    pings_given_up_at_any_poll_leave_the_next_one_alone,
    waiting_given_up_by_many_tasks_piles_nothing_up,
);

/// What streams are read and written with, given up here.
pub(crate) const FUTURES: [&str; 9] = [
    "mux.rs poll_flush",
    "mux.rs poll_read",
    "mux.rs poll_read_chunk",
    "mux.rs poll_shutdown",
    "mux.rs poll_write",
    "mux.rs poll_write_bytes",
    "mux.rs poll_write_vectored",
    "mux.rs read_chunk",
    "mux.rs write_bytes",
];

/// More polls than any future here needs until it is ready.
const MOST: usize = 200;

/// Futures that are dropped at their n-th poll, if that is in vain.
struct GivenUp {
    at: usize,
    count: AtomicUsize,
}

impl GivenUp {
    async fn or<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let result = cancel_at(self.at, future).await;
        self.count.fetch_add(usize::from(result.is_none()), Ordering::Relaxed);
        result
    }
}

/// Runs a test with futures dropped at their first poll, their second and so on, until all of them
/// are ready before they are dropped.
async fn at_every_poll(mut run: impl AsyncFnMut(Arc<GivenUp>)) {
    for at in 1..=MOST {
        let given_up = Arc::new(GivenUp { at, count: AtomicUsize::new(0) });
        run(Arc::clone(&given_up)).await;
        if given_up.count.load(Ordering::Relaxed) == 0 {
            return;
        }
    }
    panic!("something is not ready after {MOST} polls");
}

/// A pair behind a wire that makes everybody wait all the time.
fn nervous(kind: Kind) -> (Connection, Connection) {
    let rough = |end| Rough::new(end, 9_000, Pace::Nervous, true);
    let (client, server, _line) = kind.pair_with(10_000, rough, rough);
    (client, server)
}

/// By what a stream is read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Chunks,
    Slices,
    ManySlices,
}

const WAYS: [By; 3] = [By::Chunks, By::Slices, By::ManySlices];

/// Writes the front of a piece, or gives up; either way what is left was not taken.
macro_rules! put {
    ($given_up:expr, $by:expr, $writer:expr, $piece:expr) => {{
        let slice: Bytes = $piece.clone();
        let taken = match $by {
            By::Chunks => {
                if let Some(done) = $given_up.or($writer.write_bytes(&mut $piece)).await {
                    done.unwrap();
                }
                None
            }
            By::Slices => $given_up.or(rt::write(&mut $writer, &slice)).await,
            By::ManySlices => {
                let (one, two) = slice.split_at(slice.len() / 2);
                let both = [IoSlice::new(one), IoSlice::new(two)];
                $given_up.or(rt::write_vectored(&mut $writer, &both)).await
            }
        };
        if let Some(taken) = taken {
            $piece.advance(taken.unwrap());
        }
        let _ = $given_up.or(rt::flush(&mut $writer)).await;
    }};
}

/// Reads what there is; nothing when it was given up.
macro_rules! get {
    ($given_up:expr, $by:expr, $reader:expr) => {{
        let mut buf = [0; 1_001];
        match $by {
            By::Chunks => {
                let read = $given_up.or($reader.read_chunk()).await;
                read.map(|chunk| chunk.unwrap().expect("no end"))
            }
            By::Slices | By::ManySlices => {
                let read = $given_up.or(rt::read(&mut $reader, &mut buf)).await;
                read.map(|length| Bytes::copy_from_slice(&buf[..length.unwrap()]))
            }
        }
    }};
}

async fn halves_given_up_at_any_poll_lose_and_double_nothing(kind: Kind) {
    const COUNT: usize = 200_000;
    for by in WAYS {
        at_every_poll(async |given_up| {
            let (client, server) = nervous(kind);
            let _serving = serve(server);
            let (mut reader, mut writer) = client.open().await.unwrap().into_split();
            let writing = rt::spawn({
                let given_up = Arc::clone(&given_up);
                async move {
                    let pattern = Pattern::new();
                    let mut sent = 0;
                    while sent < COUNT {
                        let most = if sent % 2 == 0 { 20_001 } else { 501 };
                        let mut piece = pattern.at(sent, most.min(COUNT - sent));
                        let length = piece.len();
                        put!(given_up, by, writer, piece);
                        sent += length - piece.len();
                    }
                    writer
                }
            });
            let pattern = Pattern::new();
            let mut seen = 0;
            while seen < COUNT {
                let Some(bytes) = get!(given_up, by, reader) else { continue };
                assert!(!bytes.is_empty(), "an end");
                pattern.check(seen, &bytes);
                seen += bytes.len();
            }
            let mut writer = writing.await;
            while given_up.or(rt::close(&mut writer)).await.is_none() {}
        })
        .await;
    }
}

async fn whole_streams_given_up_at_any_poll_lose_and_double_nothing(kind: Kind) {
    const COUNT: usize = 60_000;
    for by in WAYS {
        at_every_poll(async |given_up| {
            let (client, server) = nervous(kind);
            let _serving = serve(server);
            let mut stream = client.open().await.unwrap();
            let pattern = Pattern::new();
            let mut seen = 0;
            while seen < COUNT {
                let mut piece = pattern.at(seen, 6_001.min(COUNT - seen));
                let end = seen + piece.len();
                while !piece.is_empty() {
                    put!(given_up, by, stream, piece);
                }
                while seen < end {
                    let Some(bytes) = get!(given_up, by, stream) else { continue };
                    assert!(!bytes.is_empty(), "an end");
                    pattern.check(seen, &bytes);
                    seen += bytes.len();
                }
            }
            while given_up.or(rt::close(&mut stream)).await.is_none() {}
        })
        .await;
    }
}

async fn opens_and_accepts_given_up_at_any_poll_lose_no_stream(kind: Kind) {
    const STREAMS: u8 = 40;
    for as_a_stream in [false, true] {
        at_every_poll(async |given_up| {
            let (client, server) = nervous(kind);
            let opening = rt::spawn({
                let given_up = Arc::clone(&given_up);
                async move {
                    let mut kept = Vec::new();
                    for number in 0..STREAMS {
                        let mut stream = loop {
                            if let Some(stream) = given_up.or(client.open()).await {
                                break stream.unwrap();
                            }
                        };
                        rt::write_all(&mut stream, &[number]).await.unwrap();
                        kept.push(stream);
                    }
                    (client, kept)
                }
            });
            let mut numbers = Vec::new();
            let mut kept = Vec::new();
            let mut incoming = server.incoming();
            while numbers.len() < usize::from(STREAMS) {
                let accepted = if as_a_stream {
                    let next = given_up.or(rt::next(&mut incoming)).await;
                    next.map(|next| next.expect("no end"))
                } else {
                    given_up.or(server.accept()).await
                };
                let Some(stream) = accepted else { continue };
                let mut stream = stream.unwrap();
                numbers.push(rt::read_exact(&mut stream, 1).await.unwrap()[0]);
                kept.push(stream);
                if !as_a_stream {
                    // One that waits and is not asked would be in the way of who asks.
                    incoming = server.incoming();
                }
            }
            assert_eq!(numbers, (0..STREAMS).collect::<Vec<_>>());
            let (client, opened) = opening.await;
            assert_eq!(client.stats().opened, u64::from(STREAMS));
            drop((opened, kept));
            eventually("no streams", || client.stats().streams + server.stats().streams == 0).await;
        })
        .await;
    }
}

async fn opens_that_wait_for_others_and_are_given_up_at_any_poll_lose_no_place(kind: Kind) {
    // As many own opens as may wait for the peer: only yamux has such.
    const WAITING: u64 = 256;
    at_every_poll(async |given_up| {
        let (client, server, _line) = kind.pair();
        if kind != Kind::Yamux {
            return;
        }
        // Nobody accepts them yet.
        let mut kept = Vec::new();
        for _ in 0..WAITING {
            kept.push(client.open().await.unwrap());
        }
        // Two more wait, of which the first may give up; the other one gets its place.
        let first = rt::spawn({
            let (client, given_up) = (client.clone(), Arc::clone(&given_up));
            async move { given_up.or(client.open()).await }
        });
        let second = rt::spawn({
            let client = client.clone();
            async move { client.open().await }
        });
        for _ in 0..3 {
            turn().await;
        }
        let _theirs = server.accept().await.unwrap();
        let first = first.await;
        let _more = if first.is_some() { Some(server.accept().await.unwrap()) } else { None };
        let second = second.await.unwrap();
        let opened = WAITING + 1 + u64::from(first.is_some());
        assert_eq!(client.stats().opened, opened);
        drop((kept, first, second));
    })
    .await;
}

async fn ends_given_up_at_any_poll_are_told_again(kind: Kind) {
    at_every_poll(async |given_up| {
        let (client, server) = nervous(kind);
        let (mut ours, mut theirs) = stream(&client, &server).await;
        rt::write_all(&mut ours, &[3; 20_000]).await.unwrap();
        ours.finish();
        let reading = rt::spawn(async move { rt::read_to_end(&mut theirs).await });
        assert!(cancel_at(1, client.closed()).await.is_none());
        let reason = loop {
            if let Some(reason) = given_up.or(client.close()).await {
                break reason;
            }
        };
        assert_eq!(reason, CloseReason::Local);
        while given_up.or(server.closed()).await.is_none() {}
        assert_eq!(reading.await.unwrap().len(), 20_000);
    })
    .await;
}

async fn ends_of_streams_given_up_at_any_poll_are_told_again(kind: Kind) {
    at_every_poll(async |given_up| {
        let (client, server) = nervous(kind);
        let (ours, _theirs) = stream(&client, &server).await;
        let (reader, writer) = ours.into_split();
        let finishing = rt::spawn(async move {
            turn().await;
            writer.finish();
            writer
        });
        let end = loop {
            if let Some(end) = given_up.or(reader.closed()).await {
                break end;
            }
        };
        assert_eq!(end, StreamEnd::Finished);
        let writer = finishing.await;
        assert_eq!(given_up.or(writer.closed()).await, Some(StreamEnd::Finished));
        assert_eq!(given_up.or(writer.stream().closed()).await, Some(StreamEnd::Finished));
    })
    .await;
}

async fn pings_given_up_at_any_poll_leave_the_next_one_alone(kind: Kind) {
    at_every_poll(async |given_up| {
        let (client, _server) = nervous(kind);
        if !client.abilities().ping {
            return;
        }
        for _ in 0..50 {
            if let Some(answer) = given_up.or(client.ping()).await {
                answer.unwrap();
            }
        }
        client.ping().await.unwrap();
    })
    .await;
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
