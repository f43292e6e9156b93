//! What the user is told: each thing once, in order, and never more than a stream can have.

use alloc::collections::VecDeque;
use core::time::Duration;

use super::MuxEvent;
use super::lists::{Kind, List, Node, PONGS, Place};
use super::parts::{Slot, Stream, Streams};
use crate::CloseReason;

const ACCEPTABLE: u8 = 0;
const OPENABLE: u8 = 1;
const GONE_AWAY: u8 = 2;
/// The first of [`PONGS`] nodes, used in turn, so that each pong keeps its place.
const PONG: u8 = 3;

/// The events of a connection.
///
/// Those of streams hang in the streams themselves, so that an unread stream queues bytes and not
/// events; all of them stand in one order.
#[derive(Debug, Default)]
pub(crate) struct Events {
    accept_blocked: bool,
    open_blocked: bool,
    pongs: VecDeque<(u32, Duration)>,
    /// The node of the next pong.
    turn: u8,
    /// The end, and how many slots were looked at for users that still wait.
    end: Option<(CloseReason, u32)>,
    over: bool,
}

impl Events {
    /// `accept` found none. Behind the end that is the last word: who was told to look again, and
    /// again found none, would never be through.
    pub(crate) const fn block_accept(&mut self) {
        self.accept_blocked = self.end.is_none() && !self.over;
    }

    /// `open` must wait.
    pub(crate) const fn block_open(&mut self) {
        self.open_blocked = true;
    }

    /// A stream waits for accept.
    pub(crate) fn tell_acceptable<S: Default>(&mut self, streams: &mut Streams<S>) {
        if core::mem::take(&mut self.accept_blocked) {
            streams.push_node(List::Events, Node::fixed(ACCEPTABLE));
        }
    }

    /// A stream can be opened again.
    pub(crate) fn tell_openable<S: Default>(&mut self, streams: &mut Streams<S>) {
        if core::mem::take(&mut self.open_blocked) {
            streams.push_node(List::Events, Node::fixed(OPENABLE));
        }
    }

    /// The peer wants no more streams.
    pub(crate) fn tell_gone_away<S: Default>(&mut self, streams: &mut Streams<S>) {
        streams.push_node(List::Events, Node::fixed(GONE_AWAY));
    }

    /// A ping of the user was answered.
    pub(crate) fn tell_pong<S: Default>(
        &mut self,
        streams: &mut Streams<S>,
        number: u32,
        round_trip: Duration,
    ) {
        self.pongs.push_back((number, round_trip));
        // Beyond that many, which only a user has who asks and never looks, a node stands for more.
        if streams.push_node(List::Events, Node::fixed(PONG + self.turn)) {
            self.turn = (self.turn + 1) % PONGS;
        }
    }

    /// The connection is over: whoever waits is told, then `Closed`, then nothing more.
    pub(crate) fn tell_closed(&mut self, reason: CloseReason) {
        if self.end.is_none() && !self.over {
            self.end = Some((reason, 0));
        }
    }

    /// The next event.
    pub(crate) fn poll<S: Default>(&mut self, streams: &mut Streams<S>) -> Option<MuxEvent> {
        if self.over {
            // Nothing is told behind the end.
            return None;
        }
        while let Some(node) = streams.front_node(List::Events) {
            streams.unlink_node(node);
            match node.place() {
                Place::Stream(slot, Kind::Read) => {
                    return Some(MuxEvent::Readable(streams.key(slot)));
                }
                Place::Stream(slot, _) => return Some(MuxEvent::Writable(streams.key(slot))),
                Place::Fixed(ACCEPTABLE) => return Some(MuxEvent::Acceptable),
                Place::Fixed(OPENABLE) => return Some(MuxEvent::Openable),
                Place::Fixed(GONE_AWAY) => return Some(MuxEvent::GoneAway),
                Place::Fixed(_) => {
                    let Some((number, round_trip)) = self.pongs.pop_front() else { continue };
                    if self.pongs.len() >= usize::from(PONGS) {
                        streams.push_node(List::Events, node);
                    }
                    return Some(MuxEvent::Pong { number, round_trip });
                }
            }
        }
        // The one walk there is: once in a connection's life, at its end, a step for each stream.
        let (_, looked) = self.end.as_mut()?;
        while *looked < streams.slots() {
            let slot = Slot(*looked);
            let Some(stream) = streams.get_mut(slot) else {
                *looked += 1;
                continue;
            };
            if core::mem::take(&mut stream.read_blocked) {
                return Some(MuxEvent::Readable(streams.key(slot)));
            }
            *looked += 1;
            if stream.take_writer() {
                return Some(MuxEvent::Writable(streams.key(slot)));
            }
        }
        if core::mem::take(&mut self.accept_blocked) {
            return Some(MuxEvent::Acceptable);
        }
        if core::mem::take(&mut self.open_blocked) {
            return Some(MuxEvent::Openable);
        }
        self.over = true;
        self.end.take().map(|(reason, _)| MuxEvent::Closed(reason))
    }
}

impl<S: Default> Streams<S> {
    /// A read answered `Blocked`.
    pub(crate) fn block_read(&mut self, slot: Slot) {
        if let Some(stream) = self.get_mut(slot).filter(|stream| stream.is_named()) {
            stream.read_blocked = true;
        }
    }

    /// A write answered `Blocked` for want of credit, or for room.
    pub(crate) fn block_write(&mut self, slot: Slot) {
        if let Some(stream) = self.get_mut(slot).filter(|stream| stream.is_named()) {
            stream.write_blocked = true;
        }
    }

    /// Somebody waits for the end for writing.
    pub(crate) fn watch(&mut self, slot: Slot) {
        if let Some(stream) = self.get_mut(slot).filter(|stream| stream.is_named()) {
            stream.watched = true;
        }
    }

    /// Bytes, or the end, can be read: told if somebody asked.
    pub(crate) fn tell_readable(&mut self, slot: Slot) {
        if let Some(stream) = self.get_mut(slot)
            && core::mem::take(&mut stream.read_blocked)
        {
            self.push(List::Events, slot, Kind::Read);
        }
    }

    /// The stream can be written to, or its end for writing is there: told if somebody asked. It no
    /// longer waits for room.
    pub(crate) fn tell_writable(&mut self, slot: Slot) {
        if let Some(stream) = self.get_mut(slot)
            && stream.take_writer()
        {
            self.unlink(slot, Kind::Write);
            self.push(List::Events, slot, Kind::Write);
        }
    }
}

impl<S> Stream<S> {
    /// Whether anybody asked to be told of room, credit or the end for writing; it asks no longer.
    const fn take_writer(&mut self) -> bool {
        let blocked = core::mem::replace(&mut self.write_blocked, false);
        core::mem::replace(&mut self.watched, false) || blocked
    }
}
