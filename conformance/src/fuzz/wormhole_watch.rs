//! What a wormhole connection may write: a reader that knows the rules and nothing of the machine.

// A body stops at the first thing that is wrong.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeMap;

use bytes::Bytes;
use trunkline_core::mux::Side;
use trunkline_core::wormhole::{DATA_CHUNK, Decoder, Frame, FrameType, MAX_PAYLOAD};

/// Looks at every frame that a connection writes, and at the credit that it is given.
#[derive(Debug)]
pub(super) struct Watch {
    side: Side,
    window: u64,
    decoder: Decoder,
    streams: BTreeMap<u32, Written>,
}

/// What was written on a stream, and what may be: however often its id was opened.
#[derive(Debug, Default)]
struct Written {
    credit: u64,
    open: bool,
    handshake: bool,
}

impl Watch {
    pub(super) fn new(side: Side, window: u32) -> Self {
        Self {
            side,
            window: window.into(),
            decoder: Decoder::new(MAX_PAYLOAD),
            streams: BTreeMap::new(),
        }
    }

    /// The peer said how much more may be sent; perhaps before a HANDSHAKE of ours was written.
    pub(super) fn grant(&mut self, id: u32, more: u64) {
        let stream = self.streams.entry(id).or_default();
        stream.credit = stream.credit.saturating_add(more);
    }

    /// The peer may have opened a stream.
    pub(super) fn opened(&mut self, id: u32) {
        let window = self.window;
        let stream = self.streams.entry(id).or_default();
        if id % 2 != u32::from(self.side == Side::Client) {
            stream.open = true;
            stream.credit = stream.credit.saturating_add(window);
        }
    }

    /// The connection writes a segment: exactly one frame.
    pub(super) fn wrote(&mut self, segment: Bytes) {
        self.decoder.push(segment);
        let frame = self.decoder.poll().expect("what is written is no frame");
        let frame = frame.expect("a segment is less than a frame");
        assert_eq!(self.decoder.buffered(), 0, "a segment is more than a frame");
        self.check(&frame);
    }

    fn check(&mut self, frame: &Frame) {
        let id = frame.stream;
        match frame.kind {
            FrameType::HANDSHAKE => {
                let ours = id % 2 == u32::from(self.side == Side::Client);
                assert!(ours && id != 0 && frame.length() == 0, "{frame}");
                let stream = self.streams.entry(id).or_default();
                assert!(!stream.handshake, "{frame} again");
                (stream.handshake, stream.open) = (true, true);
                stream.credit = stream.credit.saturating_add(self.window);
            }
            FrameType::DATA => {
                let length = frame.length();
                assert!((1..=DATA_CHUNK).contains(&length), "{frame}");
                let stream = self.streams.entry(id).or_default();
                assert!(stream.open, "{frame} on no stream");
                stream.credit =
                    stream.credit.checked_sub(length as u64).expect("beyond the credit");
            }
            FrameType::CLOSE => {
                let stream = self.streams.entry(id).or_default();
                assert!(std::mem::take(&mut stream.open), "{frame} on no stream");
            }
            FrameType::WINDOW_UPDATE => assert!(frame.increment().is_ok_and(|more| more > 0)),
            FrameType::PING | FrameType::PONG => assert!(id == 0 && frame.length() == 4),
            _ => {
                let code = frame.remote_error().map(|error| error.code);
                assert!(matches!(code, Ok(503 | 413)), "{frame}");
            }
        }
    }
}
