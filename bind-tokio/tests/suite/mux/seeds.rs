//! Machines without randomness get some before anything else, and keep what they have.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use trunkline_core::mux::{
    Abilities, Finished, Mux, MuxEvent, MuxStats, Opened, Pinged, Received, Reserved, Sent,
    StreamEnd, StreamKey, StreamStats,
};
use trunkline_core::{Direction, Instant, Machine, Segment, smux, wormhole, yamux};

use super::wires::stream;
use crate::cases::wire::wire;
use crate::rt::{self, CloseReason, Side};

/// The seeds that machines were given; a machine that had been used before panics.
type Seeds = Arc<Mutex<Vec<u64>>>;

/// A machine that tells which seed it was given.
struct Spy<M> {
    inner: M,
    seeds: Seeds,
    used: bool,
}

/// Passes calls on; those with `mut` are the machine's use.
macro_rules! passes {
    ($(fn $name:ident(&self $(, $arg:ident: $type:ty)*) $(-> $result:ty)?;)*) => {$(
        fn $name(&self $(, $arg: $type)*) $(-> $result)? {
            self.inner.$name($($arg),*)
        }
    )*};
    ($(fn $name:ident(&mut self $(, $arg:ident: $type:ty)*) $(-> $result:ty)?;)*) => {$(
        fn $name(&mut self $(, $arg: $type)*) $(-> $result)? {
            self.used = true;
            self.inner.$name($($arg),*)
        }
    )*};
}

impl<M: Mux> Machine for Spy<M> {
    type Input = Bytes;
    type Output = Segment;
    type Event = MuxEvent;

    passes! {
        fn handle_input(&mut self, now: Instant, input: Bytes);
        fn handle_eof(&mut self, now: Instant);
        fn handle_failure(&mut self, now: Instant, direction: Direction, os_error: Option<i32>);
        fn handle_timeout(&mut self, now: Instant);
        fn poll_transmit(&mut self, now: Instant) -> Option<Segment>;
        fn poll_event(&mut self) -> Option<MuxEvent>;
    }

    passes! {
        fn wants_input(&self) -> bool;
        fn poll_timeout(&self) -> Option<Instant>;
        fn closed(&self) -> Option<&CloseReason>;
    }
}

impl<M: Mux> Mux for Spy<M> {
    fn seed(&mut self, seed: u64) {
        assert!(!self.used, "too late");
        self.seeds.lock().unwrap().push(seed);
        self.inner.seed(seed);
    }

    passes! {
        fn abilities(&self) -> Abilities;
        fn side(&self) -> Side;
        fn wants_output(&self) -> bool;
        fn read_end(&self, stream: StreamKey) -> Option<StreamEnd>;
        fn write_end(&self, stream: StreamKey) -> Option<StreamEnd>;
        fn stats(&self) -> MuxStats;
        fn stream_stats(&self, stream: StreamKey) -> Option<StreamStats>;
    }

    passes! {
        fn open(&mut self, now: Instant) -> Opened;
        fn accept(&mut self, now: Instant) -> Option<StreamKey>;
        fn read(&mut self, now: Instant, stream: StreamKey, max: usize) -> Received;
        fn drain(&mut self, stream: StreamKey, max: usize) -> Option<Bytes>;
        fn write(&mut self, now: Instant, stream: StreamKey, data: &mut Bytes) -> Sent;
        fn reserve(&mut self, now: Instant, stream: StreamKey, len: usize) -> Option<Reserved>;
        fn finish(&mut self, now: Instant, stream: StreamKey) -> Finished;
        fn reset(&mut self, now: Instant, stream: StreamKey);
        fn forget(&mut self, now: Instant, stream: StreamKey);
        fn watch(&mut self, stream: StreamKey) -> Option<StreamEnd>;
        fn ping(&mut self, now: Instant) -> Pinged;
        fn go_away(&mut self, now: Instant);
        fn close(&mut self, now: Instant);
        fn abort(&mut self, now: Instant);
    }
}

/// Machines of one wire, both ends of several connections: each gets a seed of its own.
async fn each_is_seeded<M: Mux + Send + 'static>(machine: impl Fn(Side) -> M) {
    let seeds = Seeds::default();
    let spy = |side| Spy { inner: machine(side), seeds: Arc::clone(&seeds), used: false };
    for _ in 0..4 {
        let (local, remote, _line) = wire(10_000);
        let client = rt::connection_over(rt::Over(local), spy(Side::Client));
        let server = rt::connection_over(rt::Over(remote), spy(Side::Server));
        drop(stream(&client, &server).await);
    }
    let mut seeds = seeds.lock().unwrap().clone();
    seeds.sort_unstable();
    seeds.dedup();
    assert!(seeds.len() == 8 && !seeds.contains(&0), "{seeds:?}");
}

#[test]
fn every_connection_gets_a_seed_of_its_own() {
    rt::each(async || {
        each_is_seeded(|side| yamux::Connection::new(side, Default::default()).unwrap()).await;
        each_is_seeded(|side| smux::Connection::new(side, Default::default()).unwrap()).await;
        each_is_seeded(|side| wormhole::Connection::new(side, Default::default()).unwrap()).await;
    });
}

/// What a machine is after it was given this seed.
fn seeded(mut machine: impl Mux + Debug, seed: u64) -> String {
    machine.seed(seed);
    format!("{machine:?}")
}

/// `machine` makes one whose user has set this seed.
fn a_set_one_stays<M: Mux + Debug>(machine: impl Fn(u64) -> M) {
    assert_ne!(seeded(machine(0), 1), seeded(machine(0), 2), "it takes none");
    assert_eq!(seeded(machine(7), 1), seeded(machine(7), 2), "it takes another");
    assert_eq!(seeded(machine(7), 1), format!("{:?}", machine(7)));
}

#[test]
fn a_seed_that_the_user_has_set_is_kept() {
    a_set_one_stays(|seed| {
        let mut config = yamux::Config::default();
        config.hash_seed = seed;
        yamux::Connection::new(Side::Client, config).unwrap()
    });
    a_set_one_stays(|seed| {
        let mut config = smux::Config::default();
        config.hash_seed = seed;
        smux::Connection::new(Side::Client, config).unwrap()
    });
    a_set_one_stays(|seed| {
        let mut config = wormhole::Config::default();
        config.hash_seed = seed;
        wormhole::Connection::new(Side::Client, config).unwrap()
    });
}
