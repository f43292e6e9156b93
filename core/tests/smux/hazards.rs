//! Section 11: a test for each hazard, named after it. Hazard 1 (keep-alive must match) is for who
//! configures both ends; what a wrong guess costs is in `time.rs`. Hazard 5 (one slow reader) is in
//! `windows.rs`, both policies of version 1; hazard 10 (a read is at most a frame) is in the
//! transcripts and below.

use super::*;
use trunkline_core::CloseReason;
use trunkline_core::smux::{Delivery, LateData, PassiveClose, PeerGone, PeerIds, UnreadAtEnd};

#[test]
fn hazard_1_an_end_without_keep_alive_is_taken_for_dead_by_one_that_has_it() {
    let mut config = v1();
    config.keep_alive = true;
    let (mut with, mut without) = (client(config), server(v1()));
    with.handle_timeout(START);
    while let Some(due) = with.poll_timeout() {
        with.handle_timeout(due);
        let bytes = bytes_at(&mut with, due);
        feed_at(&mut without, due, bytes);
        assert_eq!(without.poll_transmit(due).map(|_| ()), None);
    }
    assert!(matches!(with.closed(), Some(CloseReason::Timeout(_))));
    assert_eq!(without.closed(), None);
}

#[test]
fn hazard_2_unread_bytes_survive_the_end_of_both_directions() {
    for (setting, expected) in [(UnreadAtEnd::Keep, &b"unread"[..]), (UnreadAtEnd::Drop, b"")] {
        let mut config = v1();
        config.unread_at_end = setting;
        let mut one = client(config);
        let key = opened(&mut one);
        one.finish(START, key);
        assert_eq!(told(&mut one), ["SYN 3", "FIN 3"]);
        feed(&mut one, [psh(1, 3, b"unread"), fin(1, 3)].concat());
        assert_eq!(one.stats().streams, 0, "the id is free");
        assert_eq!(all(&mut one, key), (expected.to_vec(), Some(StreamEnd::Finished)));
    }
}

#[test]
fn hazard_3_a_peer_without_half_close_ends_both_directions_and_loses_nothing_sent_before() {
    // What the peer sent before its FIN is read; what is written behind it is sent, and dropped
    // there.
    let mut one = client(v1());
    let key = opened(&mut one);
    one.finish(START, key);
    feed(&mut one, [psh(1, 3, b"half"), fin(1, 3)].concat());
    assert_eq!(all(&mut one, key), (b"half".to_vec(), Some(StreamEnd::Finished)));
}

#[test]
fn hazard_4_the_end_of_the_connection_is_not_the_end_of_a_stream() {
    for (end, mid_frame) in [(&b""[..], false), (b"\x01\x02", true)] {
        let mut one = server(v1());
        feed(&mut one, [syn(1, 3), syn(1, 5), psh(1, 3, b"abc"), fin(1, 5)].concat());
        let (cut, whole) = (accepted(&mut one), accepted(&mut one));
        feed(&mut one, end);
        one.handle_eof(START);
        let lost = StreamEnd::Connection(CloseReason::Eof { mid_frame });
        assert_eq!(all(&mut one, cut), (b"abc".to_vec(), Some(lost)));
        assert_eq!(all(&mut one, whole), (Vec::new(), Some(StreamEnd::Finished)));
    }
}

#[test]
fn hazard_5_a_stalled_stream_of_version_2_delays_no_other() {
    let mut one = server(v2());
    feed(&mut one, [syn(2, 3), syn(2, 5)].concat());
    let (_stalled, live) = (accepted(&mut one), accepted(&mut one));
    let mut total = 0;
    for _ in 0..4 {
        feed(&mut one, psh(2, 3, &[7; 65_535]));
    }
    for _ in 0..1_000 {
        feed(&mut one, psh(2, 5, &[7; 30_000]));
        total += all(&mut one, live).0.len();
        assert!(one.wants_input());
        told(&mut one);
    }
    assert_eq!((total, one.stats().queued_in), (30_000_000, 4 * 65_535));
}

#[test]
fn hazard_6_a_second_fin_and_fin_for_an_absent_stream_are_harmless_for_every_stream_that_ended() {
    let mut one = server(v1());
    for round in 0..20_000_u32 {
        let id = 3 + 2 * round;
        feed(&mut one, [syn(1, id), fin(1, id), fin(1, id)].concat());
        let key = accepted(&mut one);
        one.forget(START, key);
        told(&mut one);
        feed(&mut one, fin(1, id));
        assert_eq!(one.closed(), None, "stream {id}");
    }
    assert_eq!((one.stats().received, one.stats().streams), (20_000, 0));
}

#[test]
fn hazard_6_a_stream_is_in_the_table_before_its_syn_leaves() {
    let mut one = client(v1());
    let key = opened(&mut one);
    feed(&mut one, psh(1, 3, b"at once"));
    assert_eq!(all(&mut one, key).0, b"at once");
    assert_eq!(told(&mut one), ["SYN 3"]);
}

#[test]
fn hazard_7_an_update_for_a_stream_that_is_gone_brings_nothing_back() {
    let mut one = client(v2());
    let key = opened(&mut one);
    one.forget(START, key);
    told(&mut one);
    feed(&mut one, [fin(2, 3), upd(3, 0, 99), upd(3, 0, 100)].concat());
    assert_eq!((one.stats().streams, one.closed()), (0, None));
    assert_eq!(one.accept(START), None);
    assert_eq!(told(&mut one), [""; 0]);
}

#[test]
fn hazard_8_the_other_version_ends_the_connection_with_its_name() {
    for (config, bytes) in [(v1(), syn(2, 3)), (v2(), syn(1, 3))] {
        let mut one = server(config);
        feed(&mut one, bytes);
        let reason = one.closed().unwrap();
        assert!(reason.to_string().starts_with("a frame of version"), "{reason}");
        assert_eq!(told(&mut one), [""; 0]);
    }
}

#[test]
fn hazard_9_lengths_come_first_and_all_numbers_are_little_endian() {
    let mut one = server(v1());
    feed(&mut one, *b"\x01\x00\x00\x00\x03\x02\x01\x00\x01\x02\x05\x00\x03\x02\x01\x00hello");
    let key = accepted(&mut one);
    assert_eq!(one.stream_stats(key).unwrap().id, 0x0001_0203);
    assert_eq!(all(&mut one, key).0, b"hello");
}

#[test]
fn hazard_10_a_read_never_joins_two_frames_where_they_are_kept_whole() {
    let mut config = v1();
    config.delivery = Delivery::Frames;
    let mut one = server(config);
    let bytes = [syn(1, 3), psh(1, 3, b"first"), psh(1, 3, b"second")].concat();
    for byte in bytes {
        feed(&mut one, [byte]);
    }
    let key = accepted(&mut one);
    assert_eq!(one.read(START, key, 99), Received::Data(Bytes::from_static(b"first")));
    assert_eq!(one.read(START, key, 99), Received::Data(Bytes::from_static(b"second")));
}

#[test]
fn hazard_11_a_writer_without_credit_is_told_by_a_second_fin_that_its_reader_is_gone() {
    for (peer_gone, passive_close, fins) in [
        (PeerGone::SecondFin, PassiveClose::HalfOpen, Some(2)),
        (PeerGone::Nothing, PassiveClose::HalfOpen, None),
        (PeerGone::Nothing, PassiveClose::Strict, Some(1)),
    ] {
        let mut config = v2();
        config.peer_gone = peer_gone;
        config.passive_close = passive_close;
        let mut one = client(config);
        let key = opened(&mut one);
        let mut data = Bytes::from(vec![7; 300_000]);
        while one.write(START, key, &mut data) != Sent::Blocked {
            // The room in the queue is less than the window.
            if one.stats().bytes_out < 100_000 {
                told(&mut one);
            }
        }
        let mut told_after = None;
        for count in 1..=3 {
            feed(&mut one, fin(2, 3));
            if events(&mut one).contains(&MuxEvent::Writable(key)) {
                assert_eq!(told_after.replace(count), None, "told twice");
                assert_eq!(one.write(START, key, &mut data), Sent::End(StreamEnd::Reset));
            }
        }
        assert_eq!(told_after, fins, "{peer_gone:?} {passive_close:?}");
        // What was sent before is still read, and the stream goes as any other.
        assert_eq!(all(&mut one, key), (Vec::new(), Some(StreamEnd::Finished)));
        if peer_gone == PeerGone::SecondFin {
            assert_eq!(one.stats().queued_out, 0, "it would be dropped there");
        }
        one.forget(START, key);
        assert_eq!(told(&mut one).last().unwrap(), "FIN 3");
        assert_eq!((one.stats().streams, one.closed()), (0, None));
    }
}

#[test]
fn data_behind_fin_is_dropped_and_counted_unless_it_is_asked_for() {
    for (late, expected, useless) in [(LateData::Drop, &b"a"[..], 1), (LateData::Deliver, b"ab", 0)]
    {
        let mut config = v1();
        config.late_data = late;
        let mut one = server(config);
        feed(&mut one, [syn(1, 3), psh(1, 3, b"a"), fin(1, 3), psh(1, 3, b"b")].concat());
        let key = accepted(&mut one);
        assert_eq!(all(&mut one, key), (expected.to_vec(), Some(StreamEnd::Finished)));
        assert_eq!(one.stats().useless, useless);
    }
}

#[test]
fn a_part_of_a_frame_is_handed_on_and_its_loss_is_told() {
    let mut one = server(v1());
    feed(&mut one, [syn(1, 3), psh(1, 3, b"0123456789")[..12].to_vec()].concat());
    let key = accepted(&mut one);
    assert_eq!(all(&mut one, key), (b"0123".to_vec(), None));
    one.handle_eof(START);
    let lost = StreamEnd::Connection(CloseReason::Eof { mid_frame: true });
    assert_eq!(all(&mut one, key).1, Some(lost));
}

#[test]
fn a_local_open_never_takes_the_place_of_a_stream_of_the_peer() {
    let mut one = server(v1());
    feed(&mut one, [syn(1, 2), psh(1, 2, b"theirs"), syn(1, 6)].concat());
    let own = opened(&mut one);
    assert_eq!(one.stream_stats(own).unwrap().id, 4);
    let next = opened(&mut one);
    assert_eq!(one.stream_stats(next).unwrap().id, 8);
    let theirs = accepted(&mut one);
    assert_eq!(all(&mut one, theirs).0, b"theirs");
    let mut config = v1();
    config.peer_ids = PeerIds::Parity;
    let mut one = server(config);
    feed(&mut one, [syn(1, 2), syn(1, 3)].concat());
    assert_eq!(told(&mut one), ["FIN 2"]);
    let only = accepted(&mut one);
    assert_eq!(one.stream_stats(only).unwrap().id, 3);
    assert_eq!((one.accept(START), one.stats().refused), (None, 1));
}

#[test]
fn an_id_can_be_used_again_once_its_stream_is_gone() {
    let mut one = server(v1());
    feed(&mut one, [syn(1, 3), psh(1, 3, b"old")].concat());
    let old = accepted(&mut one);
    one.forget(START, old);
    assert_eq!(told(&mut one), ["FIN 3"]);
    // The peer has not finished it, and begins anew all the same.
    feed(&mut one, [syn(1, 3), psh(1, 3, b"new")].concat());
    let new = accepted(&mut one);
    assert_eq!(all(&mut one, new).0, b"new");
    assert_eq!(one.read(START, old, 9), Received::Unknown);
}
