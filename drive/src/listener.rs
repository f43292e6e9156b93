//! What a driver does for the recording of its session.

use std::fmt;

use trunkline_core::Machine as _;
use trunkline_core::agentproto::{ExecRequest, Local, Tapped};

use crate::{Clock, Recording};

/// Somebody who is shown what passes through a machine. The driver calls it in every turn.
pub(crate) trait Listener<M>: Send + fmt::Debug {
    /// Under the lock: takes what the machine has kept; says whether there was any.
    fn take(&mut self, machine: &mut M) -> bool;
    /// Outside of the lock: does with it what takes time.
    fn tell(&mut self);
    /// Nothing more will happen for a while.
    fn rest(&mut self);
}

/// One session's part in a recording. When it goes, the command has ended.
#[derive(Debug)]
pub(crate) struct Recorded {
    recording: Recording,
    clock: Clock,
    seq: u32,
    taken: Vec<Tapped>,
    unflushed: bool,
    /// The recording takes nothing any more.
    failed: bool,
    exit: Option<i64>,
    over: bool,
    told_over: bool,
}

impl Recorded {
    /// Begins to record a session that has not sent anything yet.
    pub(crate) fn begin(
        recording: Recording,
        exec: &ExecRequest,
        machine: &mut Local,
        clock: Clock,
    ) -> Self {
        let seq = recording.begin(exec);
        machine.tap();
        Self {
            recording,
            clock,
            seq,
            taken: Vec::new(),
            unflushed: false,
            failed: false,
            exit: None,
            over: false,
            told_over: false,
        }
    }
}

impl Listener<Local> for Recorded {
    fn take(&mut self, machine: &mut Local) -> bool {
        if self.failed {
            machine.untap();
        }
        self.taken.extend(std::iter::from_fn(|| machine.poll_tapped()));
        self.exit = machine.exit_code();
        self.over = machine.closed().is_some() && !machine.has_unsent();
        !self.taken.is_empty()
    }

    fn tell(&mut self) {
        if !self.taken.is_empty() {
            let to_std = |at| self.clock.to_std(at);
            self.failed = !self.recording.frames(self.seq, self.taken.drain(..), to_std);
            self.unflushed = true;
        }
        if self.over && !std::mem::replace(&mut self.told_over, true) {
            self.recording.end(self.seq, self.exit);
            self.unflushed = false;
        }
    }

    fn rest(&mut self) {
        if std::mem::take(&mut self.unflushed) {
            self.recording.flush();
        }
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        if !self.told_over {
            self.recording.end(self.seq, self.exit);
        }
    }
}
