//! Replays a session with a machine of ours at one end.

use std::collections::BTreeMap;

use bytes::Bytes;
use trunkline_core::mux::{Mux as _, Opened};
use trunkline_core::tunnel::HeaderDecoder;
use trunkline_core::yamux::{Flags, FrameType};
use trunkline_core::{CloseFrame, Message};

use super::end::End;
use super::streams::{Frame, Listener, Stream, frames};
use super::transcripts::{Step, Transcript};
use super::{agent, opener, outcome};
use crate::case::{Check, ensure, unknown};
use crate::diff;
use crate::report::Verdict;
use crate::yamux::transcripts::Role;

/// The most deadlines that are passed for one message.
const PATIENCE: usize = 1_000;

/// Replays a session as `role`; what the other end wrote arrives in messages of at most `size`.
///
/// # Errors
///
/// [`Verdict::Fail`] when the machine writes other messages or tells another outcome,
/// [`Verdict::NotRun`] when the session says something that is not known here.
pub(super) fn replay(transcript: &Transcript, role: Role, size: usize) -> Check {
    let (config, carrier) = transcript.settings(role)?;
    let mut replay = Replay {
        transcript,
        role,
        size,
        end: End::new(role.side(), config, carrier)?,
        frames: frames(transcript, role)?,
        streams: BTreeMap::new(),
        order: Vec::new(),
    };
    for (index, step) in transcript.steps.iter().enumerate() {
        let place = |verdict| match verdict {
            Verdict::Fail(why) => Verdict::Fail(format!("step {index}: {why}")),
            other => other,
        };
        if step.from == role {
            replay.own(index, step).map_err(place)?;
        } else {
            replay.others(step).map_err(place)?;
        }
    }
    replay.nothing_more()?;
    for id in replay.order.clone() {
        replay.listen(id, usize::MAX)?;
    }
    while let Some(id) = replay.end.accept_any() {
        replay.accepted(id)?;
        replay.listen(id, usize::MAX)?;
    }
    // What waits for credit may wait for ever.
    let written = replay.streams.values().all(|it| it.pieces.is_empty());
    ensure(written, || "something is left that was to be written".into())?;
    outcome::check(&mut replay)
}

pub(super) struct Replay<'a> {
    pub(super) transcript: &'a Transcript,
    pub(super) role: Role,
    size: usize,
    pub(super) end: End,
    /// What this end wrote.
    frames: Vec<Frame>,
    pub(super) streams: BTreeMap<u32, Stream>,
    /// Ids in the order of their opening.
    pub(super) order: Vec<u32>,
}

impl Replay<'_> {
    /// The other end wrote.
    fn others(&mut self, step: &Step) -> Check {
        self.nothing_more()?;
        let bytes = Bytes::copy_from_slice(step.bytes());
        let message = match step.ws.as_str() {
            "binary" => Message::Binary(bytes),
            "text" => Message::Text(bytes),
            "ping" => Message::Ping(bytes),
            "pong" => Message::Pong(bytes),
            "close" => Message::Close(close_frame(&bytes)),
            "tcp-eof" => {
                self.end.eof();
                return Ok(());
            }
            other => return Err(unknown("ws", other)),
        };
        self.end.feed(message, self.size);
        for stream in self.streams.values_mut() {
            self.end.write(stream.key, &mut stream.rest);
        }
        Ok(())
    }

    /// This end wrote: the call is made, and the message must come.
    fn own(&mut self, index: usize, step: &Step) -> Check {
        let bytes = Bytes::copy_from_slice(step.bytes());
        let expected = match step.ws.as_str() {
            "binary" => {
                let found = self.frames.iter().position(|frame| frame.index == index);
                if let Some(at) = found {
                    self.call(at, step.cause.as_deref())?;
                }
                Message::Binary(bytes)
            }
            "ping" => {
                self.pass_deadlines();
                Message::Ping(bytes)
            }
            "pong" => Message::Pong(bytes),
            "close" => {
                if self.end.out.is_empty() {
                    self.close();
                }
                Message::Close(close_frame(&bytes))
            }
            "tcp-eof" => {
                if self.end.closed().is_none() {
                    self.close();
                }
                self.nothing_more()?;
                return ensure(self.end.closed().is_some(), || "it does not hang up".into());
            }
            other => return Err(unknown("ws", other)),
        };
        let seen = self.end.out.pop_front();
        match (&expected, &seen) {
            (Message::Binary(expected), Some(Message::Binary(seen))) => {
                match diff::bytes(expected, seen) {
                    Some(why) => Err(Verdict::Fail(format!("it writes other bytes, at {why}"))),
                    None => Ok(()),
                }
            }
            // Codes of closes are compared; their texts are for people.
            (Message::Close(expected), Some(Message::Close(seen))) => {
                let codes = [expected, seen].map(|close| close.as_ref().map(|close| close.code));
                ensure(codes[0] == codes[1], || format!("expected close {codes:?}"))
            }
            _ => ensure(seen.as_ref() == Some(&expected), || {
                format!("expected {expected:?}, seen {seen:?}")
            }),
        }
    }

    pub(super) fn nothing_more(&self) -> Check {
        let out = &self.end.out;
        ensure(out.is_empty(), || format!("it wrote {} messages more: {:?}", out.len(), out))
    }

    fn close(&mut self) {
        let now = self.end.now;
        self.end.machine.machine_mut().close(now);
        self.end.pump();
    }

    fn pass_deadlines(&mut self) {
        for _ in 0..PATIENCE {
            if !self.end.out.is_empty() || !self.end.next_deadline() {
                return;
            }
        }
    }

    /// Makes the call that a frame of this end comes from, unless it is there already.
    fn call(&mut self, at: usize, cause: Option<&str>) -> Check {
        let Some(Frame { head, index, .. }) = self.frames.get(at) else { return Ok(()) };
        let (head, index, id) = (*head, *index, head.stream);
        if !self.end.out.is_empty() {
            return Ok(());
        }
        let says = |words: &[&str]| {
            cause.is_some_and(|cause| words.iter().any(|word| cause.contains(word)))
        };
        if says(&["expires", "advance", "wait "]) {
            self.pass_deadlines();
            return Ok(());
        }
        match head.kind {
            FrameType::Ping if head.flags.has(Flags::SYN) => {
                if says(&["Ping()"]) {
                    let now = self.end.now;
                    self.end.machine.machine_mut().ping(now);
                    self.end.pump();
                } else {
                    self.pass_deadlines();
                }
                return Ok(());
            }
            FrameType::Ping => return Ok(()),
            FrameType::GoAway => {
                let now = self.end.now;
                if says(&["GoAway"]) {
                    self.end.machine.machine_mut().go_away(now);
                    self.end.pump();
                } else {
                    self.close();
                }
                return Ok(());
            }
            FrameType::Data | FrameType::WindowUpdate => {}
        }
        if head.flags.has(Flags::SYN) {
            return self.open(index, id, cause.unwrap_or_default());
        }
        if !self.streams.contains_key(&id) {
            self.accepted(id)?;
        }
        if !self.end.out.is_empty() {
            return Ok(());
        }
        if head.flags.has(Flags::RST) {
            if says(&["reset", "Reset", "RST", "abort"]) {
                let key = self.stream(id)?.key;
                self.end.reset(key);
            } else {
                self.pass_deadlines();
            }
        } else if head.kind == FrameType::Data && head.length > 0 {
            self.answer(id)?;
            self.write_next(id)?;
        } else if head.flags.has(Flags::FIN) {
            self.answer(id)?;
            let stream = self.stream(id)?;
            let (key, left) = (stream.key, stream.pieces.len());
            ensure(left == 0, || format!("{left} pieces are not written"))?;
            self.end.finish(key);
        } else if !head.flags.has(Flags::ACK) {
            // Without a number, the credit says how much was read since the last one.
            let stream = self.stream(id)?;
            let credited = stream.credited + head.length as usize;
            stream.credited = credited;
            let read = credited.saturating_sub(stream.read.len());
            let most = match cause {
                Some(cause) => number_in(cause).unwrap_or(usize::MAX),
                None => read,
            };
            self.listen(id, most)?;
        }
        Ok(())
    }

    fn open(&mut self, index: usize, id: u32, cause: &str) -> Check {
        let recorded = self.payloads(id);
        let (pieces, listener) = opener::plan(self.role, cause, &recorded)?;
        let opened = self.end.open();
        ensure(matches!(opened, Opened::Stream(_)), || format!("step {index}: {opened:?}"))?;
        let key = self.end.accept(id)?;
        let mut stream = Stream::new(key, listener);
        stream.pieces.extend(pieces);
        stream.answered = true;
        self.streams.insert(id, stream);
        self.order.push(id);
        Ok(())
    }

    /// What this end wrote on a stream, frame by frame.
    fn payloads(&self, id: u32) -> Vec<Bytes> {
        let of_stream = |frame: &&Frame| frame.head.stream == id && !frame.payload.is_empty();
        self.frames.iter().filter(of_stream).map(|frame| frame.payload.clone()).collect()
    }

    fn accepted(&mut self, id: u32) -> Check {
        let key = self.end.accept(id)?;
        self.streams.insert(id, Stream::new(key, Listener::Header(HeaderDecoder::new())));
        self.order.push(id);
        Ok(())
    }

    pub(super) fn stream(&mut self, id: u32) -> Check<&mut Stream> {
        self.streams.get_mut(&id).ok_or_else(|| Verdict::Fail(format!("there is no stream {id}")))
    }

    /// Reads what has arrived, at most `most` bytes.
    fn listen(&mut self, id: u32, most: usize) -> Check {
        let key = self.stream(id)?.key;
        let (bytes, ends, over) = self.end.read(key, most);
        let role = self.role;
        let stream = self.stream(id)?;
        let before = stream.read.len();
        stream.frame_ends.extend(ends.into_iter().map(|end| before + end));
        stream.take(&bytes, over);
        agent::listen(role, stream);
        Ok(())
    }

    /// Makes the answer ready, once.
    fn answer(&mut self, id: u32) -> Check {
        if self.stream(id)?.answered {
            return Ok(());
        }
        self.listen(id, usize::MAX)?;
        let (transcript, recorded) = (self.transcript, self.payloads(id));
        agent::answer(transcript, self.stream(id)?, &recorded)
    }

    /// Writes the next piece; what finds no credit waits.
    fn write_next(&mut self, id: u32) -> Check {
        let stream = self.stream(id)?;
        ensure(stream.rest.is_empty(), || "it waits for credit".into())?;
        let key = stream.key;
        let piece = stream.pieces.pop_front();
        let mut piece = piece.ok_or_else(|| Verdict::Fail("nothing is left to write".into()))?;
        self.end.write(key, &mut piece);
        self.stream(id)?.rest = piece;
        Ok(())
    }
}

/// What stands in a close.
fn close_frame(bytes: &[u8]) -> Option<CloseFrame> {
    let (code, text) = bytes.split_first_chunk::<2>()?;
    let reason = String::from_utf8_lossy(text).into_owned();
    Some(CloseFrame { code: u16::from_be_bytes(*code), reason })
}

/// The first number in a text.
fn number_in(text: &str) -> Option<usize> {
    let digits = text.split(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty())?;
    digits.parse().ok()
}
