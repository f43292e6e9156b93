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

    /// Has the socket's peer see a break instead of an end once the socket is dropped: a reset, where
    /// the transport has one.
    fn break_off(socket: &Self::Socket);
}

/// Has a TCP socket send a reset instead of an end when it is closed; what it still had to send is
/// lost then. Failures are ignored: such a socket is over anyhow.
#[cfg(unix)]
pub fn reset_when_closed(socket: impl std::os::fd::AsFd) {
    let _ = rustix::net::sockopt::set_socket_linger(socket, Some(std::time::Duration::ZERO));
}
