//! Pools of connections.

use crate::exec::Tokio;

/// A pool of connections over any wire, by any way to dial.
///
/// See [`trunkline_drive::pool::Pool`] for its methods.
pub type Pool<C> = trunkline_drive::pool::Pool<Tokio, C>;
