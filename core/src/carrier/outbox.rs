//! Bytes on their way into messages: `docs/protocols/agent-tunnel.md` section 2.

use alloc::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::Grouping;
use crate::Segment;

/// The most bytes of one message, but for a larger frame.
const MOST: usize = 64 << 10;

/// Bytes of a yamux head.
const HEAD: usize = 12;

/// Puts bytes together into messages, as [`Grouping`] says.
///
/// It holds what it is given until [`poll`](Self::poll) or [`flush`](Self::flush) takes it: the
/// caller bounds it by asking after each push.
#[derive(Debug)]
pub struct Outbox {
    grouping: Grouping,
    ready: VecDeque<Bytes>,
    open: BytesMut,
    /// Length of the payload that the open message is; `None`: it is a head, or anything.
    payload: Option<usize>,
}

impl Outbox {
    /// An empty one.
    #[must_use]
    pub fn new(grouping: Grouping) -> Self {
        Self { grouping, ready: VecDeque::new(), open: BytesMut::new(), payload: None }
    }

    /// Whether nothing waits in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.open.is_empty()
    }

    /// Takes in one whole frame; with [`Grouping::HeadAndPayload`] its parts are messages.
    pub fn push_frame(&mut self, frame: Segment) {
        match self.grouping {
            Grouping::Flush if frame.len() >= MOST => {
                self.seal();
                self.ready.push_back(frame.into_bytes());
            }
            Grouping::Flush => {
                self.make_room(frame.len());
                for part in frame.slices() {
                    self.open.extend_from_slice(part);
                }
            }
            Grouping::HeadAndPayload => {
                let parts = frame.into_parts();
                self.ready.extend(parts.into_iter().filter(|part| !part.is_empty()));
            }
        }
    }

    /// Takes in the next bytes of a stream of yamux frames, cut anywhere; they are copied.
    ///
    /// With [`Grouping::HeadAndPayload`] the heads are read to find out where payloads end, so all
    /// of the stream must come this way; otherwise the bytes can be any.
    pub fn push(&mut self, mut bytes: &[u8]) {
        if self.grouping == Grouping::Flush {
            self.make_room(bytes.len());
            self.open.extend_from_slice(bytes);
            return;
        }
        while !bytes.is_empty() {
            let missing = self.payload.unwrap_or(HEAD).saturating_sub(self.open.len());
            let (front, rest) = bytes.split_at(missing.min(bytes.len()));
            self.open.extend_from_slice(front);
            bytes = rest;
            if front.len() == missing {
                self.payload = match self.payload {
                    None => payload_length(&self.open),
                    Some(_) => None,
                };
                self.seal();
            }
        }
    }

    /// The next message that is complete: it would not grow with what comes.
    pub fn poll(&mut self) -> Option<Bytes> {
        self.ready.pop_front()
    }

    /// The next message, complete or not: call it when nothing more is to be sent at once.
    ///
    /// With [`Grouping::HeadAndPayload`] a part of a head or payload waits for its rest.
    pub fn flush(&mut self) -> Option<Bytes> {
        if self.grouping == Grouping::Flush {
            self.seal();
        }
        self.ready.pop_front()
    }

    /// Lets go of everything.
    pub fn clear(&mut self) {
        *self = Self::new(self.grouping);
    }

    /// Ends the open message where `more` bytes would make it too long.
    fn make_room(&mut self, more: usize) {
        if self.open.len().saturating_add(more) > MOST {
            self.seal();
        }
    }

    fn seal(&mut self) {
        if !self.open.is_empty() {
            self.ready.push_back(self.open.split().freeze());
        }
    }
}

/// The length of the payload behind a yamux head, where there is one.
fn payload_length(head: &[u8]) -> Option<usize> {
    let data = head.get(1) == Some(&0);
    let length: [u8; 4] = head.get(8..12)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(length)).ok().filter(|length| data && *length > 0)
}
