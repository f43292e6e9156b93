//! What is looked at again after a while, when a command or its agent does not do as it was asked.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use trunkline_tokio::Exec;

use crate::report::{Failure, say};
use crate::signals::{Wish, ends};

/// How often a command is looked at that may write to an output that nobody takes any more.
const DEAF_WRITER: Duration = Duration::from_secs(2);

/// So many looks in a row must find it writing: what was on its way says nothing, and over a slow
/// link that can take some seconds.
const LOOKS: u32 = 2;

/// How long a signal may wait to be sent without a word about it.
const STUCK: Duration = Duration::from_secs(1);

/// How long an agent that has said nothing at all is waited for once the user wants an end.
const UNANSWERED: Duration = Duration::from_secs(3);

/// Signals and outputs that may come to nothing.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    deaf: Option<Deaf>,
    stuck: Option<Instant>,
    unanswered: Option<Instant>,
}

/// A command some of whose output nobody takes.
///
/// The wire cannot close an output, and a command that ignores SIGPIPE would write for ever.
#[derive(Debug)]
struct Deaf {
    dropped: u64,
    at: Instant,
    /// The looks in a row that found it writing, and the one before them.
    looks: u32,
}

impl Watch {
    /// An output is taken no more.
    pub(crate) fn output_lost(&mut self, exec: &Exec) {
        self.deaf.get_or_insert_with(|| Deaf {
            dropped: exec.stats().frames_dropped,
            at: Instant::now() + DEAF_WRITER,
            looks: 0,
        });
    }

    /// Does what a signal asks for.
    pub(crate) fn obey(&mut self, exec: &Exec, wish: Wish) -> Result<(), Failure> {
        let signal = match wish {
            Wish::Forward(signal) => signal,
            Wish::GiveUp => {
                exec.abort();
                return Err(Failure::local(
                    "interrupted twice: gave up; the agent hangs the command up",
                ));
            }
        };
        if let Err(error) = exec.signal(signal) {
            tracing::debug!(signal, %error, "a signal was not passed on");
        }
        let now = Instant::now();
        self.stuck.get_or_insert(now + STUCK);
        if ends(signal) && exec.stats().frames_received == 0 {
            self.unanswered.get_or_insert(now + UNANSWERED);
        }
        Ok(())
    }

    /// Ready when it is time to look. Cancel safe.
    pub(crate) async fn due(&self) {
        let deaf = self.deaf.as_ref().map(|deaf| deaf.at);
        match [deaf, self.stuck, self.unanswered].into_iter().flatten().min() {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Looks at what is due.
    pub(crate) fn look(&mut self, exec: &Exec) -> Result<(), Failure> {
        let now = Instant::now();
        let stats = exec.stats();
        if self.unanswered.take_if(|at| *at <= now).is_some() && stats.frames_received == 0 {
            exec.abort();
            return Err(Failure::local("asked to end before the agent had said anything: gave up"));
        }
        if self.stuck.take_if(|at| *at <= now).is_some() && stats.control_queued > 0 {
            say("the signal waits: the agent takes nothing more at the moment, most likely \
                 because the command does not read its input (interrupt twice to give up)");
        }
        if let Some(deaf) = self.deaf.as_mut().filter(|deaf| deaf.at <= now) {
            let writes = stats.frames_dropped > deaf.dropped;
            // The first look only sees how much was on its way.
            deaf.looks = if writes || deaf.looks == 0 { deaf.looks + 1 } else { 1 };
            if deaf.looks > LOOKS {
                exec.abort();
                return Err(Failure::local(
                    "nobody takes the command's output, and it goes on writing: gave up",
                ));
            }
            deaf.dropped = stats.frames_dropped;
            deaf.at = now + DEAF_WRITER;
        }
        Ok(())
    }
}
