//! One stream of a connection: `docs/protocols/smux.md` sections 5 and 7.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::frame::Update;
use crate::mux::LocalEnd;
use crate::mux::parts::{Slot, Window};

/// What every peer assumes of a window before the first update, in bytes (section 7).
pub(super) const INITIAL_WINDOW: u32 = 262_144;

/// The wire's own part of a stream.
///
/// The table of section 5.2 is in the methods named after what happens: each says what it does to
/// the state, and what that makes of the stream.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Bytes that the application has read, modulo 2^32.
    pub(super) read: u32,
    marks: u16,
}

/// The windows of a stream of version 2.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    /// How this side's window stands.
    pub(super) window: Window,
    /// How the peer's window stands.
    pub(super) credit: Credit,
}

/// The flows of all streams, in a table beside that of the streams: version 1 has none.
#[derive(Debug)]
pub(super) struct Flows {
    initial: u32,
    // Boxes on purpose: a table grows by one page, never by copying what it has.
    #[allow(clippy::vec_box)]
    pages: Vec<Box<[Flow; PAGE]>>,
}

/// Flows in one page.
const PAGE: usize = 32;

impl Flows {
    /// Flows whose own window begins at `initial` bytes.
    pub(super) const fn new(initial: u32) -> Self {
        Self { initial, pages: Vec::new() }
    }

    /// A stream begins in that slot, whatever was there before.
    pub(super) fn begin(&mut self, slot: Slot) {
        // Whatever the first window is, the peer assumes another one before it hears of it.
        let window = Window::new(self.initial).believed(INITIAL_WINDOW);
        let flow = Flow { window, credit: Credit::new() };
        while self.pages.len() <= slot.0 as usize / PAGE {
            self.pages.push(Box::new([flow; PAGE]));
        }
        if let Some(old) = self.get_mut(slot) {
            *old = flow;
        }
    }

    /// The flow of a stream; `None` in version 1.
    #[inline]
    pub(super) fn get(&self, slot: Slot) -> Option<&Flow> {
        let slot = slot.0 as usize;
        self.pages.get(slot / PAGE)?.get(slot % PAGE)
    }

    /// The flow of a stream; `None` in version 1.
    #[inline]
    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Flow> {
        let slot = slot.0 as usize;
        self.pages.get_mut(slot / PAGE)?.get_mut(slot % PAGE)
    }

    /// What the peer may send, in version 2.
    pub(super) fn granted(&self, slot: Slot) -> u32 {
        self.get(slot).map_or(INITIAL_WINDOW, |flow| flow.window.granted())
    }

    /// What this side may send, in version 2; see [`Credit::left`].
    pub(super) fn credit(&self, slot: Slot) -> Option<usize> {
        self.get(slot).map_or(Some(INITIAL_WINDOW as usize), |flow| flow.credit.left())
    }

    /// Memory that they take, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.pages.len() * size_of::<[Flow; PAGE]>()
            + self.pages.capacity() * size_of::<Box<[Flow; PAGE]>>()
    }
}

/// The send window of a stream: arithmetic modulo 2^32 (section 7).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Credit {
    written: u32,
    consumed: u32,
    window: u32,
}

impl Credit {
    pub(super) const fn new() -> Self {
        Self { written: 0, consumed: 0, window: INITIAL_WINDOW }
    }

    /// How much may be sent; `None` while the peer claims to have read what was never sent.
    pub(super) const fn left(&self) -> Option<usize> {
        let in_flight = self.written.wrapping_sub(self.consumed).cast_signed();
        if in_flight < 0 {
            return None;
        }
        let left = (self.window.cast_signed() as i64) - in_flight as i64;
        Some(if left > 0 { left as usize } else { 0 })
    }

    /// So many bytes were accepted; never more than is left.
    pub(super) fn use_up(&mut self, bytes: usize) {
        self.written = self.written.wrapping_add(bytes as u32);
    }

    /// Whether an update claims that more was read than was sent.
    pub(super) const fn is_overclaimed(&self, update: Update) -> bool {
        self.written.wrapping_sub(update.consumed).cast_signed() < 0
    }

    /// Whether an update says that less was read than the last one did.
    pub(super) const fn goes_back(&self, update: Update) -> bool {
        update.consumed.wrapping_sub(self.consumed).cast_signed() < 0
    }

    /// Whether an update says nothing new.
    pub(super) const fn is_known(&self, update: Update) -> bool {
        update.consumed == self.consumed && update.window <= self.window
    }

    /// Takes an update as it is.
    pub(super) fn update(&mut self, update: Update) {
        self.consumed = update.consumed;
        self.window = update.window;
    }
}

/// What can be true of a stream, beside its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Mark {
    /// Its SYN has not left yet.
    SynDue = 1,
    /// A window update is due.
    UpdateDue = 2,
    /// Its FIN is to leave behind what is queued.
    FinAsked = 4,
    /// Its FIN has left.
    FinSent = 8,
    /// The peer's FIN came.
    FinReceived = 16,
    /// The first read was made.
    WasRead = 32,
    /// The peer has let go of it: nothing that is sent will be read.
    PeerGone = 64,
    /// It counts as open.
    Open = 128,
    /// It counts against the peer's limit.
    PeersShare = 256,
    /// A second FIN is to leave.
    SecondFin = 512,
    /// Nobody wants what the peer sends any more.
    Deaf = 1024,
    /// This side ended it: asked for.
    EndedAsked = 2048,
    /// This side ended it: too much data.
    EndedTooMuch = 4096,
    /// This side ended it: a rule was broken.
    EndedViolation = 8192,
}

impl State {
    pub(super) const fn has(&self, mark: Mark) -> bool {
        self.marks & mark as u16 != 0
    }

    /// Sets a mark; whether it was not set before.
    pub(super) const fn set(&mut self, mark: Mark) -> bool {
        let new = !self.has(mark);
        self.marks |= mark as u16;
        new
    }

    /// Clears a mark; whether it was set.
    pub(super) const fn clear(&mut self, mark: Mark) -> bool {
        let old = self.has(mark);
        self.marks &= !(mark as u16);
        old
    }

    /// Why this side ended the stream, if it did.
    pub(super) const fn local_end(&self) -> Option<LocalEnd> {
        if self.has(Mark::EndedViolation) {
            Some(LocalEnd::Violation)
        } else if self.has(Mark::EndedTooMuch) {
            Some(LocalEnd::TooMuch)
        } else if self.has(Mark::EndedAsked) {
            Some(LocalEnd::Asked)
        } else {
            None
        }
    }

    /// Notes why this side ended the stream.
    pub(super) const fn end(&mut self, why: LocalEnd) {
        let mark = match why {
            LocalEnd::TooMuch => Mark::EndedTooMuch,
            LocalEnd::Violation => Mark::EndedViolation,
            LocalEnd::Asked | LocalEnd::Timeout => Mark::EndedAsked,
        };
        self.set(mark);
    }

    /// Whether both directions have ended.
    pub(super) const fn is_over(&self) -> bool {
        self.has(Mark::FinSent) && self.has(Mark::FinReceived)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_is_only_open_takes_little() {
        assert!(size_of::<State>() <= 8, "{}", size_of::<State>());
        assert!(size_of::<Flow>() <= 32, "{}", size_of::<Flow>());
    }
}
