//! Bytes of streams that have arrived and wait to be read.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;

use super::config::{Config, LateData};
use crate::{Budget, ByteQueue};

/// What reading a stream gives.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Read {
    /// The next bytes; never none.
    Data(Bytes),
    /// The stream has ended in order.
    End,
    /// Nothing yet: wait for the `Readable` event.
    Empty,
    /// The session is over and this stream never ended: bytes are missing.
    Lost,
    /// There is no such stream, or it was given up.
    Unknown,
}

#[derive(Debug, Default)]
struct Stream {
    queue: ByteQueue,
    ended: bool,
    /// A `Readable` event was raised since the reader last found nothing.
    announced: bool,
    /// The reader is gone: what comes is dropped.
    forgotten: bool,
}

/// What became of a frame for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// The reader should be told.
    Announce,
    /// The reader knows already.
    Quiet,
    /// It was dropped.
    Dropped,
}

/// The queues of every stream that can be read, under one budget.
#[derive(Debug)]
pub(super) struct Inbox {
    streams: BTreeMap<u32, Stream>,
    budget: Budget,
    stream_limit: usize,
    late_data: LateData,
    /// Streams pushed to since the last turn.
    touched: Vec<u32>,
    stall: Option<Stall>,
}

/// Why nothing may be taken in.
#[derive(Clone, Copy, Debug)]
enum Stall {
    /// This stream is full.
    Stream(u32),
    /// The session is.
    Session,
}

impl Inbox {
    pub(super) const fn new(config: &Config) -> Self {
        Self {
            streams: BTreeMap::new(),
            budget: Budget::new(config.limits.session_queue),
            stream_limit: config.limits.stream_queue,
            late_data: config.late_data,
            touched: Vec::new(),
            stall: None,
        }
    }

    pub(super) fn open(&mut self, stream: u32) {
        self.streams.entry(stream).or_default();
    }

    /// Queues the pieces of a payload that arrived in a chunk of `pinned` bytes; says how many bytes
    /// were taken.
    #[inline]
    pub(super) fn data(
        &mut self,
        stream: u32,
        pieces: impl IntoIterator<Item = Bytes>,
        pinned: usize,
    ) -> (Taken, usize) {
        let late_data = self.late_data;
        let open = |found: &&mut Stream| {
            !found.forgotten && (!found.ended || late_data == LateData::Deliver)
        };
        let Some(found) = self.streams.get_mut(&stream).filter(open) else {
            return (Taken::Dropped, 0);
        };
        let before = found.queue.len();
        for piece in pieces {
            found.queue.push(piece, pinned);
        }
        let grown = found.queue.len() - before;
        if grown == 0 {
            return (Taken::Dropped, 0);
        }
        self.budget.charge(grown);
        if self.touched.last() != Some(&stream) {
            self.touched.push(stream);
        }
        if found.queue.len() >= self.stream_limit {
            self.stall = Some(Stall::Stream(stream));
        } else if self.budget.is_full() {
            self.stall = Some(Stall::Session);
        }
        (announce(found), grown)
    }

    pub(super) fn eof(&mut self, stream: u32) -> Taken {
        let Some(found) = self.streams.get_mut(&stream).filter(|found| !found.forgotten) else {
            return Taken::Dropped;
        };
        if core::mem::replace(&mut found.ended, true) {
            return Taken::Dropped;
        }
        announce(found)
    }

    /// Ends every stream, as if an EOF had come for each; says which ones are news.
    pub(super) fn end_all(&mut self) -> Vec<u32> {
        let live = self.streams.iter_mut().filter(|(_, found)| !found.forgotten && !found.ended);
        let ended = live.map(|(stream, found)| {
            found.ended = true;
            (*stream, announce(found))
        });
        ended.filter(|(_, taken)| *taken == Taken::Announce).map(|(stream, _)| stream).collect()
    }

    pub(super) fn read(&mut self, stream: u32, max: usize) -> Read {
        let Some(found) = self.streams.get_mut(&stream).filter(|found| !found.forgotten) else {
            return Read::Unknown;
        };
        if let Some(bytes) = found.queue.pop(max) {
            let emptied = found.queue.is_empty();
            self.budget.release(bytes.len());
            self.unstall(emptied);
            return Read::Data(bytes);
        }
        found.announced = false;
        if found.ended { Read::End } else { Read::Empty }
    }

    /// Gives a stream up: what is queued goes, what comes is dropped.
    pub(super) fn forget(&mut self, stream: u32) -> usize {
        let Some(found) = self.streams.get_mut(&stream) else { return 0 };
        found.forgotten = true;
        let dropped = found.queue.clear();
        self.budget.release(dropped);
        self.unstall(true);
        dropped
    }

    /// Gives every stream up.
    pub(super) fn forget_all(&mut self) {
        for found in self.streams.values_mut() {
            found.forgotten = true;
            self.budget.release(found.queue.clear());
        }
        self.stall = None;
    }

    /// Lets reading go on once what was full is half empty: not at the first byte, so that a slow
    /// reader does not make the link start and stop for every one of its reads. A reader that has
    /// emptied its stream does not wait for those who do not read, as long as there is room.
    fn unstall(&mut self, emptied: bool) {
        let over = match self.stall {
            None => return,
            Some(Stall::Stream(stream)) => {
                let held = self.streams.get(&stream).map_or(0, |found| found.queue.len());
                held <= self.stream_limit / 2
            }
            Some(Stall::Session) => {
                self.budget.left() >= self.budget.used() || (emptied && !self.budget.is_full())
            }
        };
        if over {
            self.stall = None;
        }
    }

    /// Whether unread bytes stop the link.
    pub(super) const fn is_stalled(&self) -> bool {
        self.stall.is_some()
    }

    /// The stream whose unread bytes stop the link: the full one, or the fullest.
    pub(super) fn stalled(&self) -> Option<u32> {
        match self.stall? {
            Stall::Stream(stream) => Some(stream),
            Stall::Session => {
                let fullest = self.streams.iter().max_by_key(|(_, found)| found.queue.len());
                fullest.map(|(stream, _)| *stream)
            }
        }
    }

    /// Bytes that wait to be read.
    pub(super) const fn queued(&self) -> usize {
        self.budget.used()
    }

    /// Starts a new turn: what is left of the last one no longer pins its chunks.
    pub(super) fn compact(&mut self) {
        for stream in self.touched.drain(..) {
            if let Some(found) = self.streams.get_mut(&stream) {
                found.queue.compact();
            }
        }
    }
}

fn announce(stream: &mut Stream) -> Taken {
    if core::mem::replace(&mut stream.announced, true) { Taken::Quiet } else { Taken::Announce }
}
