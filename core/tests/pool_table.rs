//! Each row of the pool's tables, `docs/pool.md`, under virtual time.

mod pool_common;

use pool_common::{Bed, ms, secs};
use trunkline_core::pool::{Action, PoolConfig, PoolPolicy, Refusal, Warmth};

#[test]
fn the_defaults_are_the_original_s() {
    let config = PoolConfig::default();
    assert_eq!((config.max_size, config.min_size), (10, 1));
    assert_eq!(config.max_idle_time, Some(secs(300)));
    assert_eq!(config.health_check_interval, Some(secs(30)));
    assert_eq!(config.connect_timeout, Some(secs(10)));
    assert_eq!(config.policy, PoolPolicy::Shared);
}

#[test]
fn max_size_0_fails_every_get() {
    let mut bed = Bed::new(|config| config.max_size = 0);
    assert_eq!(bed.refused(), Refusal::Exhausted);
    assert_eq!(bed.pool.warm_up(bed.now), Warmth::Warm);
    assert_eq!(bed.actions(), []);
}

#[test]
fn min_size_is_what_a_warm_up_makes_and_an_idle_clean_up_leaves() {
    let mut bed = Bed::new(|config| config.min_size = 3);
    let ticket = bed.warm_up();
    let keys = bed.dials();
    assert_eq!(keys.len(), 3);
    keys.iter().for_each(|key| bed.dialled(*key));
    assert_eq!(bed.actions(), [Action::Warm(ticket)]);
    bed.pass(secs(10_000));
    assert_eq!((bed.actions(), bed.pool.len()), (vec![], 3));
}

#[test]
fn max_idle_time_runs_the_clean_up_every_half_of_it() {
    let (mut bed, keys) = Bed::with(2, |config| {
        config.max_idle_time = Some(secs(100));
        config.health_check_interval = None;
    });
    assert_eq!(bed.pool.poll_timeout(), Some(bed.now + secs(50)));
    // Unused for exactly that long is not yet longer.
    bed.pass(secs(100));
    assert_eq!(bed.actions(), []);
    bed.pass(secs(50));
    assert_eq!(bed.actions(), [Action::Close(keys[0])]);
}

#[test]
fn max_idle_time_off_cleans_nothing_up() {
    for off in [None, Some(secs(0))] {
        let (mut bed, _) = Bed::with(2, |config| config.max_idle_time = off);
        bed.pass(secs(1_000_000));
        assert_eq!((bed.actions(), bed.pool.len()), (vec![], 2));
    }
}

#[test]
fn health_check_interval_off_checks_nothing() {
    let (mut bed, keys) = Bed::with(1, |config| config.health_check_interval = None);
    bed.ended(keys[0]);
    bed.pass(secs(10_000));
    assert_eq!(bed.stats().health_check_failures, 0);
}

#[test]
fn connect_timeout_gives_a_dial_up() {
    let mut bed = Bed::new(|_| ());
    let ticket = bed.wait();
    let key = bed.dial();
    bed.pass(ms(9_999));
    assert_eq!(bed.actions(), []);
    bed.pass(ms(1));
    let refused = Action::Refuse(ticket, Refusal::DialTimedOut);
    assert_eq!(bed.actions(), [Action::GiveUp(key), refused]);
    assert_eq!(bed.stats().failed_connections, 1);
}

#[test]
fn connect_timeout_off_waits_for_ever() {
    let mut bed = Bed::new(|config| config.connect_timeout = None);
    let ticket = bed.wait();
    let key = bed.dial();
    bed.pass(secs(1_000_000));
    assert_eq!(bed.actions(), []);
    bed.dialled(key);
    assert_eq!(bed.actions(), [Action::Grant(ticket, key)]);
}

#[test]
fn get_gives_the_first_in_creation_order_that_lives() {
    let (mut bed, keys) = Bed::with(3, |_| ());
    for _ in 0..100 {
        assert_eq!(bed.ready(), keys[0]);
        bed.opened(keys[0], 1);
    }
    bed.ended(keys[0]);
    assert_eq!(bed.ready(), keys[1]);
    bed.ended(keys[1]);
    assert_eq!(bed.ready(), keys[2]);
    bed.ended(keys[2]);
    let ticket = bed.wait();
    let key = bed.dial();
    bed.dialled(key);
    assert_eq!(bed.actions(), [Action::Grant(ticket, key)]);
}

#[test]
fn get_alone_never_makes_a_second_one() {
    let mut bed = Bed::new(|_| ());
    let _ = bed.wait();
    let key = bed.dial();
    bed.dialled(key);
    bed.actions();
    for _ in 0..1_000 {
        assert_eq!(bed.ready(), key);
    }
    assert_eq!((bed.actions(), bed.pool.len()), (vec![], 1));
}

#[test]
fn least_streams_grows_when_all_have_that_many() {
    let mut bed = Bed::new(|config| {
        config.max_size = 2;
        config.policy = PoolPolicy::LeastStreams { grow_at: 3 };
    });
    let ticket = bed.wait();
    let first = bed.dial();
    bed.dialled(first);
    assert_eq!(bed.actions(), [Action::Grant(ticket, first)]);
    bed.opened(first, 1);
    for _ in 0..2 {
        assert_eq!(bed.ready(), first);
        bed.opened(first, 1);
    }
    let ticket = bed.wait();
    let second = bed.dial();
    bed.dialled(second);
    assert_eq!(bed.actions(), [Action::Grant(ticket, second)]);
    bed.opened(second, 1);
    bed.pool.stream_ended(bed.now, first);
    bed.pool.stream_ended(bed.now, first);
    bed.pool.stream_ended(bed.now, first);
    assert_eq!(bed.ready(), first);
}

#[test]
fn least_streams_at_capacity_shares_the_one_with_the_fewest() {
    let (mut bed, keys) = full(2, 2);
    bed.pool.streams(bed.now, keys[0], 9);
    bed.pool.streams(bed.now, keys[1], 8);
    assert_eq!(bed.ready(), keys[1]);
    assert_eq!(bed.actions(), []);
}

#[test]
fn least_streams_dials_once_for_as_many_callers_as_fit() {
    let mut bed = Bed::new(|config| config.policy = PoolPolicy::LeastStreams { grow_at: 4 });
    let tickets: Vec<_> = (0..5).map(|_| bed.wait()).collect();
    let keys = bed.dials();
    assert_eq!(keys.len(), 2);
    bed.dialled(keys[0]);
    let granted = |ticket: usize, key: usize| Action::Grant(tickets[ticket], keys[key]);
    assert_eq!(bed.actions(), (0..4).map(|ticket| granted(ticket, 0)).collect::<Vec<_>>());
    bed.dialled(keys[1]);
    assert_eq!(bed.actions(), [granted(4, 1)]);
}

#[test]
fn least_streams_falls_back_to_what_there_is_when_growing_fails() {
    let (mut bed, keys) = full(1, 2);
    let ticket = bed.wait();
    let dial = bed.dial();
    bed.failed(dial);
    assert_eq!(bed.actions(), [Action::Grant(ticket, keys[0])]);
    // And during the pause nobody waits who need not.
    assert_eq!(bed.ready(), keys[0]);
}

/// A pool of so many connections, full of streams, that could have one more.
fn full(count: usize, grow_at: usize) -> (Bed, Vec<trunkline_core::pool::Key>) {
    let mut bed = Bed::new(|config| {
        config.max_size = 2;
        config.policy = PoolPolicy::LeastStreams { grow_at };
    });
    let mut keys = Vec::new();
    for _ in 0..count {
        let _ = bed.wait();
        keys.push(bed.dial());
        bed.dialled(keys[keys.len() - 1]);
        bed.actions();
        bed.opened(keys[keys.len() - 1], grow_at);
    }
    (bed, keys)
}

#[test]
fn dialling_at_capacity_takes_ended_ones_out_first() {
    let (mut bed, keys) = Bed::with(2, |config| config.max_size = 2);
    bed.ended(keys[0]);
    assert_eq!(bed.ready(), keys[1]);
    bed.ended(keys[1]);
    let _ = bed.wait();
    let key = bed.dial();
    bed.dialled(key);
    assert_eq!(bed.pool.len(), 1);
    // Both made way for it, and a health check finds nothing.
    bed.pass(secs(30));
    assert_eq!(bed.stats().health_check_failures, 0);
}

#[test]
fn dials_under_way_count_towards_max_size_and_the_rest_wait() {
    let mut bed = Bed::new(|config| config.max_size = 2);
    let tickets: Vec<_> = (0..6).map(|_| bed.wait()).collect();
    let keys = bed.dials();
    assert_eq!(keys.len(), 2);
    bed.dialled(keys[1]);
    let all: Vec<_> = tickets.iter().map(|ticket| Action::Grant(*ticket, keys[1])).collect();
    assert_eq!(bed.actions(), all);
    bed.dialled(keys[0]);
    assert_eq!(bed.actions(), []);
    assert_eq!((bed.stats().total_connections, bed.pool.len()), (2, 2));
}

#[test]
fn put_only_refreshes_the_last_use() {
    let (mut bed, keys) = Bed::with(2, |config| config.max_idle_time = Some(secs(100)));
    for _ in 0..20 {
        bed.pass(secs(30));
        bed.pool.put(bed.now, keys[0]);
    }
    // The older one is in use, so the other one went.
    assert_eq!(bed.actions(), [Action::Close(keys[1])]);
    assert_eq!(bed.pool.len(), 1);
}

#[test]
fn put_of_foreign_ended_and_late_ones_is_ignored() {
    let (mut bed, keys) = Bed::with(2, |_| ());
    let (_, foreign) = Bed::with(9, |_| ());
    bed.ended(keys[0]);
    bed.pool.put(bed.now, keys[0]);
    bed.pool.put(bed.now, foreign[8]);
    assert_eq!((bed.actions(), bed.pool.len()), (vec![], 1));
    bed.pool.close();
    bed.actions();
    bed.pool.put(bed.now, keys[1]);
    assert_eq!((bed.actions(), bed.pool.len()), (vec![], 0));
}

#[test]
fn open_tries_once_more_when_the_connection_had_died_in_between() {
    let (mut bed, keys) = Bed::with(2, |_| ());
    assert_eq!(bed.ready(), keys[0]);
    assert!(bed.pool.open_failed(bed.now, keys[0], true, true));
    assert_eq!(bed.pool.len(), 1);
    assert_eq!(bed.ready(), keys[1]);
    assert!(!bed.pool.open_failed(bed.now, keys[1], true, false));
    assert_eq!(bed.pool.len(), 0);
    assert_eq!(bed.stats().total_streams, 0);
}

#[test]
fn open_that_fails_on_a_live_connection_keeps_it() {
    let (mut bed, keys) = Bed::with(1, |_| ());
    assert_eq!(bed.ready(), keys[0]);
    assert!(!bed.pool.open_failed(bed.now, keys[0], false, true));
    assert_eq!(bed.ready(), keys[0]);
}

#[test]
fn warm_up_tops_up_to_min_size() {
    let mut bed = Bed::new(|config| (config.max_size, config.min_size) = (5, 3));
    for _ in 0..2 {
        let _ = bed.wait();
    }
    let ticket = bed.warm_up();
    let keys = bed.dials();
    assert_eq!(keys.len(), 3);
    keys.iter().for_each(|key| bed.dialled(*key));
    assert_eq!(bed.actions().last(), Some(&Action::Warm(ticket)));
    assert_eq!(bed.pool.warm_up(bed.now), Warmth::Warm);
    assert_eq!((bed.actions(), bed.pool.len()), (vec![], 3));
}

#[test]
fn warm_up_ends_with_the_first_error() {
    let mut bed = Bed::new(|config| config.min_size = 3);
    let ticket = bed.warm_up();
    let keys = bed.dials();
    bed.failed(keys[1]);
    assert_eq!(bed.actions(), [Action::Refuse(ticket, Refusal::DialFailed)]);
    // What succeeds all the same is kept.
    bed.dialled(keys[0]);
    bed.dialled(keys[2]);
    assert_eq!((bed.actions(), bed.pool.len()), (vec![], 2));
}

#[test]
fn the_health_check_takes_out_and_counts_what_has_ended_and_does_not_probe() {
    let (mut bed, keys) = Bed::with(3, |_| ());
    bed.ended(keys[0]);
    bed.ended(keys[2]);
    assert_eq!(bed.pool.poll_timeout(), Some(bed.now + secs(30)));
    bed.pass(secs(30));
    assert_eq!(bed.actions(), []);
    assert_eq!(bed.stats().health_check_failures, 2);
    bed.pass(secs(60));
    assert_eq!(bed.stats().health_check_failures, 2);
}

#[test]
fn the_idle_clean_up_goes_in_creation_order_and_spares_those_with_streams() {
    let (mut bed, keys) = Bed::with(5, |config| config.min_size = 2);
    bed.opened(keys[1], 1);
    bed.pass(secs(1_000));
    let closed = [0, 2, 3].map(|index| Action::Close(keys[index]));
    assert_eq!(bed.actions(), closed);
    assert_eq!(bed.pool.len(), 2);
}

#[test]
fn the_idle_clean_up_leaves_ended_ones_out_of_its_count() {
    let (mut bed, keys) = Bed::with(3, |config| {
        (config.min_size, config.health_check_interval) = (2, None);
    });
    bed.ended(keys[2]);
    bed.pass(secs(1_000));
    assert_eq!((bed.actions(), bed.pool.len()), (vec![], 2));
}

#[test]
fn close_closes_all_and_a_second_time_does_nothing() {
    let (mut bed, keys) = Bed::with(3, |_| ());
    bed.ended(keys[1]);
    bed.pool.close();
    assert_eq!(bed.actions(), [Action::Close(keys[0]), Action::Close(keys[2])]);
    bed.pool.close();
    assert_eq!(bed.actions(), []);
    assert_eq!((bed.pool.is_closed(), bed.pool.len()), (true, 0));
    assert_eq!(bed.pool.poll_timeout(), None);
}

#[test]
fn get_after_close_says_that_the_pool_is_closed() {
    let mut bed = Bed::new(|_| ());
    bed.pool.close();
    assert_eq!(bed.refused(), Refusal::Closed);
    assert_eq!(bed.pool.warm_up(bed.now), Warmth::Refused(Refusal::Closed));
    assert_eq!(Refusal::Closed.to_string(), "the pool is closed");
}

#[test]
fn close_refuses_everybody_who_waits() {
    let mut bed = Bed::new(|config| config.min_size = 2);
    let (get, warm_up) = (bed.wait(), bed.warm_up());
    let dials = bed.dials();
    bed.pool.close();
    let told = bed.actions();
    let closed = |ticket| Action::Refuse(ticket, Refusal::Closed);
    let given_up = |key: usize| Action::GiveUp(dials[key]);
    assert_eq!(told, [given_up(0), given_up(1), closed(get), closed(warm_up)]);
}

#[test]
fn len_counts_live_ones_only() {
    let (mut bed, keys) = Bed::with(3, |_| ());
    bed.ended(keys[0]);
    assert_eq!((bed.pool.len(), bed.pool.is_empty()), (2, false));
    bed.ended(keys[1]);
    bed.ended(keys[2]);
    assert_eq!((bed.pool.len(), bed.pool.is_empty()), (0, true));
}

#[test]
fn statistics_count_what_they_say() {
    let (mut bed, keys) = Bed::with(3, |_| ());
    bed.opened(keys[0], 4);
    bed.pool.stream_ended(bed.now, keys[0]);
    // Not through the pool.
    bed.pool.streams(bed.now, keys[1], 7);
    bed.ended(keys[2]);
    let stats = bed.stats();
    assert_eq!((stats.total_connections, stats.active_connections), (3, 2));
    assert_eq!((stats.idle_connections, stats.total_streams), (0, 4));
    assert_eq!((stats.failed_connections, stats.health_check_failures), (0, 0));
    bed.pool.streams(bed.now, keys[1], 0);
    assert_eq!(bed.stats().idle_connections, 1);
    bed.ended(keys[0]);
    bed.ended(keys[1]);
    let _ = bed.wait();
    assert_eq!((bed.stats().dialling, bed.stats().waiting), (1, 1));
    let dial = bed.dial();
    bed.failed(dial);
    let stats = bed.stats();
    assert_eq!((stats.failed_connections, stats.dialling, stats.waiting), (1, 0, 0));
    assert_eq!((stats.active_connections, stats.idle_connections), (0, 0));
}
