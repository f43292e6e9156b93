//! P-MEM for every multiplexer: what one end takes at most, bookkeeping included, measured by an
//! allocator that counts. Each test runs in a thread of its own, and the counts are the thread's.

// The laws beside it need more of it.
#[allow(dead_code)]
#[path = "mux/wires.rs"]
mod wires;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use trunkline_conformance::laws::within;
use trunkline_core::mux::{Mux, Opened, Side, StreamKey};
use trunkline_core::{Instant, Limits, Machine as _};

use wires::{Wire, each_wire};

const NOW: Instant = Instant::ORIGIN;

thread_local! {
    static USED: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
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
            while matches!(b.read(NOW, key, 99), trunkline_core::mux::Received::Data(_)) {}
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
