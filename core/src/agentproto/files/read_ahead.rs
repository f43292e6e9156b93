//! Reading a file from front to back with several requests under way.

use alloc::collections::BTreeMap;
use bytes::Bytes;

use super::range::{Piece, RangePlan, Stalled};
use crate::Payload;

/// The first request behind a seek, in bytes: whoever jumps about should not pay for what is never
/// read.
const FIRST: usize = 32 << 10;

/// What a reader gets.
#[derive(Debug)]
pub enum AheadRead<E> {
    /// Bytes at the position, which moves behind them. Never empty.
    Data(Bytes),
    /// The file ends here, as the agent said. Reading again asks again.
    End,
    /// Nothing is there yet.
    Wait,
    /// The request for these bytes failed. Reading again asks again.
    Failed(E),
}

/// A reader's position, what was read ahead of it, and what to ask for next.
///
/// As long as reading goes on from front to back the window grows by a request for each one used
/// up, so that it doubles each round trip; a seek that leaves it begins anew. Answers come in any
/// order. An error shows where it happened, behind the bytes in front of it.
#[derive(Debug)]
pub struct ReadAhead<E> {
    position: u64,
    plan: RangePlan,
    /// What has come and was not read, by offset.
    ready: BTreeMap<u64, Payload>,
    buffered: usize,
    asked: usize,
    chunk: usize,
    window: usize,
    most: usize,
    fault: Option<(u64, E)>,
}

impl<E: From<Stalled>> ReadAhead<E> {
    /// A reader at the beginning of a file, with requests of at most `chunk` bytes and at most
    /// `most` bytes under way or waiting to be read; a single request is always allowed.
    #[must_use]
    pub fn new(chunk: usize, most: usize) -> Self {
        let chunk = chunk.max(1);
        let first = chunk.min(FIRST);
        Self {
            position: 0,
            plan: RangePlan::new(0..u64::MAX, first),
            ready: BTreeMap::new(),
            buffered: 0,
            asked: 0,
            chunk,
            window: first,
            most,
            fault: None,
        }
    }

    /// Where the next read begins.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Bytes that are asked for or wait to be read.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.asked + self.buffered
    }

    /// Moves the position; says whether what is read ahead is kept, as it is when the new position
    /// is within it. Otherwise everything asked for is forgotten: answers must not be handed in.
    pub fn seek(&mut self, position: u64) -> bool {
        while self.position < position {
            let left = usize::try_from(position - self.position).unwrap_or(usize::MAX);
            if self.take(left).is_none() {
                break;
            }
        }
        let kept = self.position == position;
        if !kept {
            self.position = position;
            self.restart();
        }
        kept
    }

    /// Forgets everything that was read ahead and asked for; answers must not be handed in.
    pub fn restart(&mut self) {
        self.window = self.chunk.min(FIRST);
        self.plan = RangePlan::new(self.position..u64::MAX, self.window);
        self.ready.clear();
        (self.buffered, self.asked, self.fault) = (0, 0, None);
    }

    /// The next piece to ask for, if the window allows it, and `room` beyond the first.
    pub fn next_piece(&mut self, room: usize) -> Option<Piece> {
        let held = self.held();
        let next = self.plan.chunk();
        let allowed = held == 0
            || self.plan.has_left_over()
            || (held.saturating_add(next) <= self.window.min(self.most) && next <= room);
        // What is behind an error will be asked for when it has been told.
        let behind = |(at, _): &(u64, E)| self.plan.next_offset() >= *at;
        if self.fault.as_ref().is_some_and(behind) || !allowed {
            return None;
        }
        let piece = self.plan.next_piece()?;
        self.asked = self.asked.saturating_add(piece.len);
        Some(piece)
    }

    /// Takes a piece back that was not asked for after all.
    pub fn give_back(&mut self, piece: Piece) {
        self.plan.give_back(piece);
        self.asked = self.asked.saturating_sub(piece.len);
    }

    /// Takes the answer to a piece in. One that brings nothing, although the file does not end
    /// there, is an error.
    pub fn answer(&mut self, piece: Piece, data: Payload, eof: bool) {
        self.asked = self.asked.saturating_sub(piece.len);
        let count = data.len();
        if count > 0 {
            self.buffered = self.buffered.saturating_add(count);
            self.ready.insert(piece.offset, data);
        }
        if let Err(stalled) = self.plan.answer(piece, count, eof) {
            self.fault_at(stalled.offset, stalled.into());
        }
    }

    /// Notes that the request for a piece failed. Of several errors the first in the file shows.
    pub fn fail(&mut self, piece: Piece, error: E) {
        self.asked = self.asked.saturating_sub(piece.len);
        self.plan.give_back(piece);
        self.fault_at(piece.offset, error);
    }

    fn fault_at(&mut self, at: u64, error: E) {
        if self.fault.as_ref().is_none_or(|(offset, _)| at < *offset) {
            self.fault = Some((at, error));
        }
    }

    /// Up to `max` bytes at the position, possibly fewer than there are, without a copy.
    ///
    /// After an end and after an error everything asked for is forgotten: answers must not be handed
    /// in.
    pub fn read(&mut self, max: usize) -> AheadRead<E> {
        if self.position >= self.plan.end() {
            self.restart();
            return AheadRead::End;
        }
        if let Some(data) = self.take(max.max(1)) {
            return AheadRead::Data(data);
        }
        match self.fault.take_if(|(offset, _)| *offset <= self.position) {
            Some((_, error)) => {
                self.restart();
                AheadRead::Failed(error)
            }
            None => AheadRead::Wait,
        }
    }

    fn take(&mut self, max: usize) -> Option<Bytes> {
        let left = usize::try_from(self.plan.end().saturating_sub(self.position));
        let max = max.min(left.unwrap_or(usize::MAX));
        let data = self.ready.remove(&self.position)?;
        let mut pieces = data.into_pieces();
        let mut first = pieces.next()?;
        let taken = first.split_to(first.len().min(max));
        let mut rest = Payload::from(first);
        pieces.for_each(|piece| rest.push(piece));
        self.position = self.position.saturating_add(taken.len() as u64);
        self.buffered = self.buffered.saturating_sub(taken.len());
        if rest.is_empty() {
            self.grow();
        } else {
            self.ready.insert(self.position, rest);
        }
        (!taken.is_empty()).then_some(taken)
    }

    /// A request was used up from front to back.
    fn grow(&mut self) {
        let chunk = self.plan.chunk().saturating_mul(2).min(self.chunk);
        self.plan.set_chunk(chunk);
        self.window = self.window.saturating_add(chunk).min(self.most.max(chunk));
    }
}
