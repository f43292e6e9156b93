//! The end under test: a machine, its time, and what it has written.

use bytes::Bytes;
use trunkline_core::fixed::FrameDecoder;
use trunkline_core::mux::{Mux as _, Opened, Received, Side, StreamEnd, StreamKey};
use trunkline_core::yamux::{Config, Connection, Frame, Head};
use trunkline_core::{CloseReason, Instant, Machine as _};

use crate::case::Check;
use crate::report::Verdict;

/// A machine that is driven by hand.
pub struct End {
    /// The machine.
    pub machine: Connection,
    /// The time.
    pub now: Instant,
    /// Bytes it has written that nobody has looked at.
    pub out: Vec<u8>,
    /// Own streams and those that were accepted, by id.
    pub streams: Vec<(u32, StreamKey)>,
}

impl End {
    /// A machine at its start.
    ///
    /// # Errors
    ///
    /// When the settings are refused.
    pub fn new(side: Side, config: Config) -> Check<Self> {
        let machine = Connection::new(side, config)
            .map_err(|why| Verdict::Fail(format!("the settings are refused: {why}")))?;
        Ok(Self { machine, now: Instant::from_millis(1), out: Vec::new(), streams: Vec::new() })
    }

    /// Hands in bytes, in pieces of `size`, and takes what is written in return.
    pub fn feed(&mut self, bytes: &[u8], size: usize) {
        for piece in bytes.chunks(size.max(1)) {
            self.machine.handle_input(self.now, Bytes::copy_from_slice(piece));
            self.pump();
        }
    }

    /// Takes all that the machine has to send.
    pub fn pump(&mut self) {
        while let Some(segment) = self.machine.poll_transmit(self.now) {
            self.out.extend(segment.slices().concat());
        }
        while self.machine.poll_event().is_some() {}
    }

    /// Tells that input has ended.
    pub fn eof(&mut self) {
        self.machine.handle_eof(self.now);
        self.pump();
    }

    /// Opens a stream.
    pub fn open(&mut self) -> Opened {
        let opened = self.machine.open(self.now);
        if let Opened::Stream(key) = opened {
            self.remember(key);
        }
        self.pump();
        opened
    }

    /// Accepts a stream, if one waits; its id.
    pub fn accept(&mut self) -> Option<u32> {
        let key = self.machine.accept(self.now)?;
        let id = self.remember(key);
        self.pump();
        Some(id)
    }

    /// The latest stream of this id.
    #[must_use]
    pub fn stream(&self, id: u32) -> Option<StreamKey> {
        self.streams.iter().rev().find(|(known, _)| *known == id).map(|(_, key)| *key)
    }

    fn remember(&mut self, key: StreamKey) -> u32 {
        let id = self.machine.stream_stats(key).map_or(0, |stats| stats.id);
        self.streams.push((id, key));
        id
    }

    /// Reads until nothing more is there, at most `most` bytes; the bytes, and what stopped it.
    pub fn read(&mut self, key: StreamKey, most: usize) -> (Vec<u8>, Option<Stopped>) {
        let mut bytes = Vec::new();
        while bytes.len() < most {
            match self.machine.read(self.now, key, most - bytes.len()) {
                Received::Data(piece) => bytes.extend(piece),
                Received::Blocked => return (bytes, Some(Stopped::Blocked)),
                Received::End(end) => return (bytes, Some(Stopped::of(&end))),
                Received::Unknown => return (bytes, Some(Stopped::Unknown)),
            }
        }
        (bytes, None)
    }

    /// Moves the clock to the next deadline; false when there is none.
    pub fn next_deadline(&mut self) -> bool {
        let Some(at) = self.machine.poll_timeout() else { return false };
        self.now = self.now.max(at);
        self.machine.handle_timeout(self.now);
        self.pump();
        true
    }

    /// Why the connection is over.
    #[must_use]
    pub fn closed(&self) -> Option<&CloseReason> {
        self.machine.closed()
    }

    /// The heads of what was written and not looked at, which must be whole frames.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub fn heads(&mut self) -> Check<Vec<Head>> {
        let mut decoder = FrameDecoder::<Frame>::new(1 << 28);
        decoder.push(Bytes::from(std::mem::take(&mut self.out)));
        let mut heads = Vec::new();
        while let Some(frame) = decoder.poll().map_err(|why| Verdict::Fail(why.to_string()))? {
            heads.push(frame.head);
        }
        crate::case::ensure(decoder.buffered() == 0, || "it wrote half a frame".into())?;
        Ok(heads)
    }
}

/// What a read or write stopped at, in the originals' terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// More may come.
    Blocked,
    /// The peer ended its direction, or this side its own.
    Finished,
    /// The stream was reset.
    Reset,
    /// The connection is over.
    Lost,
    /// This side ended the stream.
    Local,
    /// There is no such stream.
    Unknown,
}

impl Stopped {
    /// What an end stands for.
    #[must_use]
    pub const fn of(end: &StreamEnd) -> Self {
        match end {
            StreamEnd::Finished => Self::Finished,
            StreamEnd::Reset => Self::Reset,
            StreamEnd::Connection(_) => Self::Lost,
            _ => Self::Local,
        }
    }

    /// Whether the original's error text of a read or write stands for this. It has one text for
    /// the end of a stream and the loss of the connection; this project never takes one for the
    /// other, so `lost` says which of them it was.
    #[must_use]
    pub fn is_told_as(self, text: &str, lost: bool) -> Option<bool> {
        Some(match text {
            "i/o deadline reached" => self == Self::Blocked,
            "connection reset" => self == Self::Reset || self == Self::Local,
            "stream closed" => self == Self::Finished || self == Self::Lost,
            "EOF" => self == Self::Finished || lost && self == Self::Lost,
            _ => return None,
        })
    }
}
