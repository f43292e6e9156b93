//! What a pool counts.

/// The numbers of a pool, as `docs/pool.md`, lists them, and two of ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Connections that were dialled and kept, ever.
    pub total_connections: u64,
    /// Connections that live at the moment.
    pub active_connections: usize,
    /// Those of them without streams.
    pub idle_connections: usize,
    /// Streams that were opened through the pool, ever; not those that callers open on a connection
    /// they were given.
    pub total_streams: u64,
    /// Dials that failed or took too long, ever.
    pub failed_connections: u64,
    /// Connections that a health check found ended, ever.
    pub health_check_failures: u64,
    /// Dials under way at the moment.
    pub dialling: usize,
    /// Callers that wait for a connection at the moment.
    pub waiting: usize,
}
