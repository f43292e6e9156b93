//! What a wormhole connection may write: a reader that knows the rules and nothing of the machine.

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
    /// HANDSHAKEs that were written.
    pub(super) opened: u64,
    pub(super) frames: u64,
}

/// What was written on a stream.
#[derive(Debug)]
struct Written {
    credit: u64,
    closed: bool,
}

impl Watch {
    pub(super) fn new(side: Side, window: u32) -> Self {
        Self {
            side,
            window: window.into(),
            decoder: Decoder::new(MAX_PAYLOAD),
            streams: BTreeMap::new(),
            opened: 0,
            frames: 0,
        }
    }

    /// The peer opened a stream, or said how much more may be sent; both at the most.
    pub(super) fn grant(&mut self, id: u32, more: u64) {
        let window = self.window;
        let stream = self.streams.entry(id).or_insert(Written { credit: window, closed: false });
        stream.credit = stream.credit.saturating_add(more);
    }

    /// The peer may open a stream of this id once more.
    pub(super) fn again(&mut self, id: u32) {
        let window = self.window;
        let stream = self.streams.entry(id).or_insert(Written { credit: 0, closed: false });
        stream.closed = false;
        stream.credit = stream.credit.saturating_add(window);
    }

    /// The connection writes a segment: exactly one frame.
    pub(super) fn wrote(&mut self, segment: Bytes) {
        self.decoder.push(segment);
        let frame = self.decoder.poll().expect("what is written is no frame");
        let frame = frame.expect("a segment is less than a frame");
        assert_eq!(self.decoder.buffered(), 0, "a segment is more than a frame");
        self.frames += 1;
        self.check(&frame);
    }

    fn check(&mut self, frame: &Frame) {
        let id = frame.stream;
        match frame.kind {
            FrameType::HANDSHAKE => {
                let ours = id % 2 == u32::from(self.side == Side::Client);
                assert!(ours && id != 0 && frame.length() == 0, "{frame}");
                let fresh = Written { credit: self.window, closed: false };
                assert!(self.streams.insert(id, fresh).is_none(), "{frame} again");
                self.opened += 1;
            }
            FrameType::DATA => {
                let length = frame.length();
                assert!((1..=DATA_CHUNK).contains(&length), "{frame}");
                let stream = self.streams.get_mut(&id).expect("DATA without a stream");
                assert!(!stream.closed, "{frame} behind CLOSE");
                stream.credit =
                    stream.credit.checked_sub(length as u64).expect("beyond the credit");
            }
            FrameType::CLOSE => {
                let stream = self.streams.get_mut(&id).expect("CLOSE without a stream");
                assert!(!std::mem::replace(&mut stream.closed, true), "{frame} again");
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
