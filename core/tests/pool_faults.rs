//! The faults of the original's pool, and those that pools have elsewhere: that we have none of them.

mod pool_common;

use pool_common::{Bed, ms, secs};
use trunkline_core::pool::{Action, Got, PoolPolicy, Refusal, Warmth};

#[test]
fn a_burst_of_callers_dials_nothing_that_is_thrown_away() {
    let mut bed = Bed::new(|config| config.max_size = 2);
    for _ in 0..6 {
        let _ = bed.wait();
    }
    let keys = bed.dials();
    keys.iter().for_each(|key| bed.dialled(*key));
    let closed = |action: &Action| matches!(action, Action::Close(_) | Action::Dial(_));
    assert!(!bed.actions().iter().any(closed));
    assert_eq!(bed.pool.len(), keys.len());
}

#[test]
fn a_warm_up_twice_makes_no_more_than_once() {
    let mut bed = Bed::new(|config| (config.max_size, config.min_size) = (5, 3));
    let tickets = [bed.warm_up(), bed.warm_up()];
    let keys = bed.dials();
    assert_eq!(keys.len(), 3);
    keys.iter().for_each(|key| bed.dialled(*key));
    assert_eq!(bed.actions(), tickets.map(Action::Warm));
    assert_eq!(bed.pool.len(), 3);
}

#[test]
fn a_warm_up_of_a_closed_pool_dials_nothing() {
    let mut bed = Bed::new(|_| ());
    bed.pool.close();
    assert_eq!(bed.pool.warm_up(bed.now), Warmth::Refused(Refusal::Closed));
    assert_eq!(bed.actions(), []);
}

#[test]
fn a_warm_up_replaces_what_ended_under_it() {
    let mut bed = Bed::new(|config| config.min_size = 2);
    let ticket = bed.warm_up();
    let keys = bed.dials();
    bed.dialled(keys[0]);
    bed.ended(keys[0]);
    let more = bed.dial();
    bed.dialled(keys[1]);
    assert_eq!(bed.actions(), []);
    bed.dialled(more);
    assert_eq!(bed.actions(), [Action::Warm(ticket)]);
}

#[test]
fn a_dial_that_ends_after_the_pool_is_closed_is_closed() {
    let mut bed = Bed::new(|_| ());
    let _ = bed.wait();
    let key = bed.dial();
    bed.pool.close();
    bed.actions();
    bed.dialled(key);
    assert_eq!(bed.actions(), [Action::Close(key)]);
    assert_eq!((bed.pool.len(), bed.stats().total_connections), (0, 0));
}

#[test]
fn a_dial_that_ends_after_it_was_given_up_is_closed() {
    let mut bed = Bed::new(|_| ());
    let _ = bed.wait();
    let key = bed.dial();
    bed.pass(secs(10));
    bed.actions();
    bed.dialled(key);
    bed.failed(key);
    assert_eq!(bed.actions(), [Action::Close(key)]);
    assert_eq!((bed.pool.len(), bed.stats().failed_connections), (0, 1));
}

#[test]
fn a_dial_reported_twice_is_one_connection() {
    let mut bed = Bed::new(|_| ());
    let _ = bed.wait();
    let key = bed.dial();
    bed.dialled(key);
    bed.actions();
    bed.dialled(key);
    bed.failed(key);
    assert_eq!((bed.actions(), bed.pool.len()), (vec![], 1));
    assert_eq!((bed.stats().total_connections, bed.stats().failed_connections), (1, 0));
}

#[test]
fn ended_connections_are_neither_active_nor_idle() {
    let (mut bed, keys) = Bed::with(2, |_| ());
    bed.ended(keys[0]);
    let stats = bed.stats();
    assert_eq!((stats.active_connections, stats.idle_connections), (1, 1));
}

#[test]
fn an_ended_connection_is_never_given_away() {
    let (mut bed, keys) = Bed::with(3, |config| config.health_check_interval = None);
    for (dead, alive) in [(0, 1), (1, 2)] {
        bed.ended(keys[dead]);
        assert_eq!(bed.ready(), keys[alive]);
    }
}

#[test]
fn ended_ones_that_nobody_sweeps_do_not_pile_up() {
    let mut bed = Bed::new(|config| {
        (config.max_size, config.health_check_interval, config.max_idle_time) = (2, None, None);
    });
    for _ in 0..1_000 {
        let _ = bed.wait();
        let key = bed.dial();
        bed.dialled(key);
        bed.ended(key);
        bed.actions();
    }
    // Two at most were kept for a health check to find.
    assert!(format!("{:?}", bed.pool).matches("ended: true").count() <= 2);
}

#[test]
fn when_the_last_dial_fails_everybody_is_told_and_nobody_hangs() {
    let mut bed = Bed::new(|config| config.max_size = 2);
    let tickets: Vec<_> = (0..6).map(|_| bed.wait()).collect();
    let keys = bed.dials();
    bed.failed(keys[0]);
    assert_eq!(bed.actions(), []);
    bed.failed(keys[1]);
    let refused = |ticket| Action::Refuse(ticket, Refusal::DialFailed);
    assert_eq!(bed.actions(), tickets.into_iter().map(refused).collect::<Vec<_>>());
}

#[test]
fn a_dial_that_never_ends_does_not_hold_callers_for_ever() {
    let mut bed = Bed::new(|config| config.max_size = 1);
    let tickets: Vec<_> = (0..3).map(|_| bed.wait()).collect();
    let key = bed.dial();
    bed.pass(secs(10));
    let mut told = vec![Action::GiveUp(key)];
    told.extend(tickets.into_iter().map(|ticket| Action::Refuse(ticket, Refusal::DialTimedOut)));
    assert_eq!(bed.actions(), told);
}

#[test]
fn a_peer_that_is_down_is_dialled_ever_more_rarely_and_callers_wait_for_the_next_time() {
    let mut bed = Bed::new(|config| config.max_idle_time = None);
    let mut pauses = Vec::new();
    for _ in 0..10 {
        let ticket = bed.wait();
        let asked = bed.now;
        while bed.stats().dialling == 0 {
            let at = bed.pool.poll_timeout().unwrap();
            bed.pass(at.saturating_since(bed.now));
        }
        pauses.push(bed.now.saturating_since(asked).as_millis());
        let key = bed.dial();
        bed.failed(key);
        assert_eq!(bed.actions(), [Action::Refuse(ticket, Refusal::DialFailed)]);
    }
    assert_eq!(pauses, [0, 100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
}

#[test]
fn a_burst_of_failures_counts_as_one() {
    let mut bed = Bed::new(|config| config.max_size = 8);
    for _ in 0..8 {
        let _ = bed.wait();
    }
    for key in bed.dials() {
        bed.failed(key);
    }
    bed.actions();
    let _ = bed.wait();
    assert_eq!(bed.actions(), []);
    bed.pass(ms(100));
    let _ = bed.dial();
}

#[test]
fn behind_a_failure_one_dial_tries_for_all_until_it_succeeds() {
    let mut bed = Bed::new(|config| config.max_size = 4);
    let _ = bed.wait();
    let key = bed.dial();
    bed.failed(key);
    bed.actions();
    let tickets: Vec<_> = (0..4).map(|_| bed.wait()).collect();
    bed.pass(ms(100));
    let key = bed.dial();
    bed.dialled(key);
    let all: Vec<_> = tickets.iter().map(|ticket| Action::Grant(*ticket, key)).collect();
    assert_eq!(bed.actions(), all);
    // The pause is forgotten with that.
    bed.ended(key);
    let _ = bed.wait();
    let _ = bed.dial();
}

#[test]
fn a_pause_that_nobody_waits_for_wakes_nobody() {
    let mut bed = Bed::new(|config| {
        (config.max_idle_time, config.health_check_interval) = (None, None);
    });
    let _ = bed.wait();
    let key = bed.dial();
    bed.failed(key);
    bed.actions();
    assert_eq!(bed.pool.poll_timeout(), None);
    let ticket = bed.wait();
    assert_eq!(bed.pool.poll_timeout(), Some(bed.now + ms(100)));
    bed.pool.forget(ticket);
    assert_eq!(bed.pool.poll_timeout(), None);
    bed.pass(secs(1));
    assert_eq!(bed.actions(), []);
}

#[test]
fn a_caller_that_gave_up_is_not_served_and_its_dial_serves_others() {
    let mut bed = Bed::new(|config| config.max_size = 1);
    let gone = bed.wait();
    let stays = bed.wait();
    let key = bed.dial();
    bed.pool.forget(gone);
    bed.dialled(key);
    assert_eq!(bed.actions(), [Action::Grant(stays, key)]);
}

#[test]
fn so_many_wait_and_no_more() {
    let mut bed = Bed::new(|config| config.max_waiting = 3);
    for _ in 0..3 {
        let _ = bed.wait();
    }
    assert_eq!(bed.refused(), Refusal::Exhausted);
    assert_eq!(bed.pool.warm_up(bed.now), Warmth::Refused(Refusal::Exhausted));
    assert_eq!(bed.dials().len(), 3);
}

#[test]
fn a_caller_that_may_not_wait_shares_what_there_is() {
    let mut bed = Bed::new(|config| {
        (config.max_waiting, config.policy) = (1, PoolPolicy::LeastStreams { grow_at: 1 });
    });
    let _ = bed.wait();
    let key = bed.dial();
    bed.dialled(key);
    bed.actions();
    bed.opened(key, 1);
    let _ = bed.wait();
    assert_eq!(bed.get(), Got::Ready(key));
}

#[test]
fn a_stream_that_lasted_longer_than_the_idle_time_ends_no_connection_behind_it() {
    let (mut bed, keys) = Bed::with(2, |config| {
        (config.max_idle_time, config.min_size) = (Some(secs(100)), 0);
    });
    bed.opened(keys[0], 1);
    bed.pass(secs(1_000));
    assert_eq!(bed.actions(), [Action::Close(keys[1])]);
    bed.pool.streams(bed.now, keys[0], 0);
    bed.pass(secs(100));
    assert_eq!(bed.actions(), []);
    bed.pass(secs(100));
    assert_eq!(bed.actions(), [Action::Close(keys[0])]);
}

#[test]
fn a_connection_just_given_away_is_not_idle() {
    let (mut bed, keys) = Bed::with(1, |config| {
        (config.max_idle_time, config.min_size) = (Some(secs(100)), 0);
    });
    bed.pass(secs(100));
    assert_eq!(bed.ready(), keys[0]);
    bed.pass(secs(100));
    assert_eq!(bed.actions(), []);
}

#[test]
fn callers_of_one_moment_are_spread_before_they_have_opened_anything() {
    let (mut bed, keys) = {
        let mut bed = Bed::new(|config| {
            (config.max_size, config.policy) = (2, PoolPolicy::LeastStreams { grow_at: 1 });
        });
        let _ = (bed.wait(), bed.wait());
        let keys = bed.dials();
        keys.iter().for_each(|key| bed.dialled(*key));
        bed.actions();
        keys.iter().for_each(|key| bed.pool.streams(bed.now, *key, 0));
        (bed, keys)
    };
    assert_eq!((bed.ready(), bed.ready()), (keys[0], keys[1]));
    // What comes back without a stream makes room.
    bed.pool.put(bed.now, keys[1]);
    assert_eq!(bed.ready(), keys[1]);
}

#[test]
fn a_clock_at_its_end_or_going_back_stops_nothing() {
    let (mut bed, keys) = Bed::with(2, |config| config.min_size = 0);
    bed.now = trunkline_core::Instant::from_nanos(u64::MAX);
    bed.pool.handle_timeout(bed.now, 0);
    assert_eq!(bed.actions(), keys.iter().map(|key| Action::Close(*key)).collect::<Vec<_>>());
    let _ = bed.wait();
    let key = bed.dial();
    bed.pool.handle_timeout(bed.now, 0);
    bed.actions();
    bed.dialled(key);
    bed.now = trunkline_core::Instant::ORIGIN;
    bed.pool.handle_timeout(bed.now, 0);
    let _ = bed.get();
}
