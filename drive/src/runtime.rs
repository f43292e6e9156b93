//! What a binding brings of its runtime.

use std::future::Future;
use std::task::{Context, Poll};

#[cfg(unix)]
use crate::Readiness;
use crate::{Clock, File, Sleep, StreamReader, StreamWriter};

/// A runtime, as far as the handles here need one. Implemented once by each binding.
pub trait Runtime: Sized + 'static {
    /// Its timer.
    type Sleep: Sleep + Default + 'static;
    /// Its readiness of descriptors.
    #[cfg(unix)]
    type Ready: Readiness + 'static;
    /// An output of a command, with the runtime's own reading trait.
    type Reader: From<StreamReader>;
    /// An input of a command, with the runtime's own writing trait.
    type Writer: From<StreamWriter>;
    /// An extra descriptor of a command, with both.
    type Duplex: From<(StreamReader, StreamWriter)>;
    /// An open file, with the runtime's own reading, writing and seeking traits.
    type File: From<File>;

    /// A stream of a multiplexed connection, with both.
    type Stream: From<crate::mux::Stream>;

    /// The clock its timers run on, started now.
    fn clock() -> Clock;

    /// Polls what may be ready again and again, within what the runtime lets one task do before
    /// others have their turn: when that is used up, nothing is polled, the task is woken and the
    /// answer is `Pending`. Without such a bound, which is the default, it polls and no more.
    fn poll_within<T>(
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        poll(cx)
    }

    /// Runs a future to its end beside everything else.
    fn spawn(future: impl Future<Output = ()> + Send + 'static);
}
