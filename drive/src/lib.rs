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

mod chunks;
mod clock;
mod driver;
mod error;
mod io;
mod link;
mod outgoing;
mod pump;
mod session;
mod shared;

#[cfg(unix)]
mod fd;
#[cfg(unix)]
mod runtime;
#[cfg(unix)]
mod thread_io;

pub use clock::{Clock, Sleep};
pub use error::SessionError;
pub use io::{Duplex, Io};
pub use pump::{pump_in, pump_out};
pub use session::{ExecOptions, Session, StreamReader, StreamWriter, exec, paths};

#[cfg(unix)]
pub use fd::{FdIo, Readiness};
#[cfg(unix)]
pub use runtime::Runtime;

#[cfg(all(unix, feature = "host"))]
mod agent;
#[cfg(all(unix, feature = "host"))]
mod child_io;
#[cfg(all(unix, feature = "host"))]
mod command;
#[cfg(all(unix, feature = "host"))]
mod connect;
#[cfg(all(unix, feature = "host"))]
mod via;

#[cfg(all(unix, feature = "host"))]
pub use agent::{Serve, ServeOptions};
#[cfg(all(unix, feature = "host"))]
pub use command::{Exec, Output};
#[cfg(all(unix, feature = "host"))]
pub use connect::{Agent, exec_over, paths_over};
#[cfg(all(unix, feature = "host"))]
pub use via::{Launched, launch, shell};
