//! What a connection knows of one stream: `docs/protocols/yamux.md` section 6.
//!
//! A stream's life is two directions, each of which ends once, and a reset that ends both:
//!
//! | event | marks before | what happens |
//! |---|---|---|
//! | open | | `SYN_DUE`, `COUNTED`, the open timer runs |
//! | the SYN leaves | `SYN_DUE` | - `SYN_DUE` |
//! | the peer's SYN | no stream | a stream in the backlog |
//! | accept | in the backlog | `ACK_DUE` |
//! | the peer's ACK | `COUNTED` | - `COUNTED`, the open timer stops |
//! | finish | no `FIN_DUE`, no `FIN_SENT` | `FIN_DUE`, the open timer stops |
//! | the FIN leaves | `FIN_DUE` | `FIN_SENT`; with `FIN_SEEN` it is over, else the close timer runs |
//! | the peer's FIN | no `FIN_SEEN` | `FIN_SEEN`, - `COUNTED`, timers stop; with `FIN_SENT` it is over |
//! | the peer's FIN | `FIN_SEEN` | a violation |
//! | data | no `FIN_SEEN` | queued for the reader |
//! | data | `FIN_SEEN` | reset: [`Over::Violation`] |
//! | the peer's RST | any | [`Over::ResetByPeer`], it is over |
//! | reset, forget, a timer | any | RST (unless `SYN_DUE`), [`Over`] says why, it is over |
//!
//! "Over" frees the id; what was received stays until the reader has it or lets go.

use core::time::Duration;

use crate::Instant;
use crate::mux::parts::Window;
use crate::mux::{LocalEnd, StreamEnd};

/// The wire's part of a stream. Kept small: an idle stream costs little more than this.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    /// What the peer may send.
    pub(super) window: Window,
    /// What this side may still send; queued bytes are deducted already.
    pub(super) credit: u32,
    /// Credit for the peer that has not been announced.
    pub(super) grant: u32,
    /// When the open or close timer ends.
    pub(super) deadline: Tick,
    /// The credit that a blocked writer waits for (tiny credits gathered).
    pub(super) wanted: u16,
    pub(super) marks: Marks,
    pub(super) over: Over,
}

impl State {
    pub(super) const fn has(&self, mark: Marks) -> bool {
        self.marks.0 & mark.0 != 0
    }

    pub(super) const fn set(&mut self, mark: Marks) {
        self.marks.0 |= mark.0;
    }

    /// Clears a mark, and says whether it was set.
    pub(super) const fn take(&mut self, mark: Marks) -> bool {
        let was = self.has(mark);
        self.marks.0 &= !mark.0;
        was
    }
}

/// Marks of a stream; each is one bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks(u8);

impl Marks {
    /// The peer does not know of the stream yet.
    pub(super) const SYN_DUE: Self = Self(1);
    /// The peer does not know yet that the stream was accepted.
    pub(super) const ACK_DUE: Self = Self(2);
    /// It takes one of the credits for opens.
    pub(super) const COUNTED: Self = Self(4);
    /// Nothing more will be written; the end stands behind what is queued.
    pub(super) const FIN_DUE: Self = Self(8);
    /// The end has left.
    pub(super) const FIN_SENT: Self = Self(16);
    /// The peer's end has come, with everything before it.
    pub(super) const FIN_SEEN: Self = Self(32);
    /// A writer may use a tiny credit, having waited for more.
    pub(super) const TRICKLE: Self = Self(64);
    /// A writer's patience with a tiny credit is counted down.
    pub(super) const PATIENT: Self = Self(128);
    /// Either of the two ends of this side.
    pub(super) const FIN: Self = Self(8 | 16);
}

/// Whether and why both directions ended at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Over {
    #[default]
    Not,
    ResetByPeer,
    Asked,
    TooMuch,
    Violation,
    Timeout,
}

impl Over {
    /// What the user is told.
    pub(super) const fn end(self) -> Option<StreamEnd> {
        Some(match self {
            Self::Not => return None,
            Self::ResetByPeer => StreamEnd::Reset,
            Self::Asked => StreamEnd::Local(LocalEnd::Asked),
            Self::TooMuch => StreamEnd::Local(LocalEnd::TooMuch),
            Self::Violation => StreamEnd::Local(LocalEnd::Violation),
            Self::Timeout => StreamEnd::Local(LocalEnd::Timeout),
        })
    }
}

/// A deadline in four bytes: about milliseconds, good for those within three weeks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tick(u32);

impl Tick {
    const SHIFT: u32 = 20;
    const FARTHEST: Duration = Duration::from_secs(20 * 86_400);

    /// The first tick that is not before `now + time`.
    pub(super) fn after(now: Instant, time: Duration) -> Self {
        let nanos = (now + time.min(Self::FARTHEST)).as_nanos();
        Self(nanos.div_ceil(1 << Self::SHIFT) as u32)
    }

    /// The time it stands for, seen from a time that is not too far away.
    pub(super) fn at(self, now: Instant) -> Instant {
        let base = now.as_nanos() >> Self::SHIFT;
        let ahead = self.0.wrapping_sub(base as u32).cast_signed();
        let ticks = base.saturating_add_signed(i64::from(ahead));
        Instant::from_nanos(ticks.saturating_mul(1 << Self::SHIFT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_stays_small() {
        assert!(size_of::<State>() <= 40, "{}", size_of::<State>());
    }

    #[test]
    fn a_tick_is_never_early_and_hardly_late() {
        for start in [0, 1, 999_999_999, u64::from(u32::MAX) << 20, 1 << 62] {
            let start = Instant::from_nanos(start);
            for time in [0, 1, 75_000, 300_000, 86_400_000] {
                let due = start + Duration::from_millis(time);
                let at = Tick::after(start, Duration::from_millis(time)).at(start);
                assert!(at >= due && at.saturating_since(due) < Duration::from_millis(2));
            }
        }
    }
}
