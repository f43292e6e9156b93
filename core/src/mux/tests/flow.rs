//! Lanes, inbox, events and input at work over the table of streams.

use bytes::Bytes;
use core::time::Duration;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::vec;
use std::vec::Vec;

use crate::mux::MuxEvent;
use crate::mux::parts::{Events, Inbox, Input, Kind, Lanes, List, Pressure, Slot, Streams};
use crate::{CloseReason, Instant};

const NOW: Instant = Instant::ORIGIN;
const ROOM: usize = 64 << 10;

struct Rig {
    streams: Streams<()>,
    lanes: Lanes<u8>,
    events: Events,
}

impl Rig {
    fn new(streams: u32) -> (Self, Vec<Slot>) {
        let mut table = Streams::new(3);
        let slots = (0..streams).map(|id| table.insert(id, true, ()).unwrap()).collect();
        let lanes = Lanes::new(ROOM, 4);
        (Self { streams: table, lanes, events: Events::default() }, slots)
    }

    fn write(&mut self, slot: Slot, len: usize) -> usize {
        let mut data = Bytes::from(vec![slot.0 as u8; len]);
        let taken = self.lanes.write(NOW, &mut self.streams, slot, &mut data, usize::MAX);
        assert_eq!(data.len(), len - taken);
        taken
    }

    /// One frame of at most `most` bytes.
    fn frame(&mut self, most: usize) -> Option<(Slot, usize)> {
        let slot = self.lanes.next_turn(&mut self.streams)?;
        let bytes = self.lanes.take(NOW, &mut self.streams, slot, most).unwrap();
        if self.streams.get(slot).unwrap().unsent() > 0 {
            self.lanes.make_ready(&mut self.streams, slot);
        }
        Some((slot, bytes.len()))
    }

    fn events(&mut self) -> Vec<MuxEvent> {
        core::iter::from_fn(|| self.events.poll(&mut self.streams)).collect()
    }

    fn writable(&mut self) -> Vec<Slot> {
        let told = self.events().into_iter().map(|event| match event {
            MuxEvent::Writable(key) => self.streams.named(key).unwrap(),
            other => panic!("{other:?}"),
        });
        told.collect()
    }
}

#[test]
fn streams_take_turns_frame_by_frame_and_no_frame_joins_two_writes() {
    let (mut rig, slots) = Rig::new(3);
    assert_eq!(rig.write(slots[0], 25), 25);
    assert_eq!(rig.write(slots[0], 3), 3);
    assert_eq!(rig.write(slots[1], 10), 10);
    assert_eq!(rig.write(slots[2], 11), 11);
    let sent: Vec<(u32, usize)> =
        core::iter::from_fn(|| rig.frame(10)).map(|(slot, len)| (slot.0, len)).collect();
    assert_eq!(sent, [(0, 10), (1, 10), (2, 10), (0, 10), (2, 1), (0, 5), (0, 3)]);
    assert_eq!(rig.lanes.unsent(), 0);
    assert!(rig.lanes.is_idle(&rig.streams));
}

#[test]
fn writers_get_room_in_the_order_in_which_they_asked() {
    let (mut rig, slots) = Rig::new(6);
    while rig.write(slots[0], ROOM) > 0 {}
    for slot in &slots[1..] {
        assert_eq!(rig.write(*slot, 20 << 10), 0);
    }
    assert_eq!(rig.events(), []);
    let mut order = Vec::new();
    while let Some((_, len)) = rig.frame(20 << 10) {
        assert!(len > 0);
        for slot in rig.writable() {
            if slot == slots[0] {
                continue;
            }
            if rig.write(slot, 20 << 10) > 0 {
                order.push(slot);
            }
        }
    }
    assert_eq!(order, slots[1..]);
}

#[test]
fn writers_that_were_called_and_do_nothing_hold_up_nobody_for_long() {
    let (mut rig, slots) = Rig::new(40);
    while rig.write(slots[0], ROOM) > 0 {}
    for slot in &slots[1..] {
        assert_eq!(rig.write(*slot, 100), 0);
    }
    while rig.frame(16 << 10).is_some() {}
    let mut called = rig.writable();
    let mut now = NOW;
    while let Some(at) = rig.lanes.poll_timeout() {
        assert!(at > now && at <= now + Duration::from_millis(10));
        now = at;
        rig.lanes.handle_timeout(now, &mut rig.streams);
        called.extend(rig.writable());
    }
    called.sort_by_key(|slot| slot.0);
    assert_eq!(called, slots);
}

#[test]
fn a_writer_that_leaves_the_line_leaves_its_room_to_others() {
    let (mut rig, slots) = Rig::new(4);
    while rig.write(slots[0], ROOM) > 0 {}
    for slot in &slots[1..] {
        assert_eq!(rig.write(*slot, 100), 0);
    }
    // One reset while in line, one after it was called.
    rig.lanes.clear(NOW, &mut rig.streams, slots[1]);
    rig.lanes.clear(NOW, &mut rig.streams, slots[0]);
    let called = rig.writable();
    assert!(called.contains(&slots[2]));
    rig.lanes.clear(NOW, &mut rig.streams, slots[2]);
    assert_eq!(rig.write(slots[3], 100), 100);
    assert_eq!(rig.lanes.unsent(), 100);
}

#[test]
fn replies_that_the_peer_provoked_are_bounded() {
    let (mut rig, _) = Rig::new(0);
    for reply in 0..4 {
        assert!(!rig.lanes.is_choked());
        rig.lanes.push_reply(reply);
    }
    assert!(rig.lanes.is_choked());
    rig.lanes.push_control(9);
    assert_eq!(rig.lanes.pop_control(), Some(0));
    assert!(!rig.lanes.is_choked());
    assert_eq!(core::iter::from_fn(|| rig.lanes.pop_control()).collect::<Vec<_>>(), [1, 2, 3, 9]);
}

#[test]
fn an_event_is_told_once_for_each_blocked_answer_and_in_order() {
    let (mut rig, slots) = Rig::new(2);
    let keys: Vec<_> = slots.iter().map(|slot| rig.streams.key(*slot)).collect();
    rig.streams.tell_readable(slots[0]);
    assert_eq!(rig.events(), []);
    rig.streams.block_read(slots[0]);
    rig.streams.block_write(slots[1]);
    rig.streams.block_read(slots[1]);
    rig.events.block_accept();
    rig.streams.tell_writable(slots[1]);
    rig.events.tell_pong(&mut rig.streams, 7, Duration::ZERO);
    rig.streams.tell_readable(slots[0]);
    rig.events.tell_acceptable(&mut rig.streams);
    rig.events.tell_pong(&mut rig.streams, 8, Duration::ZERO);
    rig.streams.tell_readable(slots[1]);
    for _ in 0..2 {
        rig.streams.tell_readable(slots[0]);
        rig.streams.tell_writable(slots[1]);
        rig.events.tell_acceptable(&mut rig.streams);
    }
    let pong = |number| MuxEvent::Pong { number, round_trip: Duration::ZERO };
    assert_eq!(
        rig.events(),
        [
            MuxEvent::Writable(keys[1]),
            pong(7),
            MuxEvent::Readable(keys[0]),
            MuxEvent::Acceptable,
            pong(8),
            MuxEvent::Readable(keys[1]),
        ]
    );
}

#[test]
fn no_pong_is_lost_however_many_wait() {
    let (mut rig, _) = Rig::new(0);
    for number in 0..30 {
        rig.events.tell_pong(&mut rig.streams, number, Duration::ZERO);
    }
    let told: Vec<u32> = rig
        .events()
        .into_iter()
        .map(|event| match event {
            MuxEvent::Pong { number, .. } => number,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, (0..30).collect::<Vec<u32>>());
}

#[test]
fn at_the_end_whoever_waits_is_told_before_closed_and_nothing_after() {
    let (mut rig, slots) = Rig::new(100);
    rig.streams.block_read(slots[3]);
    rig.streams.block_write(slots[3]);
    rig.streams.block_write(slots[70]);
    rig.events.block_open();
    rig.streams.forget(slots[50]);
    rig.events.tell_closed(CloseReason::Local);
    rig.events.tell_closed(CloseReason::Eof { mid_frame: true });
    let keys = [rig.streams.key(slots[3]), rig.streams.key(slots[70])];
    assert_eq!(
        rig.events(),
        [
            MuxEvent::Readable(keys[0]),
            MuxEvent::Writable(keys[0]),
            MuxEvent::Writable(keys[1]),
            MuxEvent::Openable,
            MuxEvent::Closed(CloseReason::Local),
        ]
    );
    rig.events.tell_closed(CloseReason::Local);
    assert_eq!(rig.events(), []);
}

#[test]
fn a_forgotten_stream_is_told_nothing() {
    let (mut rig, slots) = Rig::new(1);
    rig.streams.block_read(slots[0]);
    rig.streams.tell_readable(slots[0]);
    rig.streams.forget(slots[0]);
    rig.streams.block_read(slots[0]);
    rig.streams.tell_readable(slots[0]);
    assert_eq!(rig.events(), []);
}

#[test]
fn the_longest_unread_stream_is_found_without_a_walk() {
    let (mut rig, slots) = Rig::new(50);
    let mut inbox = Inbox::new(1 << 20);
    let chunk = Bytes::from(vec![1; 100_000]);
    let mut push = |inbox: &mut Inbox, slot: Slot, len: usize| {
        inbox.push(NOW, &mut rig.streams, slot, chunk.slice(..len), chunk.len());
    };
    assert_eq!(inbox.pressure(), Pressure::Free);
    for slot in &slots {
        push(&mut inbox, *slot, 1_000);
    }
    push(&mut inbox, slots[20], 20_000);
    push(&mut inbox, slots[30], 90_000);
    push(&mut inbox, slots[40], 90_000);
    assert_eq!(inbox.unread(), 250_000);
    assert_eq!(inbox.longest(&mut rig.streams), Some(slots[30]));
    inbox.clear(&mut rig.streams, slots[30]);
    assert_eq!(inbox.longest(&mut rig.streams), Some(slots[40]));
    while inbox.pop(&mut rig.streams, slots[40], 1 << 20).is_some() {}
    assert_eq!(inbox.longest(&mut rig.streams), Some(slots[20]));
    for slot in &slots {
        inbox.clear(&mut rig.streams, *slot);
    }
    assert_eq!(inbox.longest(&mut rig.streams), None);
    assert_eq!((inbox.unread(), inbox.budget.used()), (0, 0));
    assert!(rig.streams.is_empty(List::Unread(16)));
    assert!(!rig.streams.is_linked(slots[0], Kind::Unread));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 256 }, ..ProptestConfig::default()
    })]
    /// Frames of a made-up wire: a head of three bytes (what, and how long), then a payload that is
    /// read, skipped, or short.
    #[test]
    fn input_is_taken_apart_alike_however_it_is_cut(
        frames in proptest::collection::vec((0..3_u8, 0..300_u16), 0..20),
        cuts in proptest::collection::vec(1..40_usize, 1..50)
    ) {
        let mut wire = Vec::new();
        let mut expected = Vec::new();
        for (kind, len) in frames {
            let len = if kind == 2 { 4 } else { len };
            let payload: Vec<u8> = (0..len).map(|i| (i as u8) ^ kind).collect();
            wire.push(kind);
            wire.extend_from_slice(&len.to_be_bytes());
            wire.extend_from_slice(&payload);
            expected.push((kind, if kind == 1 { Vec::new() } else { payload }));
        }
        let mut input: Input<3> = Input::new();
        let mut rest: VecDeque<Bytes> = VecDeque::new();
        let mut wire = Bytes::from(wire);
        for cut in cuts.iter().cycle() {
            if wire.is_empty() { break }
            rest.push_back(wire.split_to((*cut).min(wire.len())));
        }
        let mut seen: Vec<(u8, Vec<u8>)> = Vec::new();
        let mut left = 0;
        let mut short = false;
        loop {
            if left > 0 {
                if let Some((bytes, chunk)) = input.payload(left) {
                    prop_assert!(bytes.len() <= chunk);
                    left -= bytes.len();
                    seen.last_mut().unwrap().1.extend_from_slice(&bytes);
                    continue;
                }
            } else if short {
                if let Some(payload) = input.short::<4>() {
                    short = false;
                    seen.last_mut().unwrap().1.extend_from_slice(&payload);
                    continue;
                }
            } else if let Some([kind, high, low]) = input.head() {
                let len = usize::from(u16::from_be_bytes([high, low]));
                seen.push((kind, Vec::new()));
                match kind {
                    0 => left = len,
                    1 => input.skip(len as u64),
                    _ => short = true,
                }
                continue;
            }
            // One or two chunks at a time.
            let Some(chunk) = rest.pop_front() else { break };
            input.push(chunk);
            if rest.len().is_multiple_of(3) && let Some(chunk) = rest.pop_front() {
                input.push(chunk);
            }
        }
        prop_assert_eq!(seen, expected);
        prop_assert_eq!(input.pending(), 0);
        prop_assert!(!input.is_mid() && left == 0 && !short);
    }
}
