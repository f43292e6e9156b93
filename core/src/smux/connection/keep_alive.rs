//! Signs of life, and what waits too long: `docs/protocols/smux.md` section 8.

use core::time::Duration;

use super::{Connection, Control};
use crate::mux::parts::{Every, earliest};
use crate::smux::Config;
use crate::{CloseReason, Instant, TimeoutKind};

/// The clocks of a connection.
#[derive(Clone, Debug)]
pub(super) struct Clocks {
    /// When a sign of life is due.
    nop: Every,
    /// When it is looked whether anything arrived.
    check: Every,
    /// A whole head arrived since the last look.
    heard: bool,
    /// A sign of life waits to be sent.
    pub(super) nop_queued: bool,
    /// Since when a frame has been begun and not whole.
    partial_since: Option<Instant>,
    frame_timeout: Option<Duration>,
}

impl Clocks {
    pub(super) fn new(config: &Config) -> Self {
        let on = |interval| config.keep_alive.then_some(interval);
        Self {
            nop: Every::new(on(config.keep_alive_interval)),
            check: Every::new(on(config.keep_alive_timeout)),
            heard: false,
            nop_queued: false,
            partial_since: None,
            frame_timeout: config.frame_timeout,
        }
    }

    /// Time begins with the first call that tells it.
    pub(super) fn start(&mut self, now: Instant) {
        self.nop.start(now);
        self.check.start(now);
    }

    pub(super) fn stop(&mut self) {
        *self = Self {
            nop: Every::new(None),
            check: Every::new(None),
            partial_since: None,
            ..self.clone()
        };
    }

    /// A whole head arrived.
    pub(super) const fn hear(&mut self) {
        self.heard = true;
        self.partial_since = None;
    }

    /// All that is here was looked at, and a frame is, or is not, in the middle.
    pub(super) fn note_partial(&mut self, now: Instant, partial: bool) {
        self.partial_since = partial.then(|| self.partial_since.unwrap_or(now));
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let partial = self.partial_since.zip(self.frame_timeout).map(|(since, most)| since + most);
        earliest([self.nop.poll_timeout(), self.check.poll_timeout(), partial])
    }
}

impl Connection {
    /// Acts on the clocks that `now` has reached.
    pub(super) fn handle_clocks(&mut self, now: Instant) {
        if self.life.closed().is_some() {
            return;
        }
        if self.clocks.nop.fires(now) && !self.clocks.nop_queued && self.mute.is_none() {
            self.clocks.nop_queued = true;
            self.lanes.push_control(Control::Nop);
        }
        // While nothing is read for want of room the peer is not to blame.
        let blameless = self.is_bucket_empty();
        let dead = self.clocks.check.fires(now)
            && !core::mem::replace(&mut self.clocks.heard, false)
            && !blameless;
        let partial = self.clocks.partial_since.zip(self.clocks.frame_timeout);
        let late = partial.is_some_and(|(since, most)| since + most <= now) && !blameless;
        if dead || late {
            return self.end(CloseReason::Timeout(TimeoutKind::KeepAlive));
        }
        let waits = self.lanes.has_output(&self.streams);
        self.life.queued(now, || waits);
    }
}
