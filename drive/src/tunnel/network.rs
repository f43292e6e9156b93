//! What the agent's end of a tunnel needs of a runtime beyond tasks and timers.

use std::future::Future;
use std::io;

use crate::Runtime;

/// A runtime that can connect to a host and port. Implemented once by each binding.
pub trait Network: Runtime {
    /// A connected socket.
    type Socket: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static;

    /// Connects to the first of the host's addresses that answers; without delay for small writes.
    fn connect(host: &str, port: u16) -> impl Future<Output = io::Result<Self::Socket>> + Send;
}
