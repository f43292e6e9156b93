//! The end under test: a multiplexer over messages, its time, and what it has written.

use std::collections::VecDeque;

use bytes::Bytes;
use trunkline_core::carrier::{self, OverMessages};
use trunkline_core::mux::{Mux as _, Opened, Received, Side, StreamEnd, StreamKey};
use trunkline_core::tunnel::End as StreamOver;
use trunkline_core::yamux::{self, Connection};
use trunkline_core::{CloseReason, Instant, Machine as _, Message};

use crate::case::{Check, ensure};
use crate::report::Verdict;

/// A machine that is driven by hand.
pub(super) struct End {
    pub(super) machine: OverMessages<Connection>,
    pub(super) now: Instant,
    /// Messages it has written that nobody has looked at.
    pub(super) out: VecDeque<Message>,
    /// Own streams and those that were accepted, by id.
    streams: Vec<(u32, StreamKey)>,
}

impl End {
    pub(super) fn new(side: Side, config: yamux::Config, carrier: carrier::Config) -> Check<Self> {
        let machine = Connection::new(side, config)
            .map_err(|why| Verdict::Fail(format!("the settings are refused: {why}")))?;
        let mut end = Self {
            machine: OverMessages::new(machine, carrier),
            now: Instant::from_millis(1),
            out: VecDeque::new(),
            streams: Vec::new(),
        };
        end.pump();
        Ok(end)
    }

    /// Hands in a message; a binary one in messages of `size`, since boundaries carry no meaning.
    pub(super) fn feed(&mut self, message: Message, size: usize) {
        match message {
            Message::Binary(mut bytes) if bytes.len() > size => {
                while !bytes.is_empty() {
                    let piece = bytes.split_to(size.min(bytes.len()));
                    self.machine.handle_input(self.now, Message::Binary(piece));
                    self.pump();
                }
            }
            other => self.machine.handle_input(self.now, other),
        }
        self.pump();
    }

    /// Takes all that the machine has to send.
    pub(super) fn pump(&mut self) {
        while let Some(message) = self.machine.poll_transmit(self.now) {
            self.out.push_back(message);
        }
        while self.machine.poll_event().is_some() {}
    }

    pub(super) fn eof(&mut self) {
        self.machine.handle_eof(self.now);
        self.pump();
    }

    pub(super) fn open(&mut self) -> Opened {
        let opened = self.machine.machine_mut().open(self.now);
        if let Opened::Stream(key) = opened {
            self.remember(key);
        }
        self.pump();
        opened
    }

    /// Accepts streams until it has the one of this id.
    pub(super) fn accept(&mut self, id: u32) -> Check<StreamKey> {
        while self.stream(id).is_none() {
            ensure(self.accept_any().is_some(), || format!("there is no stream {id}"))?;
        }
        self.stream(id).ok_or_else(|| Verdict::Fail(format!("there is no stream {id}")))
    }

    /// Accepts a stream, if one waits; its id.
    pub(super) fn accept_any(&mut self) -> Option<u32> {
        let key = self.machine.machine_mut().accept(self.now)?;
        let id = self.remember(key);
        self.pump();
        Some(id)
    }

    /// The latest stream of this id.
    pub(super) fn stream(&self, id: u32) -> Option<StreamKey> {
        self.streams.iter().rev().find(|(known, _)| *known == id).map(|(_, key)| *key)
    }

    fn remember(&mut self, key: StreamKey) -> u32 {
        let id = self.machine.machine().stream_stats(key).map_or(0, |stats| stats.id);
        self.streams.push((id, key));
        id
    }

    /// Queues the front of `data`, as much as there is credit for.
    pub(super) fn write(&mut self, key: StreamKey, data: &mut Bytes) {
        while !data.is_empty() {
            let before = data.len();
            self.machine.machine_mut().write(self.now, key, data);
            self.pump();
            if data.len() == before {
                return;
            }
        }
    }

    /// Reads until nothing more is there, at most `most` bytes; where among them data frames end;
    /// and how the stream has ended.
    pub(super) fn read(
        &mut self,
        key: StreamKey,
        most: usize,
    ) -> (Vec<u8>, Vec<usize>, Option<StreamOver>) {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        let mut over = None;
        while bytes.len() < most {
            let left = self.machine.machine().frame_left(key);
            match self.machine.machine_mut().read(self.now, key, most - bytes.len()) {
                Received::Data(piece) => {
                    if left == Some(piece.len()) {
                        ends.push(bytes.len() + piece.len());
                    }
                    bytes.extend(piece);
                }
                Received::End(end) => {
                    over = Some(over_of(&end));
                    break;
                }
                _ => break,
            }
        }
        self.pump();
        (bytes, ends, over)
    }

    pub(super) fn finish(&mut self, key: StreamKey) {
        self.machine.machine_mut().finish(self.now, key);
        self.pump();
    }

    pub(super) fn reset(&mut self, key: StreamKey) {
        self.machine.machine_mut().reset(self.now, key);
        self.pump();
    }

    /// Moves the clock to the next deadline; false when there is none.
    pub(super) fn next_deadline(&mut self) -> bool {
        let Some(at) = self.machine.poll_timeout() else { return false };
        self.now = self.now.max(at);
        self.machine.handle_timeout(self.now);
        self.pump();
        true
    }

    pub(super) fn closed(&self) -> Option<&CloseReason> {
        self.machine.closed()
    }
}

/// What the end of a stream is for whoever speaks on it.
pub(super) const fn over_of(end: &StreamEnd) -> StreamOver {
    match end {
        StreamEnd::Finished => StreamOver::Finished,
        StreamEnd::Connection(_) => StreamOver::Lost,
        _ => StreamOver::Reset,
    }
}
