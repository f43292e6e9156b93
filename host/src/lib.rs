//! What an agent does to the machine it runs on, and what a local side does to its own: processes,
//! descriptors, files, PATH, environment.
//!
//! Everything here blocks, knows no runtime and moves no bytes: it hands out descriptors that a
//! reactor can use, and calls back where something takes its time. Processes, descriptors and files
//! are Unix only; [`envfilter`], [`path`] and the names of signals are for every system.
//!
//! - [`process`] starts an agent's command and watches over it.
//! - [`pty`] starts one on a terminal of its own.
//! - [`fd`] makes a process's own standard streams fit for a reactor.
//! - [`files`] performs file operations, below a root if that is wanted.
//! - [`path`] lists the programs of a machine.
//! - [`envfilter`] decides which environment passes.
#![deny(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod envfilter;
mod errno;
#[cfg(unix)]
pub mod fd;
#[cfg(unix)]
pub mod files;
pub mod path;
#[cfg(unix)]
pub mod process;
#[cfg(unix)]
pub mod pty;
mod signals;
mod workers;
// The one place for unsafe code: a child must be prepared between fork and exec.
#[cfg(unix)]
#[allow(unsafe_code)]
mod sys;

pub use errno::{errno_text, error_text};
pub use signals::{signal_name, signal_number};
pub use workers::Workers;

/// Whether this process ignores a signal: asked early, what it was started to ignore (`nohup`).
///
/// False where the system does not tell.
#[cfg(unix)]
#[must_use]
pub fn ignores_signal(number: i32) -> bool {
    sys::is_ignored(number) == Some(true)
}
