//! Many streams over one transport, whatever the wire: a [`Connection`] and its [`Stream`]s.
//!
//! A connection is a machine of core (a [`Mux`](trunkline_core::mux::Mux)), a transport ([`Io`](crate::Io))
//! and a driver, a task that moves bytes and time between the two. Handles know neither machine nor
//! transport: another wire is another machine in the constructor, and nothing else.
//!
//! # The rules it keeps
//!
//! - The state's lock is held for a few calls into the machine, never across a system call, a
//!   wake-up or an await.
//! - The transport stands behind a token that is only ever tried. A stream's own task
//!   writes 4 KiB and more through at once when it gets it; what it leaves behind is seen by whoever
//!   holds it. Smaller writes leave together, once per turn of the driver; the first of a task that
//!   a turn woke alone goes through as well.
//! - The transport is polled with wakers of the connection's own, so that a future that is dropped
//!   never stalls it.
//! - The driver writes before it reads, reads up to 256 KiB a turn and no more while the machine
//!   wants none, and wakes each task at most once per turn.
//! - Nothing walks the streams, and no message costs an allocation.

mod buffers;
mod connection;
mod driver;
mod eager;
mod ends;
mod error;
mod handle;
mod handoff;
mod line;
mod link;
mod pieces;
mod slots;
mod state;
mod stream;
mod wakes;

pub use connection::{Connection, Incoming};
pub use error::MuxError;
pub use stream::{ReadHalf, Stream, WriteHalf};
