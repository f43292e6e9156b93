//! Settings for the agent tunnel: `docs/protocols/agent-tunnel.md` section 3.

use core::time::Duration;

use super::Config;
use crate::Limits;

/// The largest window that a stream inside a WebSocket grows to: a peer may send all of it as one
/// message.
const WINDOW: usize = 4 << 20;

impl Config {
    /// What an agent tunnel needs: the settings of the original from v0.27.3 on, and what
    /// Trunkline does better.
    ///
    /// There are no keep-alives, because the WebSocket around it has pings; windows start at
    /// 256 KiB and grow to 4 MiB. Speak with this to peers of any version. Terminal streams of the
    /// original need [`frame_marks`](Self::frame_marks) besides.
    #[must_use]
    pub fn agent_tunnel() -> Self {
        let base = Self::default();
        Self {
            limits: Limits { window: WINDOW, ..base.limits },
            keep_alive: None,
            write_timeout: Some(Duration::from_secs(10)),
            ..base
        }
    }

    /// The original from v0.27.3 on, in all settings.
    #[must_use]
    pub fn agent_tunnel_reference() -> Self {
        Self { keep_alive: None, ..Self::reference() }
    }

    /// The settings of the original's v0.27.1, which sends yamux pings, with what Trunkline does
    /// better.
    #[must_use]
    pub fn agent_tunnel_v0_27_1() -> Self {
        Self { keep_alive: Some(Duration::from_secs(20)), ..Self::agent_tunnel() }
    }

    /// The settings of the original's v0.27.2, whose windows are 4 MiB from the start, with what
    /// Trunkline does better.
    #[must_use]
    pub fn agent_tunnel_v0_27_2() -> Self {
        Self { window: WINDOW as u32, ..Self::agent_tunnel() }
    }
}
