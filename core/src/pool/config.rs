//! What a pool is told once.

use core::time::Duration;

/// The shortest time between two sweeps, so that a tiny setting never becomes a busy loop.
const SHORTEST_SWEEP: Duration = Duration::from_millis(1);

/// The settings of a pool, with the names and numbers of `docs/pool.md`.
///
/// Plain data: change what you need, take the rest from `Default`. A time of zero means the same as
/// `None`. How a connection is configured, and which side it is, is the dial function's business.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolConfig {
    /// The most connections, those that are being dialled included. With 0 every request for one
    /// fails. 10.
    pub max_size: usize,
    /// How many connections a warm-up tops up to, and how many the idle clean-up leaves. 1.
    pub min_size: usize,
    /// How long a connection without streams may stay unused; looked at every half of it. `None`
    /// keeps such connections for ever. 5 minutes.
    pub max_idle_time: Option<Duration>,
    /// How often connections that have ended are taken out and counted. It does not probe: the
    /// wire's keep-alive does. `None` leaves them until their place is needed. 30 seconds.
    pub health_check_interval: Option<Duration>,
    /// How long one dial may take. `None` waits as long as the dial function does. 10 seconds.
    pub connect_timeout: Option<Duration>,
    /// The most callers that wait for a connection at the same time. 256.
    pub max_waiting: usize,
    /// Which connection a caller gets, and when another one is made.
    pub policy: PoolPolicy,
    /// The pause behind the first dial that failed; it doubles with each further one in a row. Half
    /// of it is certain, the other half is chance. 100 milliseconds.
    pub first_backoff: Duration,
    /// The longest such pause. 10 seconds.
    pub max_backoff: Duration,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            max_size: 10,
            min_size: 1,
            max_idle_time: Some(Duration::from_secs(300)),
            health_check_interval: Some(Duration::from_secs(30)),
            connect_timeout: Some(Duration::from_secs(10)),
            max_waiting: 256,
            policy: PoolPolicy::Shared,
            first_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(10),
        }
    }
}

impl PoolConfig {
    /// How often the idle clean-up runs.
    pub(super) fn idle_sweep(&self) -> Option<Duration> {
        on(self.max_idle_time).map(|time| (time / 2).max(SHORTEST_SWEEP))
    }

    /// How often ended connections are taken out.
    pub(super) fn health_sweep(&self) -> Option<Duration> {
        on(self.health_check_interval).map(|time| time.max(SHORTEST_SWEEP))
    }

    /// How long one dial may take.
    pub(super) fn dial_limit(&self) -> Option<Duration> {
        on(self.connect_timeout)
    }

    /// How many connections a warm-up ends with.
    pub(super) fn warm_size(&self) -> usize {
        self.min_size.min(self.max_size)
    }

    /// The pause behind so many failures in a row: between half of what the doubling gives and all
    /// of it, as `random` says.
    pub(super) fn backoff(&self, failures: u32, random: u64) -> Duration {
        let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let whole = self.first_backoff.saturating_mul(factor).min(self.max_backoff);
        let half = u64::try_from((whole / 2).as_nanos()).unwrap_or(u64::MAX);
        let chance = u128::from(half) * u128::from(random) / u128::from(u64::MAX);
        whole / 2 + Duration::from_nanos(u64::try_from(chance).unwrap_or(half))
    }
}

fn on(time: Option<Duration>) -> Option<Duration> {
    time.filter(|time| !time.is_zero())
}

/// Which connection a caller gets, and when another one is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolPolicy {
    /// The oldest connection that lives, whatever its load; another one is dialled only when none
    /// does. Connections are shared: there is no check-out. What the original does.
    #[default]
    Shared,
    /// The connection with the fewest streams; another one is dialled when all have at least so
    /// many, and as long as there is room.
    ///
    /// A caller for whom it is dialled waits for it, and gets the connection with the fewest
    /// streams when that fails. 0 counts as 1.
    LeastStreams {
        /// How many streams a connection has when it counts as full.
        grow_at: usize,
    },
}

impl PoolPolicy {
    /// How many waiting callers one dial is meant for.
    pub(super) fn callers_a_dial(self) -> usize {
        match self {
            Self::Shared => 1,
            Self::LeastStreams { grow_at } => grow_at.max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_half_of_each_is_chance() {
        let config = PoolConfig::default();
        let range = |failures| (config.backoff(failures, 0), config.backoff(failures, u64::MAX));
        let ms = Duration::from_millis;
        assert_eq!(range(1), (ms(50), ms(100)));
        assert_eq!(range(2), (ms(100), ms(200)));
        assert_eq!(range(7), (ms(3_200), ms(6_400)));
        for failures in [8, 9, 32, 33, u32::MAX] {
            assert_eq!(range(failures), (ms(5_000), ms(10_000)), "{failures}");
        }
        assert_eq!(config.backoff(1, u64::MAX / 2).as_millis(), 74);
    }

    #[test]
    fn the_longest_pause_there_is_does_not_overflow() {
        let config = PoolConfig {
            first_backoff: Duration::MAX,
            max_backoff: Duration::MAX,
            ..PoolConfig::default()
        };
        assert!(config.backoff(u32::MAX, u64::MAX) >= Duration::from_secs(1 << 30));
    }

    #[test]
    fn a_time_of_zero_is_off() {
        let config = PoolConfig {
            max_idle_time: Some(Duration::ZERO),
            health_check_interval: Some(Duration::ZERO),
            connect_timeout: Some(Duration::ZERO),
            ..PoolConfig::default()
        };
        assert_eq!(
            (config.idle_sweep(), config.health_sweep(), config.dial_limit()),
            (None, None, None)
        );
    }
}
