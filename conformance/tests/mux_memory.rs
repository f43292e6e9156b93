//! P-MEM for every multiplexer: what one end takes at most, bookkeeping included, measured by an
//! allocator that counts. Each test runs in a thread of its own, and the counts are the thread's.
//!
//! P-PANIC as well, as far as it can be counted: for all that one end is told, every byte that it
//! allocates (what is copied, joined or moved to a larger table is allocated first) and every answer
//! that it gives (frames, events, streams, reads) are work, which grows with the bytes and not
//! faster. Walks that copy nothing are the gate's of instructions.

// The laws beside it need more of it.
#[allow(dead_code)]
#[path = "mux/wires.rs"]
mod wires;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use trunkline_conformance::laws::{linear, within};
use trunkline_core::mux::{Mux, Opened, Received, Side, StreamKey};
use trunkline_core::{Instant, Limits, Machine as _};

use wires::{Wire, each_wire};

const NOW: Instant = Instant::ORIGIN;

thread_local! {
    static USED: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static EVER: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

fn count(bytes: isize) {
    let _ = USED.try_with(|used| {
        used.set(used.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(used.get())));
    });
}

// SAFETY: every call goes on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        let _ = EVER.try_with(|ever| ever.set(ever.get() + layout.size() as u64));
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

each_wire! {
    an_idle_stream_takes_at_most_128_bytes_at_each_end,
    streams_that_are_gone_leave_nothing_behind,
    unread_streams_of_large_frames_stay_within_the_budget,
    unread_streams_of_tiny_frames_stay_within_the_budget,
    p_panic_work_per_byte_is_constant_whatever_a_peer_says,
}

/// Room for so many streams, and nothing else in the way.
fn wide(streams: usize) -> Limits {
    let mut limits = Limits::default();
    limits.streams = streams;
    limits.backlog = streams;
    limits.opens_waiting = streams;
    limits
}

/// Hands all that one end has to say to the other.
fn carry<M: Mux>(from: &mut M, to: &mut M) {
    let mut said = Vec::new();
    while let Some(segment) = from.poll_transmit(NOW) {
        said.extend_from_slice(&segment.into_bytes());
    }
    to.handle_input(NOW, said.into());
}

fn accepted<M: Mux>(mux: &mut M, keys: &mut Vec<StreamKey>) {
    keys.extend(std::iter::from_fn(|| mux.accept(NOW)));
}

fn opened<M: Mux>(mux: &mut M, keys: &mut Vec<StreamKey>, count: usize) {
    for _ in 0..count {
        match mux.open(NOW) {
            Opened::Stream(key) => keys.push(key),
            other => panic!("{other:?}"),
        }
    }
}

fn an_idle_stream_takes_at_most_128_bytes_at_each_end<W: Wire>() {
    const COUNT: usize = 10_000;
    let (mut ours, mut theirs) = (Vec::with_capacity(COUNT), Vec::with_capacity(COUNT));
    let before = USED.get();
    let mut a = W::make(Side::Client, wide(COUNT));
    let mut b = W::make(Side::Server, wide(COUNT));
    for _ in 0..10 {
        opened(&mut a, &mut ours, COUNT / 10);
        carry(&mut a, &mut b);
        accepted(&mut b, &mut theirs);
        carry(&mut b, &mut a);
    }
    assert_eq!((ours.len(), theirs.len()), (COUNT, COUNT));
    let each = usize::try_from(USED.get() - before).unwrap() / COUNT;
    within("bytes of an idle stream, both ends", each, 2 * 128).unwrap();
}

fn streams_that_are_gone_leave_nothing_behind<W: Wire>() {
    let (mut ours, mut theirs) = (Vec::with_capacity(100), Vec::with_capacity(100));
    let mut a = W::make(Side::Client, wide(1_000));
    let mut b = W::make(Side::Server, wide(1_000));
    let mut after_first = 0;
    for round in 0..100 {
        opened(&mut a, &mut ours, 100);
        for key in &ours {
            a.write(NOW, *key, &mut Bytes::from_static(b"hello"));
            a.finish(NOW, *key);
        }
        carry(&mut a, &mut b);
        accepted(&mut b, &mut theirs);
        assert_eq!(theirs.len(), 100);
        for key in theirs.drain(..) {
            while matches!(b.read(NOW, key, 99), Received::Data(_)) {}
            b.finish(NOW, key);
            b.forget(NOW, key);
        }
        carry(&mut b, &mut a);
        for key in ours.drain(..) {
            a.forget(NOW, key);
        }
        carry(&mut a, &mut b);
        if round == 10 {
            after_first = USED.get();
        }
    }
    assert_eq!((a.stats().streams, b.stats().streams), (0, 0));
    assert!(USED.get() <= after_first + 4_096, "{} and then {}", after_first, USED.get());
}

/// What a peer says that writes on so many streams, in writes of this size, as long as it has credit.
fn said<W: Wire>(streams: usize, each: usize, write: usize) -> Vec<u8> {
    let mut limits = wide(streams);
    limits.send_queue = 1 << 20;
    let mut mux = W::make(Side::Client, limits);
    let mut keys = Vec::new();
    opened(&mut mux, &mut keys, streams);
    let mut said = Vec::new();
    let block = Bytes::from(vec![7; write]);
    for _ in 0..each / write {
        for key in &keys {
            mux.write(NOW, *key, &mut block.clone());
        }
        while let Some(segment) = mux.poll_transmit(NOW) {
            said.extend_from_slice(&segment.into_bytes());
        }
    }
    said
}

/// Feeds a machine that nobody reads, and says how much it took at most.
fn peak_of_unread<W: Wire>(said: &[u8], limits: Limits) -> usize {
    let before = USED.get();
    PEAK.set(before);
    let mut mux = W::make(Side::Server, limits);
    let mut keys = Vec::new();
    for chunk in said.chunks(64 << 10) {
        if !mux.wants_input() {
            break;
        }
        mux.handle_input(NOW, Bytes::copy_from_slice(chunk));
        accepted(&mut mux, &mut keys);
        while mux.poll_event().is_some() || mux.poll_transmit(NOW).is_some() {}
    }
    usize::try_from(PEAK.get() - before).unwrap()
}

fn unread_streams_stay_within<W: Wire>(streams: usize, each: usize, write: usize) {
    let said = said::<W>(streams, each, write);
    let mut limits = wide(streams);
    limits.connection_memory = 4 << 20;
    let budget = limits.connection_memory;
    assert!(said.len() > budget, "the peer said no more than {} bytes", said.len());
    let peak = peak_of_unread::<W>(&said, limits);
    // The chunk that is being taken apart stands beside the budget, and what a table doubles into.
    within("bytes of one end that nobody reads", peak, budget + (256 << 10)).unwrap();
    assert!(peak > 1 << 20, "{peak}: nothing was kept at all");
}

fn unread_streams_of_large_frames_stay_within_the_budget<W: Wire>() {
    unread_streams_stay_within::<W>(64, 200_000, 16 << 10);
}

fn unread_streams_of_tiny_frames_stay_within_the_budget<W: Wire>() {
    unread_streams_stay_within::<W>(500, 20_000, 40);
}

/// What a peer says in about so many bytes.
#[derive(Clone, Copy, Debug)]
enum Says {
    /// Tiny writes on one stream.
    Crumbs,
    /// Large writes on one stream.
    Bulk,
    /// Tiny writes on many streams in turn.
    Many,
    /// Streams that are opened, written and finished.
    Short,
    /// Streams that are opened and reset.
    Reset,
    /// Pings.
    Pings,
    /// The same frame again and again, which is about nothing that is there.
    Useless,
}

impl Says {
    const ALL: [Self; 7] = [
        Self::Crumbs,
        Self::Bulk,
        Self::Many,
        Self::Short,
        Self::Reset,
        Self::Pings,
        Self::Useless,
    ];

    fn bytes<W: Wire>(self, about: usize) -> Vec<u8> {
        let mut limits = wide(100_000);
        limits.send_queue = 4 << 20;
        let mut mux = W::make(Side::Client, limits);
        let mut keys = Vec::new();
        opened(&mut mux, &mut keys, if matches!(self, Self::Many) { 50 } else { 1 });
        let mut last = transmitted(&mut mux);
        let mut said = last.clone();
        let mut round = 0;
        loop {
            let mut more = Vec::new();
            match self {
                Self::Crumbs | Self::Many => {
                    mux.write(NOW, keys[round % keys.len()], &mut Bytes::from_static(b"x"));
                }
                Self::Bulk => {
                    mux.write(NOW, keys[0], &mut Bytes::from_static(&[7; 4_000]));
                }
                Self::Short | Self::Reset => {
                    opened(&mut mux, &mut keys, 1);
                    let key = keys.pop().unwrap();
                    mux.write(NOW, key, &mut Bytes::from_static(b"short"));
                    more.extend(transmitted(&mut mux));
                    if matches!(self, Self::Short) {
                        mux.finish(NOW, key);
                    } else {
                        mux.reset(NOW, key);
                    }
                    more.extend(transmitted(&mut mux));
                    mux.forget(NOW, key);
                }
                Self::Pings => {
                    mux.ping(NOW);
                }
                Self::Useless => mux.reset(NOW, keys[0]),
            }
            more.extend(transmitted(&mut mux));
            if !more.is_empty() {
                last = more;
            }
            // Where there is nothing more, the last is said again and again.
            said.extend(&last);
            round += 1;
            if said.len() >= about {
                return said;
            }
        }
    }
}

fn transmitted<M: Mux>(mux: &mut M) -> Vec<u8> {
    std::iter::from_fn(|| mux.poll_transmit(NOW)).flat_map(|it| it.into_bytes()).collect()
}

/// The work of a machine that is told this, in pieces, by a user who reads or does not.
fn work<W: Wire>(said: &[u8], piece: usize, reads: bool) -> u64 {
    let mut limits = wide(100_000);
    // What floods is told apart from what is slow: no meter ends this.
    limits.useless_burst = u32::MAX;
    let mut mux = W::make(Side::Server, limits);
    let mut keys = Vec::with_capacity(100_000);
    let chunks: Vec<Bytes> = said.chunks(piece).map(Bytes::copy_from_slice).collect();
    let before = EVER.get();
    let mut answers = 0;
    for chunk in chunks {
        mux.handle_input(NOW, chunk);
        while mux.poll_event().is_some() || mux.poll_transmit(NOW).is_some() {
            answers += 1;
        }
        while let Some(key) = mux.accept(NOW) {
            keys.push(key);
            answers += 1;
        }
        if reads {
            // Only the last few: to look at all of them would be this test's own work.
            for key in keys.iter().rev().take(3) {
                while matches!(mux.read(NOW, *key, 99), Received::Data(_)) {
                    answers += 1;
                }
            }
        }
    }
    assert_eq!(mux.closed(), None, "it is over, and has no work");
    EVER.get() - before + answers
}

fn p_panic_work_per_byte_is_constant_whatever_a_peer_says<W: Wire>() {
    for says in Says::ALL {
        for (piece, reads) in [(1, false), (1, true), (4_096, false), (usize::MAX, true)] {
            let cost = |bytes| {
                let said = says.bytes::<W>(bytes);
                // In proportion to what was said in earnest.
                work::<W>(&said, piece, reads) * bytes as u64 / said.len() as u64
            };
            let place = |it: trunkline_conformance::laws::Broken| {
                it.at(format_args!("{says:?} by {piece}, read: {reads}"))
            };
            // Few bytes say nothing of queues that grow by thousands.
            linear(if piece == 1 { 3_000 } else { 15_000 }, cost).map_err(place).unwrap();
        }
    }
}
