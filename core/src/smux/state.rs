//! One stream of a connection: `docs/protocols/smux.md` sections 5 and 7.

use super::frame::Update;
use crate::mux::LocalEnd;
use crate::mux::parts::Window;

/// What every peer assumes of a window before the first update, in bytes (section 7).
pub(super) const INITIAL_WINDOW: u32 = 262_144;

/// The wire's own part of a stream.
///
/// The table of section 5.2 is in the methods named after what happens: each says what it does to
/// the state, and what that makes of the stream.
#[derive(Debug, Default)]
pub(super) struct State {
    /// How this side's window stands; version 1 has none.
    pub(super) window: Window,
    /// How the peer's window stands.
    pub(super) credit: Credit,
    /// Bytes that the application has read, modulo 2^32.
    pub(super) read: u32,
    marks: u16,
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
    /// A stream of version 2 as it begins.
    pub(super) const fn new(window: Window) -> Self {
        Self { window, credit: Credit::new(), read: 0, marks: 0 }
    }

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
