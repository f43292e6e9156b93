//! A byte machine as a message machine.

use bytes::Bytes;

use super::{Carrier, Config, Outbox, Received};
use crate::mux::parts::earliest;
use crate::{CloseReason, Direction, Flood, Instant, Machine, Message, Segment, Violation};

/// A byte machine that speaks WebSocket messages, by way of a [`Carrier`]
/// (`docs/protocols/agent-tunnel.md` section 2).
///
/// Events and commands are the machine's own: see [`machine_mut`](Self::machine_mut).
/// [`closed`](Machine::closed) is told once both are over. Where the machine ends first the closes
/// are exchanged after that, so it may come later than the machine's last event, by the wait of
/// [`Farewell`](super::Farewell) at most. The reason is that of whoever ended first, but a frame
/// that was torn is [`CloseReason::Eof`] in any case.
#[derive(Debug)]
pub struct OverMessages<M> {
    carrier: Carrier,
    machine: M,
    outbox: Outbox,
    /// Nothing can be sent any more, for that error of the system.
    cut: Option<Option<i32>>,
    reason: Option<CloseReason>,
}

impl<M: Machine<Input = Bytes, Output = Segment>> OverMessages<M> {
    /// Carries `machine`, over a connection whose WebSocket handshake is done.
    #[must_use]
    pub fn new(machine: M, config: Config) -> Self {
        let outbox = Outbox::new(config.grouping);
        Self { carrier: Carrier::new(config), machine, outbox, cut: None, reason: None }
    }

    /// The machine inside.
    #[must_use]
    pub const fn machine(&self) -> &M {
        &self.machine
    }

    /// The machine inside, for commands; poll as after any call with `&mut self`.
    pub const fn machine_mut(&mut self) -> &mut M {
        &mut self.machine
    }

    /// The carrier beneath.
    #[must_use]
    pub const fn carrier(&self) -> &Carrier {
        &self.carrier
    }

    /// Tells the machine that nothing more comes or goes, and drops what it still wants to send:
    /// behind a close no message may follow.
    fn cut_off(&mut self, now: Instant, reason: Option<&CloseReason>) {
        self.outbox.clear();
        match reason {
            Some(CloseReason::Eof { .. } | CloseReason::Peer { .. } | CloseReason::Local) => {
                self.machine.handle_eof(now);
            }
            Some(CloseReason::Transport { os_error }) => {
                self.machine.handle_failure(now, Direction::Read, *os_error);
            }
            _ => self.machine.handle_failure(now, Direction::Read, None),
        }
        self.machine.handle_failure(now, Direction::Write, None);
        while self.machine.poll_transmit(now).is_some() {}
    }

    /// What both say together, once both are over.
    fn merge(&mut self, now: Instant) {
        if self.reason.is_some() {
            return;
        }
        if let Some(os_error) = self.cut
            && self.machine.closed().is_some()
        {
            self.carrier.handle_failure(now, os_error);
        }
        if self.carrier.closed().is_none() {
            return;
        }
        if self.machine.closed().is_none() {
            let reason = self.carrier.closed().cloned();
            self.cut_off(now, reason.as_ref());
        }
        let (Some(carrier), Some(machine)) = (self.carrier.closed(), self.machine.closed()) else {
            return;
        };
        self.reason = Some(match (carrier, machine) {
            (_, CloseReason::Eof { mid_frame: true }) | (CloseReason::Local, _) => machine.clone(),
            _ => carrier.clone(),
        });
    }

    /// Once the machine is over and everything it wanted to send has left, takes leave of the peer.
    fn leave(&mut self, now: Instant) {
        if self.outbox.is_empty()
            && self.cut.is_none()
            && let Some(reason) = self.machine.closed()
            && !self.carrier.is_closing()
        {
            let code = close_code(reason);
            self.carrier.close_with(now, code);
        }
        self.merge(now);
    }

    /// The next data message.
    fn next_data(&mut self, now: Instant) -> Option<Message> {
        if self.carrier.is_closing() {
            return None;
        }
        if let Some(message) = self.outbox.poll() {
            return Some(Message::Binary(message));
        }
        while let Some(segment) = self.machine.poll_transmit(now) {
            self.outbox.push_frame(segment);
            if let Some(message) = self.outbox.poll() {
                return Some(Message::Binary(message));
            }
        }
        self.outbox.flush().map(Message::Binary)
    }
}

/// The code of the close that ends a connection for that reason.
fn close_code(reason: &CloseReason) -> u16 {
    match reason {
        CloseReason::Violation(Violation::Flood(Flood::Memory)) => 1009,
        CloseReason::Violation(Violation::Flood(_)) => 1008,
        CloseReason::Violation(_) => 1002,
        _ => 1000,
    }
}

impl<M: Machine<Input = Bytes, Output = Segment>> Machine for OverMessages<M> {
    type Input = Message;
    type Output = Message;
    type Event = M::Event;

    fn handle_input(&mut self, now: Instant, input: Message) {
        if let Received::Bytes(bytes) = self.carrier.handle_message(now, input)
            && self.machine.closed().is_none()
        {
            self.machine.handle_input(now, bytes);
        }
        self.merge(now);
    }

    fn handle_eof(&mut self, now: Instant) {
        self.carrier.handle_eof(now);
        self.merge(now);
    }

    /// A message that could not be sent ends the connection, as far as sending goes: what the peer
    /// sent before it went is still taken in until its direction ends as well.
    fn handle_failure(&mut self, now: Instant, direction: Direction, os_error: Option<i32>) {
        match direction {
            Direction::Read => self.carrier.handle_failure(now, os_error),
            Direction::Write => {
                self.cut.get_or_insert(os_error);
                self.outbox.clear();
                self.machine.handle_failure(now, Direction::Write, os_error);
            }
        }
        self.merge(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.carrier.handle_timeout(now);
        if self.machine.closed().is_none() {
            self.machine.handle_timeout(now);
        }
        self.merge(now);
    }

    fn wants_input(&self) -> bool {
        self.reason.is_none() && (self.machine.closed().is_some() || self.machine.wants_input())
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<Message> {
        if !self.carrier.is_closing()
            && let Some(message) = self.carrier.poll_control(now)
        {
            return Some(message);
        }
        if let Some(message) = self.next_data(now) {
            return Some(message);
        }
        self.leave(now);
        self.carrier.poll_control(now)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let machine = self.machine.poll_timeout().filter(|_| self.machine.closed().is_none());
        earliest([self.carrier.poll_timeout(), machine])
    }

    fn poll_event(&mut self) -> Option<M::Event> {
        self.machine.poll_event()
    }

    fn closed(&self) -> Option<&CloseReason> {
        self.reason.as_ref()
    }
}
