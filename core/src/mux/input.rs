//! What the transport brought, looked at as frames: heads whole, payloads in slices.

use alloc::collections::VecDeque;
use bytes::Bytes;

/// Chunks of input, and how far they are taken apart. `HEAD` is the length of a frame's head.
///
/// A wire asks for a [`head`](Self::head); from it it knows what follows and either takes the
/// payload in slices ([`payload`](Self::payload)), or has it skipped ([`skip`](Self::skip)), or
/// collects a short one ([`short`](Self::short)). All of them go on where they stopped, at any byte.
#[derive(Debug)]
pub(crate) struct Input<const HEAD: usize> {
    chunk: Bytes,
    /// The length of the whole chunk.
    whole: usize,
    /// Chunks that came while the machine wanted none.
    later: VecDeque<Bytes>,
    kept: usize,
    /// The part of a head or of a short payload that came before.
    partial: [u8; 16],
    partial_len: u8,
    skip: u64,
}

impl<const HEAD: usize> Input<HEAD> {
    /// No input.
    pub(crate) const fn new() -> Self {
        Self {
            chunk: Bytes::new(),
            whole: 0,
            later: VecDeque::new(),
            kept: 0,
            partial: [0; 16],
            partial_len: 0,
            skip: 0,
        }
    }

    /// Takes in what arrived.
    pub(crate) fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
        } else if self.chunk.is_empty() && self.later.is_empty() {
            self.whole = chunk.len();
            self.chunk = chunk;
        } else {
            self.kept += chunk.len();
            self.later.push_back(chunk);
        }
    }

    /// The next head, once all of it is there. Call it only when no payload is outstanding.
    #[inline]
    pub(crate) fn head(&mut self) -> Option<[u8; HEAD]> {
        self.short::<HEAD>()
    }

    /// `N` bytes (16 at most) as a whole, once all of them are there.
    #[inline]
    pub(crate) fn short<const N: usize>(&mut self) -> Option<[u8; N]> {
        if self.partial_len == 0
            && self.skip == 0
            && let Some(whole) = self.chunk.first_chunk::<N>()
        {
            let whole = *whole;
            bytes::Buf::advance(&mut self.chunk, N);
            return Some(whole);
        }
        self.collect()
    }

    /// The same, byte by byte where it has to be.
    fn collect<const N: usize>(&mut self) -> Option<[u8; N]> {
        while self.refill() {
            if self.partial_len == 0
                && let Some(whole) = self.chunk.first_chunk::<N>()
            {
                let whole = *whole;
                bytes::Buf::advance(&mut self.chunk, N);
                return Some(whole);
            }
            let have = usize::from(self.partial_len);
            let take = N.saturating_sub(have).min(self.chunk.len());
            let (from, to) = (self.chunk.get(..take)?, self.partial.get_mut(have..have + take)?);
            to.copy_from_slice(from);
            bytes::Buf::advance(&mut self.chunk, take);
            self.partial_len = u8::try_from(have + take).unwrap_or(u8::MAX);
            if have + take >= N {
                self.partial_len = 0;
                return self.partial.first_chunk::<N>().copied();
            }
        }
        None
    }

    /// Up to `most` bytes of payload as they lie in the chunk, with the chunk's whole length.
    pub(crate) fn payload(&mut self, most: usize) -> Option<(Bytes, usize)> {
        if most == 0 || !self.refill() {
            return None;
        }
        let take = most.min(self.chunk.len());
        Some((self.chunk.split_to(take), self.whole))
    }

    /// Skips the next `len` bytes, also those that have not come yet.
    pub(crate) fn skip(&mut self, len: u64) {
        self.skip = self.skip.saturating_add(len);
    }

    /// Whether a head, a short payload or a skipped one was begun and is not complete.
    pub(crate) const fn is_mid(&self) -> bool {
        self.partial_len > 0 || self.skip > 0
    }

    /// Bytes that are here and were not looked at.
    pub(crate) fn pending(&self) -> usize {
        self.chunk.len() + self.kept
    }

    /// Drops all input.
    pub(crate) fn clear(&mut self) {
        *self = Self::new();
    }

    /// Whether there is a byte to look at, with the next chunk opened and what is to be skipped gone.
    #[inline]
    fn refill(&mut self) -> bool {
        (self.skip == 0 && !self.chunk.is_empty()) || self.open_next()
    }

    fn open_next(&mut self) -> bool {
        loop {
            if self.skip > 0 && !self.chunk.is_empty() {
                let gone = self.chunk.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
                bytes::Buf::advance(&mut self.chunk, gone);
                self.skip = self.skip.saturating_sub(gone as u64);
            }
            if !self.chunk.is_empty() {
                return true;
            }
            self.chunk = Bytes::new();
            let Some(next) = self.later.pop_front() else { return false };
            self.kept = self.kept.saturating_sub(next.len());
            self.whole = next.len();
            self.chunk = next;
        }
    }
}
