//! The table of streams: keys, ids, slots, backlog and lists against simple models.

use proptest::prelude::*;
use std::collections::VecDeque;
use std::vec::Vec;

use crate::mux::StreamKey;
use crate::mux::parts::{Kind, List, Slot, Streams};

#[test]
fn a_key_lives_until_forgotten_and_an_id_until_released() {
    let mut streams: Streams<u32> = Streams::new(1);
    let slot = streams.insert(5, true, 50).unwrap();
    let key = streams.key(slot);
    assert_eq!(streams.insert(5, false, 51), None);

    streams.release(slot);
    assert_eq!(streams.find(5), None);
    assert_eq!(streams.named(key), Some(slot));
    let other = streams.insert(5, false, 51).unwrap();
    assert_ne!(other, slot);
    assert_eq!(streams.get(slot).unwrap().state, 50);

    streams.forget(slot);
    assert_eq!(streams.named(key), None);
    assert!(streams.get(slot).is_none());
    assert_eq!(streams.len(), 1);

    // The other way round, the key first.
    let key = streams.key(other);
    streams.forget(other);
    assert_eq!(streams.named(key), None);
    assert_eq!(streams.find(5), Some(other));
    assert_eq!(streams.get(other).unwrap().state, 51);
    streams.release(other);
    assert_eq!((streams.len(), streams.find(5)), (0, None));
}

#[test]
fn a_slot_that_is_given_again_has_another_key() {
    let mut streams: Streams<()> = Streams::new(1);
    let mut keys: Vec<StreamKey> = Vec::new();
    for id in 0..100 {
        let slot = streams.insert(id, true, ()).unwrap();
        assert_eq!(slot, Slot(0));
        keys.push(streams.key(slot));
        streams.release(slot);
        streams.forget(slot);
    }
    keys.dedup();
    assert_eq!(keys.len(), 100);
    assert!(keys.iter().all(|key| streams.named(*key).is_none()));
}

#[test]
fn streams_wait_for_accept_in_order_and_may_leave_before() {
    let mut streams: Streams<()> = Streams::new(1);
    let slots: Vec<Slot> = (0..4).map(|id| streams.insert(id, false, ()).unwrap()).collect();
    slots.iter().for_each(|slot| streams.await_accept(*slot));
    assert_eq!(streams.waiting(), 4);
    streams.leave_backlog(slots[1]);
    streams.leave_backlog(slots[1]);
    streams.release(slots[2]);
    streams.forget(slots[2]);
    assert_eq!(streams.waiting(), 2);
    assert_eq!(streams.accept(), Some(slots[0]));
    assert_eq!(streams.accept(), Some(slots[3]));
    assert_eq!(streams.accept(), None);
    assert_eq!(streams.waiting(), 0);
}

#[test]
fn an_idle_stream_costs_no_more_than_128_bytes() {
    // What a wire may have of its own.
    let mut streams: Streams<[u64; 5]> = Streams::new(1);
    let count = 10_000;
    for id in 0..count {
        streams.insert(id, true, [0; 5]).unwrap();
    }
    let each = streams.memory() / count as usize;
    assert!(each <= 128, "{each} bytes");
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u32),
    Release(usize),
    Forget(usize),
    Push(u8, usize),
    Front(u8, usize),
    Unlink(u8, usize),
    Pop(u8),
}

fn op() -> impl Strategy<Value = Op> {
    let any = 0..40_usize;
    prop_oneof![
        4 => (0..60_u32).prop_map(Op::Insert),
        2 => any.clone().prop_map(Op::Release),
        2 => any.clone().prop_map(Op::Forget),
        6 => (0..3_u8, any.clone()).prop_map(|(list, at)| Op::Push(list, at)),
        2 => (0..3_u8, any.clone()).prop_map(|(list, at)| Op::Front(list, at)),
        3 => (0..3_u8, any).prop_map(|(list, at)| Op::Unlink(list, at)),
        4 => (0..3_u8).prop_map(Op::Pop),
    ]
}

const LISTS: [(List, Kind); 3] =
    [(List::Round, Kind::Turn), (List::Control, Kind::Control), (List::Opening, Kind::Timer)];

/// A stream as the model has it.
struct Model {
    slot: Slot,
    key: StreamKey,
    id: u32,
    named: bool,
    bound: bool,
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 256 }, ..ProptestConfig::default()
    })]
    #[test]
    fn streams_and_lists_behave_as_a_vector_and_queues(
        ops in proptest::collection::vec(op(), 0..200)
    ) {
        let mut streams: Streams<u32> = Streams::new(99);
        let mut all: Vec<Model> = Vec::new();
        let mut lists: [VecDeque<Slot>; 3] = Default::default();
        for op in ops {
            match op {
                Op::Insert(id) => {
                    let taken = all.iter().any(|stream| stream.bound && stream.id == id);
                    let slot = streams.insert(id, true, id);
                    prop_assert_eq!(slot.is_none(), taken);
                    if let Some(slot) = slot {
                        let key = streams.key(slot);
                        all.push(Model { slot, key, id, named: true, bound: true });
                    }
                }
                Op::Release(at) => if let Some(stream) = all.get_mut(at) && stream.bound {
                    stream.bound = false;
                    streams.release(stream.slot);
                }
                Op::Forget(at) => if let Some(stream) = all.get_mut(at) && stream.named {
                    stream.named = false;
                    streams.forget(stream.slot);
                }
                Op::Push(list, at) | Op::Front(list, at) => {
                    let front = matches!(op, Op::Front(..));
                    let (name, kind) = LISTS[list as usize];
                    let list = &mut lists[list as usize];
                    let alive = all.get(at).filter(|stream| stream.named || stream.bound);
                    if let Some(slot) = alive.map(|stream| stream.slot) {
                        let fresh = !list.contains(&slot);
                        if front {
                            prop_assert_eq!(streams.push_front(name, slot, kind), fresh);
                            if fresh { list.push_front(slot) }
                        } else {
                            prop_assert_eq!(streams.push(name, slot, kind), fresh);
                            if fresh { list.push_back(slot) }
                        }
                    }
                }
                Op::Unlink(list, at) => {
                    let (_, kind) = LISTS[list as usize];
                    let alive = all.get(at).filter(|stream| stream.named || stream.bound);
                    if let Some(slot) = alive.map(|stream| stream.slot) {
                        streams.unlink(slot, kind);
                        lists[list as usize].retain(|other| *other != slot);
                    }
                }
                Op::Pop(list) => {
                    let (name, _) = LISTS[list as usize];
                    prop_assert_eq!(streams.pop(name), lists[list as usize].pop_front());
                }
            }
            let gone: Vec<Slot> = all
                .iter()
                .filter(|stream| !stream.named && !stream.bound)
                .map(|stream| stream.slot)
                .collect();
            lists.iter_mut().for_each(|list| list.retain(|slot| !gone.contains(slot)));
            for stream in &all {
                let named = stream.named.then_some(stream.slot);
                prop_assert_eq!(streams.named(stream.key), named);
                if stream.bound {
                    prop_assert_eq!(streams.find(stream.id), Some(stream.slot));
                }
                if stream.named || stream.bound {
                    prop_assert_eq!(streams.get(stream.slot).unwrap().state, stream.id);
                }
            }
            all.retain(|stream| stream.named || stream.bound);
            prop_assert_eq!(streams.len(), all.len());
            for (number, (name, _)) in LISTS.iter().enumerate() {
                prop_assert_eq!(streams.front(*name), lists[number].front().copied());
            }
        }
    }
}
