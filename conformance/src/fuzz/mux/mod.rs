//! What holds for every multiplexing wire: bytes, operations, and two machines against a model.
//!
//! A wire is added by an implementation of [`Wire`] and three lines in the list of targets.

mod bytes;
mod ops;
mod pair;
pub(super) mod seeds;

use trunkline_core::Instant;
use trunkline_core::mux::{Mux, MuxEvent, MuxStats, Side};

pub(super) use self::bytes::run as bytes;
pub(super) use self::ops::run as ops;
pub(super) use self::pair::run as pair;
use super::ops::Ops;

/// A wire, as far as the bodies need to know it.
pub(super) trait Wire {
    /// Its connection.
    type Machine: Mux;

    /// A connection with settings that a byte chooses: the lowest bit is for the original's.
    fn machine(side: Side, how: u8) -> Self::Machine;

    /// A frame that is mostly in order, or almost.
    fn frame(ops: &mut Ops<'_>) -> Vec<u8>;
}

/// The most memory that any of the machines may count as its own, in bytes; the settings of the
/// wires say less.
const MEMORY: usize = 72 << 20;

/// When everything begins.
const START: Instant = Instant::from_millis(1_000);

/// Takes all events of a machine: at most so many as can wait, and none behind the last.
fn drain_events(machine: &mut impl Mux) -> Vec<MuxEvent> {
    let most = 2 * machine.stats().streams + 4_096;
    let mut events = Vec::new();
    while let Some(event) = machine.poll_event() {
        events.push(event);
        assert!(events.len() <= most, "events without end");
    }
    let last = events.iter().position(|event| matches!(event, MuxEvent::Closed(_)));
    assert!(last.is_none_or(|at| at + 1 == events.len()), "events behind the end: {events:?}");
    events
}

/// Takes all that a machine has to send.
fn drain_output(machine: &mut impl Mux, now: Instant) -> Vec<u8> {
    let mut sent = Vec::new();
    while let Some(segment) = machine.poll_transmit(now) {
        assert!(!segment.is_empty(), "a segment of nothing");
        sent.extend(segment.slices().concat());
    }
    assert!(!machine.wants_output() || machine.closed().is_none(), "it wants to send and cannot");
    sent
}

/// Holds at any time.
fn sound(machine: &impl Mux) {
    let stats: MuxStats = machine.stats();
    assert!(stats.memory <= MEMORY, "{stats:?}");
    assert!(stats.queued_in <= MEMORY && stats.queued_out <= MEMORY, "{stats:?}");
    if machine.closed().is_some() {
        assert!(!machine.wants_input(), "it is over and wants input");
        assert_eq!(machine.poll_timeout(), None, "it is over and has a deadline");
    }
}
