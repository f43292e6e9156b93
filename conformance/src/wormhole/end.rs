//! One end of a recorded connection, with our machine in it.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use trunkline_core::mux::{Mux, MuxEvent, Opened, Received, Sent, Side, StreamEnd, StreamKey};
use trunkline_core::wormhole::{Config, ConfigError, Connection};
use trunkline_core::{Instant, Machine};

/// Our machine with a clock, and a transport that can be held up in either direction.
#[derive(Debug)]
pub struct End {
    /// The machine.
    pub machine: Connection,
    now: u64,
    /// Frames that the transport took, in order.
    out: VecDeque<Vec<u8>>,
    /// How many more frames the transport takes; `None` while it is not stalled.
    stalled: Option<u32>,
    /// Input that is held back, while it is.
    held: Option<Vec<Vec<u8>>>,
    /// In which pieces input arrives.
    size: usize,
    keys: BTreeMap<u32, StreamKey>,
    writes: BTreeMap<u32, Write>,
}

/// A write that is not done, or is.
#[derive(Debug)]
struct Write {
    left: Bytes,
    written: usize,
    end: Option<StreamEnd>,
}

/// What a read brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadResult {
    /// Pieces of bytes, of one or more frames.
    Data(Vec<Bytes>),
    /// Nothing yet.
    Blocked,
    /// The end.
    End(StreamEnd),
}

impl End {
    /// A fresh connection whose input arrives in pieces of at most `size` bytes.
    ///
    /// # Errors
    ///
    /// When the configuration is refused.
    pub fn new(side: Side, config: Config, size: usize) -> Result<Self, ConfigError> {
        let mut end = Self {
            machine: Connection::new(side, config)?,
            now: 1_000,
            out: VecDeque::new(),
            stalled: None,
            held: None,
            size,
            keys: BTreeMap::new(),
            writes: BTreeMap::new(),
        };
        // A driver polls as soon as there is a connection: clocks run from here on.
        end.pump();
        Ok(end)
    }

    /// The machine's time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        Instant::from_millis(self.now)
    }

    /// Takes what the machine gives, and goes on with what waits for it.
    pub fn pump(&mut self) {
        loop {
            let mut moved = false;
            while self.stalled != Some(0)
                && let Some(segment) = self.machine.poll_transmit(self.now())
            {
                self.out.push_back(segment.into_bytes().to_vec());
                self.stalled = self.stalled.map(|left| left - 1);
                moved = true;
            }
            let mut writable = false;
            while let Some(event) = self.machine.poll_event() {
                writable |= matches!(event, MuxEvent::Writable(_));
            }
            if writable {
                let ids: Vec<u32> = self.writes.keys().copied().collect();
                for id in ids {
                    while self.go_on(id) {
                        moved = true;
                    }
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// The oldest frame that was written and not looked at.
    pub fn frame(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    /// The other end's bytes arrive, unless they are held back.
    pub fn feed(&mut self, bytes: &[u8]) {
        if let Some(held) = &mut self.held {
            held.push(bytes.to_vec());
            return;
        }
        for piece in bytes.chunks(self.size) {
            let now = self.now();
            self.machine.handle_input(now, Bytes::copy_from_slice(piece));
            self.pump();
        }
    }

    /// Holds input back from here on.
    pub fn hold(&mut self) {
        self.held.get_or_insert_default();
    }

    /// Hands in what was held back.
    pub fn release(&mut self) {
        for bytes in self.held.take().unwrap_or_default() {
            self.feed(&bytes);
        }
    }

    /// The other end's output ends.
    pub fn feed_end(&mut self) {
        let now = self.now();
        self.machine.handle_eof(now);
        self.pump();
    }

    /// The transport takes one frame more, then none.
    pub fn stall(&mut self) {
        self.stalled = Some(1);
    }

    /// The transport takes frames again.
    pub fn unstall(&mut self) {
        self.stalled = None;
        self.pump();
    }

    /// Time passes, through every deadline on the way.
    pub fn advance(&mut self, millis: u64) {
        let until = self.now.saturating_add(millis);
        while let Some(at) = self.machine.poll_timeout() {
            let at = at.as_nanos().div_ceil(1_000_000);
            if at > until {
                break;
            }
            self.now = self.now.max(at);
            let now = self.now();
            self.machine.handle_timeout(now);
            self.pump();
        }
        self.now = until;
        let now = self.now();
        self.machine.handle_timeout(now);
        self.pump();
    }

    /// Opens a stream; `None` when it is refused.
    pub fn open(&mut self) -> Option<u32> {
        let now = self.now();
        let Opened::Stream(key) = self.machine.open(now) else { return None };
        self.pump();
        self.know(key)
    }

    /// Accepts a stream; `None` when there is none.
    pub fn accept(&mut self) -> Option<u32> {
        let now = self.now();
        let key = self.machine.accept(now)?;
        self.pump();
        self.know(key)
    }

    fn know(&mut self, key: StreamKey) -> Option<u32> {
        let id = self.machine.stream_stats(key)?.id;
        self.keys.insert(id, key);
        Some(id)
    }

    /// The key of a stream that was opened or accepted.
    #[must_use]
    pub fn key(&self, id: u32) -> Option<StreamKey> {
        self.keys.get(&id).copied()
    }

    /// One read of up to `max` bytes: all that is there, as the original's read joins frames.
    pub fn read(&mut self, id: u32, max: usize) -> Option<ReadResult> {
        let key = self.key(id)?;
        let now = self.now();
        let (mut pieces, mut left) = (Vec::new(), max);
        let result = loop {
            if left == 0 {
                break ReadResult::Data(pieces);
            }
            match self.machine.read(now, key, left) {
                Received::Data(piece) => {
                    left = left.saturating_sub(piece.len());
                    pieces.push(piece);
                }
                _ if !pieces.is_empty() => break ReadResult::Data(pieces),
                Received::Blocked => break ReadResult::Blocked,
                Received::End(end) => break ReadResult::End(end),
                Received::Unknown => return None,
            }
        };
        self.pump();
        Some(result)
    }

    /// Begins a write, which goes on by itself as soon as it can.
    pub fn write(&mut self, id: u32, bytes: &[u8]) -> Option<()> {
        self.key(id)?;
        let left = Bytes::copy_from_slice(bytes);
        self.writes.insert(id, Write { left, written: 0, end: None });
        while self.go_on(id) {
            self.pump();
        }
        self.pump();
        Some(())
    }

    /// What the last write to a stream wrote, how it ended if it failed, and whether it goes on.
    #[must_use]
    pub fn written(&self, id: u32) -> Option<(usize, Option<&StreamEnd>, bool)> {
        let write = self.writes.get(&id)?;
        let waits = !write.left.is_empty() && write.end.is_none();
        Some((write.written, write.end.as_ref(), waits))
    }

    /// Writes what is left of a write; whether anything was.
    fn go_on(&mut self, id: u32) -> bool {
        let now = Instant::from_millis(self.now);
        let (Some(key), Some(write)) = (self.key(id), self.writes.get_mut(&id)) else {
            return false;
        };
        if write.left.is_empty() || write.end.is_some() {
            return false;
        }
        match self.machine.write(now, key, &mut write.left) {
            Sent::Accepted(count) => {
                write.written += count;
                count > 0
            }
            Sent::Blocked => false,
            Sent::End(end) => {
                write.end = Some(end);
                false
            }
            Sent::Unknown => {
                write.left = Bytes::new();
                false
            }
        }
    }

    /// Closes a stream; a write that waits ends with it.
    pub fn close(&mut self, id: u32) -> Option<()> {
        let key = self.key(id)?;
        let now = self.now();
        self.machine.finish(now, key);
        self.go_on(id);
        self.pump();
        Some(())
    }

    /// Closes the connection.
    pub fn close_connection(&mut self) {
        let now = self.now();
        self.machine.close(now);
        self.pump();
    }
}
