//! Multiplexed connections under every schedule that a seed can think of, over every wire.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use trunkline_core::mux::{Mux, Side, StreamEnd};
use trunkline_core::{CloseReason, smux, wormhole, yamux};
use trunkline_drive::mux::{Connection, ReadHalf, Stream, WriteHalf};
use trunkline_drive::{Clock, File, Readiness, Runtime, StreamReader, StreamWriter};

use super::agent::pattern;
use super::wire::{End, wire};
use super::{Timer, chance, clock, elapsed, few, give_up, run, spawn};

/// The world as a runtime.
struct World;

/// No descriptor can be waited for here.
struct NoReady(Infallible);

impl Readiness for NoReady {
    fn register(_: OwnedFd) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match self.0 {}
    }

    fn poll_read_with<T>(
        &mut self,
        _: &mut Context<'_>,
        _: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        match self.0 {}
    }

    fn poll_write_with<T>(
        &mut self,
        _: &mut Context<'_>,
        _: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        match self.0 {}
    }
}

impl Runtime for World {
    type Sleep = Timer;
    type Ready = NoReady;
    type Reader = StreamReader;
    type Writer = StreamWriter;
    type Duplex = (StreamReader, StreamWriter);
    type File = File;
    type Stream = Stream;

    fn clock() -> Clock {
        clock()
    }

    fn spawn(future: impl Future<Output = ()> + Send + 'static) {
        spawn("a connection", future);
    }
}

/// What the peer of a wire keeps for all its streams together, where it keeps anything.
fn little() -> usize {
    if chance(50) { 1_000 + few(20_000) } else { 64 << 10 }
}

/// Both ends of one connection. Nothing but data and ends moves by itself: without keep-alive a
/// wake-up that is lost stays lost.
fn pair(kind: usize) -> (Connection<World>, Connection<World>) {
    let (near, far, _) = wire(100 + few(20_000));
    match kind {
        0 => {
            let mut config = yamux::Config::default();
            config.keep_alive = None;
            connect(near, far, |side| yamux::Connection::new(side, config.clone()))
        }
        1 | 2 => {
            let mut config = smux::Config::default();
            config.keep_alive = false;
            config.max_frame_size = 1_000;
            config.max_receive_buffer = little();
            config.max_stream_buffer = config.max_receive_buffer.min(config.max_stream_buffer);
            config.version = if kind == 1 { smux::Version::One } else { smux::Version::Two };
            connect(near, far, |side| smux::Connection::new(side, config.clone()))
        }
        _ => {
            let mut config = wormhole::Config::default();
            config.keep_alive_interval = Duration::ZERO;
            config.stall_guard = Duration::ZERO;
            connect(near, far, |side| wormhole::Connection::new(side, config.clone()))
        }
    }
}

fn connect<M: Mux + Send + 'static, E: Debug>(
    near: End,
    far: End,
    machine: impl Fn(Side) -> Result<M, E>,
) -> (Connection<World>, Connection<World>) {
    let client = Connection::new(near, machine(Side::Client).unwrap());
    (client, Connection::new(far, machine(Side::Server).unwrap()))
}

/// Writes the pattern in pieces of any size, by any way, and gives up now and then.
async fn write(mut writer: WriteHalf, count: usize) -> WriteHalf {
    let mut sent = 0;
    while sent < count {
        let mut piece = pattern(sent, few(9_000).min(count - sent));
        let length = piece.len();
        if chance(50) {
            if let Some(done) = give_up(few(3), writer.write_bytes(&mut piece)).await {
                done.unwrap();
            }
            sent += length - piece.len();
        } else {
            let write = poll_fn(|cx| writer.poll_write(cx, &[IoSlice::new(&piece)]));
            if let Some(taken) = give_up(few(3), write).await {
                sent += taken.unwrap();
            }
        }
    }
    writer
}

/// Reads the pattern, always and without a pause.
async fn read(mut reader: ReadHalf, count: usize) -> ReadHalf {
    let mut seen = 0;
    while seen < count {
        let mut bytes = Vec::new();
        if chance(50) {
            let room = few(5_000);
            let take = |piece: &[u8]| bytes.extend_from_slice(piece);
            let mut take = Some(take);
            let read = poll_fn(|cx| {
                let mut pass = |piece: &[u8]| (take.as_mut().unwrap())(piece);
                reader.poll_read_into(cx, room, &mut pass)
            });
            match give_up(few(3), read).await {
                Some(length) => assert_ne!(length.unwrap(), 0, "an end at {seen}"),
                None => continue,
            }
        } else {
            match give_up(few(3), reader.read_chunk()).await {
                Some(chunk) => bytes.extend_from_slice(&chunk.unwrap().expect("no end")),
                None => continue,
            }
        }
        assert_eq!(bytes, pattern(seen, bytes.len()), "other bytes");
        seen += bytes.len();
    }
    reader
}

async fn echo(stream: Stream, count: usize) {
    let (mut reader, mut writer) = stream.into_split();
    let mut left = count;
    while left > 0 {
        let mut chunk: Bytes = reader.read_chunk().await.unwrap().expect("no end");
        left -= chunk.len();
        writer.write_bytes(&mut chunk).await.unwrap();
    }
    // Not the first to end: on some wires that ends both directions.
    if let Ok(Some(more)) = reader.read_chunk().await {
        panic!("{} bytes too many", more.len());
    }
}

/// An echo over streams that are all read all the time, over yamux, smux 1, smux 2 or wormhole:
/// whoever waits is woken, whatever the schedule.
///
/// # Panics
///
/// When bytes are lost or doubled, or nobody was woken who could go on.
pub fn echoes(seed: u64, kind: usize) {
    let streams = if seed % 16 == 15 { 64 } else { 1 + seed as usize % 12 };
    run(seed, || {
        let (client, server) = pair(kind);
        let count = few(24_000).max(200) / streams.div_ceil(4);
        spawn("accepting", async move {
            for _ in 0..streams {
                let stream = loop {
                    if let Some(stream) = give_up(few(3), server.accept()).await {
                        break stream.unwrap();
                    }
                };
                spawn("an echo", echo(stream, count));
            }
            server.closed().await;
        });
        let left = Rc::new(Cell::new(streams));
        for _ in 0..streams {
            let (client, left) = (client.clone(), Rc::clone(&left));
            spawn("opening", async move {
                let (reader, writer) = client.open().await.unwrap().into_split();
                let writing = task("writing", write(writer, count));
                drop(read(reader, count).await);
                let writer = writing.await;
                if chance(50) {
                    writer.finish();
                    assert_eq!(writer.closed().await, StreamEnd::Finished);
                }
                drop(writer);
                left.set(left.get() - 1);
                if left.get() == 0 {
                    assert_eq!(client.close().await, CloseReason::Local);
                }
            });
        }
    });
    // The timers that there are (for tiny credits, and for writers that were called) are short.
    assert!(
        elapsed() < Duration::from_secs(4),
        "seed {seed}: only a timer helped: {:?}",
        elapsed()
    );
}

/// Runs a future as a task of its own, and waits for it.
fn task<T: 'static>(
    name: &'static str,
    future: impl Future<Output = T> + 'static,
) -> impl Future<Output = T> {
    let place = Rc::new(RefCell::new((None, None::<Waker>)));
    let result = Rc::clone(&place);
    spawn(name, async move {
        let value = future.await;
        let waker = {
            let mut place = result.borrow_mut();
            place.0 = Some(value);
            place.1.take()
        };
        waker.into_iter().for_each(Waker::wake);
    });
    poll_fn(move |cx| {
        let mut place = place.borrow_mut();
        match place.0.take() {
            Some(value) => Poll::Ready(value),
            None => {
                place.1 = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    })
}
