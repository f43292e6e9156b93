//! The files of an agent.

use futures_io::{AsyncRead, AsyncWrite};
use trunkline_core::agentproto::Config;

use crate::exec::Smol;
use crate::io::TransportIo;

/// The files of an agent: one session, which any number of tasks may use at the same time.
///
/// See [`trunkline_drive::Files`] for its methods.
pub type Files = trunkline_drive::Files<Smol>;

/// Uses an agent's files over a transport of one's own. Call it from within the runtime.
///
/// Nothing is sent before the first request, so whether an agent is there shows with that.
pub fn files_over<T>(transport: T, config: Config) -> Files
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    trunkline_drive::files_over(TransportIo::new(transport), config)
}
