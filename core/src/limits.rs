//! The limits that keep a hostile peer cheap, written once for every wire.

use core::time::Duration;

use crate::Instant;

/// Every limit of a machine, with the same names on every wire.
///
/// Plain data: change what you need, take the rest from `Default`. A wire uses the limits that
/// apply to it. Sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest frame taken in; refused from its head. 16 MiB.
    pub frame: usize,
    /// The most memory one decoded frame may take, bookkeeping included. 64 MiB.
    pub frame_memory: usize,
    /// The deepest nesting of a frame. 32.
    pub depth: usize,
    /// The most elements directly in one list, or pairs directly in one map, skipped ones included;
    /// what stands inside an element counts for its own list. 131,072.
    pub elements: usize,
    /// Unread input, or unsent output, of one stream. 1 MiB.
    pub stream_queue: usize,
    /// Unread input, or unsent output, of a whole session. 8 MiB.
    pub session_queue: usize,
    /// Extra streams of one command. 64.
    pub extra_streams: usize,
    /// The highest stream number taken. 255.
    pub highest_stream: u32,
    /// Requests in flight. 128.
    pub in_flight: usize,
    /// Files that one session has open at an agent. 1,024.
    pub handles: usize,
    /// The most bytes that an agent reads from a file for one answer; more is a short read. 1 MiB.
    pub read_size: usize,
    /// Events that wait for the user before reading stops. 64.
    pub events: usize,
    /// Control frames that wait to be sent: replies provoked by the peer before reading stops, and
    /// signals of the user before they are refused. 64.
    pub replies: usize,
    /// The longest text of an exit or of a failed query, sent or passed on; the rest is cut. 8 KiB.
    pub exit_text: usize,
    /// The longest log record passed on; the rest is cut. 8 KiB.
    pub log_record: usize,
    /// Log records passed on at once, before `log_rate` holds. 1,000.
    pub log_burst: u32,
    /// Log records passed on a second; the rest is dropped and counted. 100.
    pub log_rate: u32,
    /// Environment patterns in a configuration, and the length of one. 1,024 each.
    pub patterns: usize,
    /// Memory of a multiplexed connection: queues, windows in use, bookkeeping. 64 MiB.
    pub connection_memory: usize,
    /// Streams that the peer has open at once. 1,024.
    pub streams: usize,
    /// Streams of the peer that wait for accept. 256.
    pub backlog: usize,
    /// Own streams that wait for the peer's acceptance, on a wire that tells it. 256.
    pub opens_waiting: usize,
    /// Frames that cost a peer nothing (refused opens, resets of young streams, pings, frames
    /// without effect) taken at once, before `useless_rate` holds. 1,000.
    pub useless_burst: u32,
    /// Such frames taken a second; more ends the connection. 100.
    pub useless_rate: u32,
    /// The largest receive window that a stream grows to. 16 MiB.
    pub window: usize,
    /// Unsent payload of a whole multiplexed connection. 256 KiB.
    pub send_queue: usize,
    /// Time for an orderly close to send what is queued. 5 s.
    pub close_drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame: 16 << 20,
            frame_memory: 64 << 20,
            depth: 32,
            elements: 131_072,
            stream_queue: 1 << 20,
            session_queue: 8 << 20,
            extra_streams: 64,
            highest_stream: 255,
            in_flight: 128,
            handles: 1_024,
            read_size: 1 << 20,
            events: 64,
            replies: 64,
            exit_text: 8 << 10,
            log_record: 8 << 10,
            log_burst: 1_000,
            log_rate: 100,
            patterns: 1_024,
            connection_memory: 64 << 20,
            streams: 1_024,
            backlog: 256,
            opens_waiting: 256,
            useless_burst: 1_000,
            useless_rate: 100,
            window: 16 << 20,
            send_queue: 256 << 10,
            close_drain: Duration::from_secs(5),
        }
    }
}

/// Bytes counted against a limit.
///
/// A plain counter: whoever holds bytes charges them, whoever lets go releases them, and whoever
/// takes in more asks [`is_full`](Self::is_full) first.
#[derive(Clone, Debug)]
pub struct Budget {
    used: usize,
    limit: usize,
}

impl Budget {
    /// An empty budget of `limit` bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { used: 0, limit }
    }

    /// Counts `bytes` more, even beyond the limit: the caller has them already.
    pub const fn charge(&mut self, bytes: usize) {
        self.used = self.used.saturating_add(bytes);
    }

    /// Counts `bytes` less.
    pub const fn release(&mut self, bytes: usize) {
        self.used = self.used.saturating_sub(bytes);
    }

    /// Bytes counted at the moment.
    #[must_use]
    pub const fn used(&self) -> usize {
        self.used
    }

    /// Bytes left before the limit.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.limit.saturating_sub(self.used)
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.used >= self.limit
    }
}

/// A token bucket: so many at once, then so many a second.
#[derive(Clone, Debug)]
pub struct Meter {
    burst: u32,
    per_second: u32,
    tokens: u32,
    /// When the last whole token was put in; `None` before the first event.
    filled: Option<Instant>,
}

impl Meter {
    /// A full bucket of `burst` tokens, refilled with `per_second`.
    #[must_use]
    pub const fn new(burst: u32, per_second: u32) -> Self {
        Self { burst, per_second, tokens: burst, filled: None }
    }

    /// Takes a token for something that happens now; false when the bucket is empty.
    pub fn take(&mut self, now: Instant) -> bool {
        let filled = *self.filled.get_or_insert(now);
        let waited = now.saturating_since(filled);
        let fresh = waited.as_nanos().saturating_mul(u128::from(self.per_second)) / 1_000_000_000;
        let fresh = u32::try_from(fresh).unwrap_or(u32::MAX);
        if fresh > 0 {
            self.tokens = self.tokens.saturating_add(fresh).min(self.burst);
            // Keep the part of a token that is not whole yet.
            let whole = u64::from(fresh).saturating_mul(1_000_000_000) / u64::from(self.per_second);
            self.filled = Some(filled + Duration::from_nanos(whole));
        }
        let granted = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meter_grants_its_burst_and_then_its_rate() {
        let mut meter = Meter::new(3, 10);
        let start = Instant::from_millis(5);
        assert!((0..3).all(|_| meter.take(start)));
        assert!(!meter.take(start));
        assert!(!meter.take(Instant::from_millis(104)));
        assert!(meter.take(Instant::from_millis(105)));
        assert!(!meter.take(Instant::from_millis(105)));
        assert!((0..3).all(|_| meter.take(Instant::from_millis(60_000))));
        assert!(!meter.take(Instant::from_millis(60_000)));
    }

    #[test]
    fn a_meter_survives_a_clock_that_goes_back() {
        let mut meter = Meter::new(1, 1);
        assert!(meter.take(Instant::from_millis(10_000)));
        assert!(!meter.take(Instant::ORIGIN));
        assert!(meter.take(Instant::from_nanos(u64::MAX)));
    }
}
