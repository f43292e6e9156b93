//! Section 8: keep-alive, timeouts.

use super::*;
use trunkline_core::{CloseReason, Direction, TimeoutKind};

fn kept(interval: u64, timeout: u64) -> Config {
    let mut config = v1();
    config.keep_alive = true;
    config.keep_alive_interval = Duration::from_millis(interval);
    config.keep_alive_timeout = Duration::from_millis(timeout);
    config
}

/// Moves the clock through every deadline up to `until`; the frames that leave, with their times.
fn run(machine: &mut Connection, until: u64) -> Vec<(u64, String)> {
    let mut seen = Vec::new();
    while let Some(due) = machine.poll_timeout().filter(|due| *due <= at(until)) {
        machine.handle_timeout(due);
        let time = u64::try_from(due.saturating_since(START).as_millis()).unwrap();
        seen.extend(frames_of(&bytes_at(machine, due)).into_iter().map(|frame| (time, frame)));
    }
    seen
}

#[test]
fn a_sign_of_life_leaves_each_interval_and_is_never_answered() {
    let mut one = client(kept(100, 1_000));
    one.handle_timeout(START);
    let nop_at = |time| (time, "NOP".to_owned());
    assert_eq!(run(&mut one, 350), [100, 200, 300].map(nop_at));
    feed_at(&mut one, at(350), [nop(1), nop(1)].concat());
    assert_eq!(one.poll_transmit(at(350)).map(|_| ()), None);
}

#[test]
fn a_dead_peer_is_noticed_after_one_to_two_timeouts() {
    let mut one = client(kept(100, 300));
    one.handle_timeout(START);
    // Something came in the first 300 ms, nothing after it.
    feed_at(&mut one, at(10), nop(1));
    run(&mut one, 599);
    assert_eq!(one.closed(), None);
    run(&mut one, 600);
    assert_eq!(one.closed(), Some(&CloseReason::Timeout(TimeoutKind::KeepAlive)));
    assert_eq!(one.poll_timeout(), None);
    let mut silent = client(kept(100, 300));
    silent.handle_timeout(START);
    run(&mut silent, 300);
    assert_eq!(silent.closed(), Some(&CloseReason::Timeout(TimeoutKind::KeepAlive)));
}

#[test]
fn two_that_keep_alive_stay_together_for_ever() {
    let mut ends = [client(kept(100, 300)), server(kept(100, 300))];
    for tick in 0..1_000 {
        let now = at(tick * 50);
        for this in 0..2 {
            ends[this].handle_timeout(now);
            let bytes = bytes_at(&mut ends[this], now);
            if !bytes.is_empty() {
                feed_at(&mut ends[1 - this], now, bytes);
            }
        }
    }
    assert!(ends.iter().all(|end| end.closed().is_none()));
}

#[test]
fn a_peer_is_not_blamed_while_this_side_does_not_read() {
    let mut config = kept(100, 300);
    config.max_receive_buffer = 10;
    config.max_stream_buffer = 10;
    let mut one = server(config);
    feed(&mut one, [syn(1, 3), psh(1, 3, &[7; 20])].concat());
    let key = accepted(&mut one);
    run(&mut one, 2_000);
    assert_eq!(one.closed(), None);
    assert_eq!(one.read(at(2_000), key, 99), Received::Data(vec![7; 20].into()));
    run(&mut one, 2_600);
    assert_eq!(one.closed(), Some(&CloseReason::Timeout(TimeoutKind::KeepAlive)));
}

#[test]
fn a_clock_that_goes_back_or_stands_still_ends_nothing() {
    let mut one = client(kept(100, 300));
    one.handle_timeout(at(10_000));
    one.handle_timeout(START);
    feed_at(&mut one, START, nop(1));
    one.handle_timeout(START);
    assert_eq!(one.closed(), None);
    one.handle_timeout(Instant::from_nanos(u64::MAX));
    let _ = one.poll_timeout();
    one.handle_timeout(Instant::from_nanos(u64::MAX));
}

#[test]
fn signs_of_life_do_not_pile_up_while_nothing_is_taken() {
    let mut one = client(kept(100, 100_000));
    one.handle_timeout(START);
    for tick in 1..=50 {
        one.handle_timeout(at(tick * 100));
    }
    assert_eq!(frames_of(&bytes_at(&mut one, at(5_000))), ["NOP"]);
}

#[test]
fn a_transport_that_takes_nothing_ends_the_connection_where_that_is_asked_for() {
    let mut config = v1();
    config.write_timeout = Some(Duration::from_millis(500));
    let mut one = client(config);
    let key = opened(&mut one);
    assert_eq!(bytes_at(&mut one, at(100)).len(), 8);
    assert_eq!(one.poll_timeout(), None, "nothing waits");
    assert_eq!(one.write(at(200), key, &mut Bytes::from_static(b"x")), Sent::Accepted(1));
    assert_eq!(one.poll_timeout(), Some(at(700)));
    one.handle_timeout(at(700));
    assert_eq!(one.closed(), Some(&CloseReason::Timeout(TimeoutKind::Write)));
}

#[test]
fn an_orderly_close_is_over_in_time_though_nothing_is_taken() {
    let mut one = client(v1());
    opened(&mut one);
    one.close(START);
    one.handle_timeout(at(4_999));
    assert_eq!(one.closed(), None);
    assert_eq!(one.poll_timeout(), Some(at(5_000)));
    one.handle_timeout(at(5_000));
    assert_eq!(one.closed(), Some(&CloseReason::Timeout(TimeoutKind::Close)));
}

#[test]
fn what_the_peer_sent_before_it_went_is_read_though_writing_failed() {
    let mut one = client(v1());
    let key = opened(&mut one);
    assert_eq!(one.read(START, key, 9), Received::Blocked);
    one.handle_failure(START, Direction::Write, Some(32));
    let reason = CloseReason::Transport { os_error: Some(32) };
    assert_eq!(write(&mut one, key, b"x"), Sent::End(StreamEnd::Connection(reason.clone())));
    assert_eq!(one.closed(), None);
    feed(&mut one, [psh(1, 3, b"why"), fin(1, 3)].concat());
    assert_eq!(all(&mut one, key), (b"why".to_vec(), Some(StreamEnd::Finished)));
    one.handle_eof(START);
    assert_eq!(one.closed(), Some(&reason));
    assert_eq!(events(&mut one).last(), Some(&MuxEvent::Closed(reason)));
}
