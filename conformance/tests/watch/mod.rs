//! What can be seen of the two machines of agentproto.

use std::collections::BTreeMap;
use std::fmt::Debug;

use bytes::Bytes;
use trunkline_conformance::laws::Watch;
use trunkline_conformance::sim::Rng;
use trunkline_core::agentproto::{Agent, AgentEvent, FileResponse, Local, LocalEvent, Read};
use trunkline_core::{Instant, Machine, Segment};

const NOW: Instant = Instant::ORIGIN;

/// What the two machines have in common beside [`Machine`].
pub(crate) trait Side:
    Machine<Input = Bytes, Output = Segment, Event: Debug + PartialEq>
{
    fn read(&mut self, stream: u32, max: usize) -> Read;
    /// Whether an event is about a wait: its place among the others is free.
    fn is_wake(event: &Self::Event) -> bool;
    /// The file request that an event is, to be answered when everything has come: what a host does
    /// in between changes what is sent, and when.
    fn asks(_: &Self::Event) -> Option<u32> {
        None
    }
    fn answer(&mut self, _: u32) {}
    /// What a host does at the very end.
    fn last(&mut self) {}
}

impl Side for Local {
    fn read(&mut self, stream: u32, max: usize) -> Read {
        Self::read(self, stream, max)
    }
    fn is_wake(event: &LocalEvent) -> bool {
        matches!(event, LocalEvent::Readable(_) | LocalEvent::Writable(_))
    }
}

impl Side for Agent {
    fn read(&mut self, stream: u32, max: usize) -> Read {
        Self::read(self, stream, max)
    }
    fn is_wake(event: &AgentEvent) -> bool {
        matches!(event, AgentEvent::Readable(_) | AgentEvent::Writable(_))
    }
    fn asks(event: &AgentEvent) -> Option<u32> {
        if let AgentEvent::FileRequest(request) = event { Some(request.id) } else { None }
    }
    fn answer(&mut self, id: u32) {
        self.respond(FileResponse { id, ..FileResponse::default() });
    }
    fn last(&mut self) {
        for output in 1..6 {
            self.finish(output);
        }
        self.exited(3);
    }
}

/// Everything that must be the same.
#[derive(Debug, PartialEq)]
pub(crate) struct Seen<E> {
    streams: BTreeMap<u32, (Vec<u8>, Option<Read>)>,
    /// `None` is what was no frame: it is shown with as many bytes as there were at that moment.
    events: Vec<Option<E>>,
    sent: Vec<Vec<u8>>,
    closed: Option<String>,
    timeout: Option<Instant>,
    wants_input: bool,
}

/// Gathers it.
#[derive(Debug)]
pub(crate) struct Watcher<E>(Seen<E>, Vec<u32>);

impl<E> Default for Watcher<E> {
    fn default() -> Self {
        let (streams, events, sent) = Default::default();
        let seen = Seen { streams, events, sent, closed: None, timeout: None, wants_input: true };
        Self(seen, Vec::new())
    }
}

impl<E: Debug> Watcher<E> {
    fn event<M: Side<Event = E>>(&mut self, machine: &mut M) -> bool {
        let Some(event) = machine.poll_event() else { return false };
        self.1.extend(M::asks(&event));
        if !M::is_wake(&event) {
            let text = format!("{event:?}");
            self.0.events.push(Some(event).filter(|_| !text.contains("NotAFrame")));
        }
        true
    }

    fn transmit<M: Side<Event = E>>(&mut self, machine: &mut M) -> bool {
        let Some(segment) = machine.poll_transmit(NOW) else { return false };
        let bytes = segment.into_bytes().to_vec();
        let text = String::from_utf8_lossy(&bytes);
        self.0.sent.push(if text.contains("not an agentproto frame") { vec![] } else { bytes });
        true
    }

    fn read<M: Side<Event = E>>(&mut self, machine: &mut M, stream: u32, max: usize) -> bool {
        let (bytes, last) = self.0.streams.entry(stream).or_default();
        match machine.read(stream, max) {
            Read::Data(piece) => {
                bytes.extend_from_slice(&piece);
                true
            }
            other => {
                *last = Some(other);
                false
            }
        }
    }

    fn drain<M: Side<Event = E>>(&mut self, machine: &mut M) {
        loop {
            let mut moved = self.event(machine) | self.transmit(machine);
            for stream in 0..6 {
                moved |= self.read(machine, stream, usize::MAX);
            }
            if !moved {
                break;
            }
        }
    }
}

impl<M: Side> Watch<M> for Watcher<M::Event> {
    type Seen = Seen<M::Event>;

    fn act(&mut self, machine: &mut M, rng: &mut Rng) {
        match rng.below(4) {
            0 => drop(self.event(machine)),
            1 => drop(self.transmit(machine)),
            2 => drop(self.read(machine, rng.clone().below(6) as u32, rng.up_to(50))),
            _ => while self.event(machine) {},
        }
    }

    fn settle(&mut self, machine: &mut M) {
        self.drain(machine);
        while !self.1.is_empty() {
            let id = self.1.remove(0);
            machine.answer(id);
            self.drain(machine);
        }
        machine.last();
        self.drain(machine);
    }

    fn seen(mut self, machine: M) -> Self::Seen {
        self.0.closed = machine.closed().map(|reason| format!("{reason:?}"));
        if self.0.closed.as_ref().is_some_and(|text| text.contains("NotAFrame")) {
            self.0.closed = Some("not a frame".into());
        }
        self.0.timeout = machine.poll_timeout();
        self.0.wants_input = machine.wants_input();
        self.0
    }
}
