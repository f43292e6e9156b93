//! Section 12: a test for each attack, named after its row.

use super::*;
use trunkline_core::mux::LocalEnd;
use trunkline_core::smux::{FullBacklog, Overclaim, Overrun};
use trunkline_core::{CloseReason, Flood, TimeoutKind, Violation};

fn flooded(kind: Flood) -> Option<CloseReason> {
    Some(CloseReason::Violation(Violation::Flood(kind)))
}

#[test]
fn syn_flood_is_refused_with_fin_beyond_the_backlog_and_ends_the_connection_in_the_end() {
    let mut config = v1();
    config.limits.backlog = 4;
    config.limits.useless_burst = 10;
    config.limits.useless_rate = 1;
    let mut one = server(config);
    for id in 0..5 {
        feed(&mut one, syn(1, 3 + 2 * id));
    }
    assert_eq!(told(&mut one), ["FIN 11"]);
    assert_eq!((one.stats().waiting, one.stats().refused), (4, 1));
    for id in 5..100 {
        feed(&mut one, syn(1, 3 + 2 * id));
        told(&mut one);
    }
    assert_eq!(one.closed().cloned(), flooded(Flood::RefusedOpens));
    assert_eq!(one.stats().refused, 11);
}

#[test]
fn syn_flood_beyond_the_streams_at_once_is_refused_and_ended_streams_make_room() {
    let mut config = v1();
    config.limits.streams = 2;
    let mut one = server(config);
    feed(&mut one, [syn(1, 3), syn(1, 5), syn(1, 7)].concat());
    let (first, _second) = (accepted(&mut one), accepted(&mut one));
    assert_eq!(one.accept(START), None);
    assert_eq!(told(&mut one), ["FIN 7"]);
    feed(&mut one, fin(1, 3));
    one.forget(START, first);
    assert_eq!(told(&mut one), ["FIN 3"]);
    feed(&mut one, syn(1, 9));
    assert!(one.accept(START).is_some());
}

#[test]
fn syn_flood_stops_reading_where_that_is_the_setting_and_accepting_goes_on() {
    let mut config = v1();
    config.full_backlog = FullBacklog::Wait;
    config.limits.backlog = 2;
    let mut one = server(config);
    let opens = (0..6).flat_map(|id| syn(1, 3 + 2 * id)).collect::<Vec<_>>();
    feed(&mut one, opens);
    assert_eq!((one.stats().waiting, one.wants_input()), (3, false));
    for _ in 0..6 {
        accepted(&mut one);
    }
    assert_eq!((one.accept(START), one.wants_input(), one.stats().refused), (None, true, 0));
}

#[test]
fn syn_flood_while_nothing_is_taken_stops_reading_instead_of_queueing_refusals() {
    let mut config = v1();
    config.limits.backlog = 0;
    let mut one = server(config);
    let opens = (0..500).flat_map(|id| syn(1, 3 + 2 * id)).collect::<Vec<_>>();
    feed(&mut one, opens);
    assert!(!one.wants_input());
    assert_eq!(one.stats().refused, 64);
    assert_eq!(told(&mut one).len(), 500);
    assert!(one.wants_input() && one.closed().is_none());
}

#[test]
fn syn_with_the_id_of_a_live_stream_changes_nothing_and_is_counted() {
    let mut one = client(v1());
    let key = opened(&mut one);
    feed(&mut one, [syn(1, 3), psh(1, 3, b"mine")].concat());
    assert_eq!((one.accept(START), one.stats().useless), (None, 1));
    assert_eq!(all(&mut one, key).0, b"mine");
}

#[test]
fn huge_frames_take_memory_by_what_arrived() {
    let mut one = server(v1());
    feed(&mut one, syn(1, 3));
    let before = one.stats().memory;
    feed(&mut one, [1, 2, 0xff, 0xff, 3, 0, 0, 0]);
    assert_eq!(one.stats().memory, before);
    feed(&mut one, [7; 100]);
    assert_eq!(one.stats().queued_in, 100);
    assert!(one.stats().memory < before + 2_000);
}

#[test]
fn window_ignored_ends_the_stream_and_no_other() {
    let mut one = server(v2());
    feed(&mut one, [syn(2, 3), syn(2, 5)].concat());
    let (greedy, other) = (accepted(&mut one), accepted(&mut one));
    for _ in 0..4 {
        feed(&mut one, psh(2, 3, &[7; 65_535]));
    }
    assert_eq!(one.read_end(greedy), None);
    feed(&mut one, [psh(2, 3, &[7; 5]), psh(2, 5, b"fine")].concat());
    let end = Some(StreamEnd::Local(LocalEnd::TooMuch));
    assert_eq!(all(&mut one, greedy), (Vec::new(), end));
    assert_eq!(all(&mut one, other), (b"fine".to_vec(), None));
    assert_eq!(told(&mut one), ["FIN 3"]);
    assert_eq!(one.stats().queued_in, 0);

    let mut config = v2();
    config.overrun = Overrun::Ignore;
    let mut one = server(config);
    feed(&mut one, syn(2, 3));
    let key = accepted(&mut one);
    for _ in 0..5 {
        feed(&mut one, psh(2, 3, &[7; 65_535]));
    }
    assert_eq!(all(&mut one, key).0.len(), 5 * 65_535);
}

#[test]
fn psh_to_absent_streams_empty_psh_nop_and_upd_storms_end_the_connection_at_their_rate() {
    let live = [syn(2, 3), upd(3, 0, 1)].concat();
    for (frame, kind) in [
        (psh(2, 77, b"lost"), Flood::Useless),
        (psh(2, 3, b""), Flood::Useless),
        (fin(2, 77), Flood::Useless),
        (upd(77, 0, 1), Flood::Useless),
        (upd(3, 0, 1), Flood::Useless),
        (nop(2), Flood::Pings),
    ] {
        let mut one = server(v2());
        feed(&mut one, live.clone());
        let storm = frame.repeat(900);
        feed(&mut one, storm);
        assert_eq!(one.closed(), None);
        // A hundred a second go on for ever.
        for second in 1..100 {
            feed_at(&mut one, at(1_000 * second), frame.repeat(99));
            assert_eq!(one.closed(), None, "{frame:?} in second {second}");
        }
        feed_at(&mut one, at(100_000), frame.repeat(2_000));
        assert_eq!(one.closed().cloned(), flooded(kind), "{frame:?}");
        assert_eq!(one.poll_transmit(at(100_000)).map(|_| ()), None);
    }
}

#[test]
fn tiny_psh_frames_are_joined_and_charged_with_what_they_keep() {
    let mut one = server(v1());
    feed(&mut one, syn(1, 3));
    let key = accepted(&mut one);
    let frame = psh(1, 3, b"x");
    for _ in 0..100 {
        feed(&mut one, frame.repeat(1_000));
    }
    let stats = one.stats();
    assert_eq!(stats.queued_in, 100_000);
    assert!(stats.memory < 1 << 20, "{} bytes for 100,000", stats.memory);
    assert_eq!(all(&mut one, key).0, vec![b'x'; 100_000]);
}

#[test]
fn upd_games_end_the_one_stream_or_nothing() {
    let mut one = client(v2());
    let (key, other) = (opened(&mut one), opened(&mut one));
    write(&mut one, key, &[7; 100]);
    told(&mut one);
    // Going back is ignored, a window of nothing or of 2^31 stalls.
    feed(&mut one, [upd(3, 100, 1_000), upd(3, 50, 9)].concat());
    assert_eq!(one.stream_stats(key).unwrap().send_window, Some(1_000));
    for window in [0, 1 << 31, u32::MAX] {
        feed(&mut one, upd(3, 100, window));
        assert_eq!(write(&mut one, key, b"x"), Sent::Blocked, "{window}");
    }
    feed(&mut one, upd(3, 101, 1_000));
    let end = StreamEnd::Local(LocalEnd::Violation);
    assert_eq!(write(&mut one, key, b"x"), Sent::End(end.clone()));
    assert_eq!(one.read_end(key), Some(end));
    assert_eq!(told(&mut one), ["FIN 3"]);
    assert_eq!(write(&mut one, other, b"x"), Sent::Accepted(1));

    let mut config = v2();
    config.overclaim = Overclaim::FailWrites;
    let mut one = client(config);
    let key = opened(&mut one);
    feed(&mut one, upd(3, 1, 1_000));
    let end = one.write_end(key).unwrap();
    assert_eq!(write(&mut one, key, b"x"), Sent::End(end));
    feed(&mut one, upd(3, 0, 1_000));
    assert_eq!(write(&mut one, key, b"x"), Sent::Accepted(1));
}

#[test]
fn never_reading_fills_a_bounded_queue() {
    let mut one = client(v1());
    let key = opened(&mut one);
    let chunk = Bytes::from(vec![7; 10_000]);
    let mut taken = 0;
    while let Sent::Accepted(some) = one.write(START, key, &mut chunk.clone()) {
        taken += some;
    }
    assert!(taken > 200_000 && taken <= 256 << 10, "{taken}");
    assert_eq!(one.stats().queued_out, taken);
}

#[test]
fn a_trickle_of_header_bytes_is_no_sign_of_life_and_can_have_a_deadline() {
    let mut config = v1();
    config.keep_alive = true;
    let mut one = server(config.clone());
    for second in 0..=60 {
        one.handle_timeout(at(second * 1_000));
        if second < 7 {
            feed_at(&mut one, at(second * 1_000), [1]);
        }
    }
    assert_eq!(one.closed(), Some(&CloseReason::Timeout(TimeoutKind::KeepAlive)));
    config.keep_alive = false;
    config.frame_timeout = Some(Duration::from_secs(5));
    let mut one = server(config);
    feed(&mut one, [syn(1, 3), vec![1]].concat());
    assert_eq!(one.poll_timeout(), Some(at(5_000)));
    feed_at(&mut one, at(4_000), [2]);
    assert_eq!(one.poll_timeout(), Some(at(5_000)), "a byte is no frame");
    one.handle_timeout(at(5_000));
    assert!(matches!(one.closed(), Some(CloseReason::Timeout(_))));
}

#[test]
fn a_violation_ends_the_connection_after_what_came_before_it() {
    let mut one = server(v1());
    feed(&mut one, [syn(1, 3), psh(1, 3, b"kept"), raw(1, 9, 3, b""), syn(1, 5)].concat());
    let reason = one.closed().unwrap().clone();
    assert!(matches!(reason, CloseReason::Violation(Violation::Smux(_))));
    let key = accepted(&mut one);
    assert_eq!(all(&mut one, key), (b"kept".to_vec(), Some(StreamEnd::Connection(reason))));
    assert_eq!(one.accept(START), None);
    assert_eq!(told(&mut one), [""; 0]);
    assert!(!one.wants_input());
    assert!(matches!(events(&mut one)[..], [MuxEvent::Closed(_)]), "its last word was none");
}

#[test]
fn data_for_a_stream_that_was_given_up_is_never_taken_for_a_flood() {
    let mut one = server(v1());
    feed(&mut one, syn(1, 3));
    let key = accepted(&mut one);
    one.forget(START, key);
    told(&mut one);
    for _ in 0..100 {
        feed(&mut one, psh(1, 3, b"still sending").repeat(100));
    }
    assert_eq!((one.closed(), one.stats().queued_in), (None, 0));
    assert_eq!(one.stats().useless, 10_000);
}

#[test]
fn the_rest_of_a_frame_never_goes_to_the_stream_that_took_its_place() {
    let mut config = v1();
    config.limits.streams = 0;
    let mut one = client(config);
    let gone = opened(&mut one);
    let frame = psh(1, 3, &[b'a'; 100]);
    let (front, rest) = frame.split_at(18);
    feed(&mut one, front);
    one.forget(START, gone);
    sent(&mut one);
    let next = opened(&mut one);
    feed(&mut one, rest);
    feed(&mut one, psh(1, 5, b"own"));
    assert_eq!(all(&mut one, next), (b"own".to_vec(), None));
}

#[test]
fn replies_that_can_never_be_sent_hold_up_no_input() {
    let mut config = v1();
    config.limits.streams = 0;
    config.limits.replies = 2;
    config.keep_alive = false;
    let mut one = client(config);
    let key = opened(&mut one);
    sent(&mut one);
    feed(&mut one, [syn(1, 2), syn(1, 4), syn(1, 6), psh(1, 3, b"here")].concat());
    assert!(!one.wants_input());
    one.handle_failure(START, trunkline_core::Direction::Write, Some(32));
    assert!(one.wants_input());
    assert_eq!(all(&mut one, key).0, b"here");
    one.handle_eof(START);
    assert!(one.closed().is_some());
}
