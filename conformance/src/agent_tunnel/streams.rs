//! What is spoken on one stream of a replayed session.

use std::collections::VecDeque;

use bytes::Bytes;
use trunkline_core::mux::StreamKey;
use trunkline_core::tunnel::http::{Callee, CalleeEvent, Caller, CallerEvent, Fault, Head};
use trunkline_core::tunnel::{ControlCollector, End as StreamOver, Header, HeaderDecoder};
use trunkline_core::yamux;

use super::transcripts::{Step, Transcript};
use crate::case::{Check, ensure};
use crate::report::Verdict;
use crate::yamux::transcripts::Role;

/// A frame of one end, found in the messages that it wrote.
pub(super) struct Frame {
    /// The step that its head begins.
    pub(super) index: usize,
    pub(super) head: yamux::Head,
    pub(super) payload: Bytes,
}

/// The frames that one end wrote.
pub(super) fn frames(transcript: &Transcript, role: Role) -> Check<Vec<Frame>> {
    let mut frames: Vec<Frame> = Vec::new();
    let (mut bytes, mut index) = (Vec::new(), 0);
    let is_data = |step: &Step| step.from == role && matches!(step.ws.as_str(), "binary" | "text");
    for (at, step) in transcript.steps.iter().enumerate().filter(|(_, step)| is_data(step)) {
        if bytes.is_empty() {
            index = at;
        }
        bytes.extend_from_slice(step.bytes());
        while let Some(head) = bytes.first_chunk::<{ yamux::Head::LEN }>() {
            let head = yamux::Head::parse(head)
                .map_err(|why| Verdict::NotRun(format!("step {at} is no frame: {why}")))?;
            let length = yamux::Head::LEN + head.payload_len() as usize;
            if bytes.len() < length {
                break;
            }
            let rest = bytes.split_off(length);
            let payload = Bytes::from(bytes).slice(yamux::Head::LEN..);
            frames.push(Frame { index, head, payload });
            (bytes, index) = (rest, at);
        }
    }
    Ok(frames)
}

/// Who listens on a stream.
#[derive(Debug)]
pub(super) enum Listener {
    /// Nobody knows yet: its header has not come.
    Header(HeaderDecoder),
    /// The opener of an exchange.
    Caller(Box<Caller>),
    /// The agent's end of an exchange.
    Callee(Box<Callee>),
    /// A control stream's.
    Control(ControlCollector),
    /// A terminal's, or nobody in particular.
    Raw,
}

/// One stream, from its opening on.
pub(super) struct Stream {
    pub(super) key: StreamKey,
    pub(super) listener: Listener,
    /// What is still to be written, each piece in one write.
    pub(super) pieces: VecDeque<Bytes>,
    /// What of a write found no credit.
    pub(super) rest: Bytes,
    /// All that was read, from the header on.
    pub(super) read: Vec<u8>,
    /// Bytes that were credited to the other end.
    pub(super) credited: usize,
    /// Where its data frames end among these bytes, as the multiplexer tells it.
    pub(super) frame_ends: Vec<usize>,
    pub(super) over: Option<StreamOver>,
    /// The header, of a stream that the other end opened.
    pub(super) header: Option<Header>,
    pub(super) request: Option<Head>,
    pub(super) status: Option<u16>,
    /// Bytes of a body.
    pub(super) body: Vec<u8>,
    /// The body is whole.
    pub(super) whole: bool,
    pub(super) fault: Option<Fault>,
    /// The answer was made ready.
    pub(super) answered: bool,
}

impl Stream {
    pub(super) fn new(key: StreamKey, listener: Listener) -> Self {
        Self {
            key,
            listener,
            pieces: VecDeque::new(),
            rest: Bytes::new(),
            read: Vec::new(),
            credited: 0,
            frame_ends: Vec::new(),
            over: None,
            header: None,
            request: None,
            status: None,
            body: Vec::new(),
            whole: false,
            fault: None,
            answered: false,
        }
    }

    /// Takes what was read.
    pub(super) fn take(&mut self, bytes: &[u8], over: Option<StreamOver>) {
        self.read.extend_from_slice(bytes);
        let over = over.filter(|_| self.over.is_none());
        self.over = self.over.or(over);
        let bytes = Bytes::copy_from_slice(bytes);
        match &mut self.listener {
            Listener::Caller(caller) => {
                caller.handle_bytes(bytes);
                over.into_iter().for_each(|over| caller.handle_end(over));
                while let Some(event) = caller.poll_event() {
                    match event {
                        CallerEvent::Head(head) => self.status = Some(head.status),
                        CallerEvent::Body(bytes) => self.body.extend(bytes),
                        CallerEvent::End => self.whole = true,
                        CallerEvent::Failed(fault) => self.fault = Some(fault),
                        _ => {}
                    }
                }
            }
            Listener::Callee(callee) => {
                callee.handle_bytes(bytes);
                over.into_iter().for_each(|over| callee.handle_end(over));
                while let Some(event) = callee.poll_event() {
                    match event {
                        CalleeEvent::Head(head) => self.request = Some(head),
                        CalleeEvent::Body(bytes) => self.body.extend(bytes),
                        CalleeEvent::BodyEnd => self.whole = true,
                        CalleeEvent::Failed(fault) => self.fault = Some(fault),
                        _ => {}
                    }
                }
            }
            Listener::Control(control) => {
                if let Err(why) = control.feed(&bytes) {
                    self.fault = Some(Fault::Target(why.to_string()));
                }
            }
            Listener::Header(_) | Listener::Raw => {}
        }
    }
}

/// The header that a stream's bytes begin with, and what stands behind it.
pub(super) fn header_of(bytes: &[u8]) -> Check<(Header, Bytes)> {
    let mut rest = Bytes::copy_from_slice(bytes);
    match HeaderDecoder::new().feed(&mut rest) {
        Ok(Some(header)) => Ok((header, rest)),
        Ok(None) => Err(Verdict::NotRun("a stream without a whole header".into())),
        Err(why) => Err(Verdict::NotRun(format!("a stream without a header: {why}"))),
    }
}

/// A header in the two pieces in which the original writes it, as it was recorded.
pub(super) fn in_two(encoded: &Bytes, recorded: &[Bytes]) -> Check<Vec<Bytes>> {
    let (fixed, metadata) = (encoded.slice(..5), encoded.slice(5..));
    let pieces: Vec<Bytes> =
        [fixed, metadata].into_iter().filter(|piece| !piece.is_empty()).collect();
    let same = recorded.get(..pieces.len()) == Some(&pieces);
    ensure(same, || {
        let shown = String::from_utf8_lossy(encoded.get(5..).unwrap_or_default()).into_owned();
        format!("the header is written as {shown}")
    })?;
    Ok(pieces)
}
