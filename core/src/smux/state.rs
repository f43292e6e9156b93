//! One stream of a connection: `docs/protocols/smux.md` sections 5 and 7.

use alloc::boxed::Box;
use alloc::vec::Vec;

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
    flow: Option<Box<Flow>>,
    marks: u16,
}

/// The windows of a stream of version 2, made when data first moves: a stream that is only open, or
/// of version 1, does without.
#[derive(Debug)]
pub(super) struct Flow {
    /// How this side's window stands.
    pub(super) window: Window,
    /// How the peer's window stands.
    pub(super) credit: Credit,
    /// Bytes that the application has read, modulo 2^32.
    pub(super) read: u32,
}

/// What makes flows, and keeps some that are over for the streams that come.
#[derive(Debug)]
pub(super) struct Flows {
    initial: u32,
    // Boxes on purpose: what moves between here and a stream is a pointer.
    #[allow(clippy::vec_box)]
    spares: Vec<Box<Flow>>,
}

impl Flows {
    /// Flows whose own window begins at `initial` bytes.
    pub(super) const fn new(initial: u32) -> Self {
        Self { initial, spares: Vec::new() }
    }

    /// The flow of a stream, made if there is none.
    pub(super) fn of<'a>(&mut self, state: &'a mut State) -> &'a mut Flow {
        state.flow.get_or_insert_with(|| {
            let flow = Flow {
                // Whatever the first window is, the peer assumes another one before it hears of it.
                window: Window::new(self.initial).believed(INITIAL_WINDOW),
                credit: Credit::new(),
                read: 0,
            };
            match self.spares.pop() {
                Some(mut spare) => {
                    *spare = flow;
                    spare
                }
                None => Box::new(flow),
            }
        })
    }

    /// Takes back the flow of a stream that needs it no more.
    pub(super) fn recycle(&mut self, state: &mut State) {
        if self.spares.len() < MOST_SPARES {
            self.spares.extend(state.flow.take());
        }
    }
}

/// Flows kept for the next streams, so that short ones allocate nothing.
const MOST_SPARES: usize = 64;

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
    /// The windows, if data has moved.
    pub(super) fn flow(&self) -> Option<&Flow> {
        self.flow.as_deref()
    }

    /// The windows, if data has moved.
    pub(super) fn flow_mut(&mut self) -> Option<&mut Flow> {
        self.flow.as_deref_mut()
    }

    /// What the peer may send, in version 2.
    pub(super) fn granted(&self) -> u32 {
        self.flow().map_or(INITIAL_WINDOW, |flow| flow.window.granted())
    }

    /// What this side may send, in version 2; see [`Credit::left`].
    pub(super) fn credit(&self) -> Option<usize> {
        self.flow().map_or(Some(INITIAL_WINDOW as usize), |flow| flow.credit.left())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_is_only_open_takes_little() {
        assert!(size_of::<State>() <= 16, "{}", size_of::<State>());
        assert!(size_of::<Flow>() <= 40, "{}", size_of::<Flow>());
    }
}
