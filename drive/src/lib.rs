//! Drives a sans-IO machine over any transport: wakers, lock and poll loop, without a runtime.
//!
//! A binding brings what is the runtime's own: a transport ([`Io`]), a timer ([`Sleep`]), readiness
//! of descriptors ([`Readiness`]) and tasks. Everything else that an async user of the machines
//! needs stands here, once: [`exec`] gives the handles of a command, [`Session`] and its streams, and
//! the driver that moves bytes and time; `Agent` and `Exec` add the process that leads to an agent;
//! `Serve` is the agent's side.
//!
//! The rules it keeps: bounded work per poll, write before read, no read while the machine wants
//! none, no lock held across a system call, and one waker, the driver's own, on the transport, so
//! that dropping any other future never stalls it.
#![forbid(unsafe_code)]

mod buffers;
mod carried;
mod chunks;
mod clock;
mod command;
mod deadline;
mod driver;
mod error;
mod files;
mod frames;
mod io;
mod link;
mod listener;
mod message_io;
pub mod mux;
mod outgoing;
mod over;
pub mod pool;
mod pump;
mod random;
mod recording;
mod records;
mod runtime;
mod session;
mod shared;
#[cfg(feature = "websocket")]
pub mod websocket;

#[cfg(unix)]
mod fd;
#[cfg(all(unix, feature = "host"))]
mod thread_io;

#[cfg(all(unix, feature = "host"))]
mod agent;
#[cfg(all(unix, feature = "host"))]
mod child_io;
#[cfg(all(unix, feature = "host"))]
mod connect;
#[cfg(all(unix, feature = "host"))]
mod serve_files;
#[cfg(all(unix, feature = "host"))]
mod serve_options;
#[cfg(all(unix, feature = "host"))]
mod told;
#[cfg(all(unix, feature = "host"))]
mod transfer;
#[cfg(feature = "tunnel")]
pub mod tunnel;
#[cfg(all(unix, feature = "host"))]
mod via;
#[cfg(not(all(unix, feature = "host")))]
#[path = "no_via.rs"]
mod via;

pub use carried::Carried;
pub use clock::{Clock, Sleep};
pub use command::{Exec, Output};
pub use error::SessionError;
pub use files::{File, FileError, FileFault, Files, FlagNumbers, OpenOptions, ReadDir};
pub use io::{Duplex, Io};
pub use message_io::MessageIo;
pub use over::{exec_over, files_over, paths_over};
pub use pump::{pump_in, pump_out};
pub use recording::{Recording, RecordingOptions};
pub use records::{ReadError, Records};
pub use runtime::Runtime;
pub use session::{ExecOptions, Session, StreamReader, StreamWriter, exec, paths};

#[cfg(unix)]
pub use fd::{FdIo, Readiness};

#[cfg(all(unix, feature = "host"))]
pub use agent::Serve;
#[cfg(all(unix, feature = "host"))]
pub use connect::Agent;
#[cfg(all(unix, feature = "host"))]
pub use serve_options::{Commands, ServeOptions};
#[cfg(all(unix, feature = "host"))]
pub use transfer::{
    TransferError, TransferEvent, TransferOptions, TransferProgress, TransferSummary,
};
#[cfg(all(unix, feature = "host"))]
pub use trunkline_host::files::{BadNames, FilePolicy};
#[cfg(all(unix, feature = "host"))]
pub use via::{Launched, Pipes, launch, shell};
