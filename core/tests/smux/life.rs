//! Section 5: open, accept, write, read, FIN, close; section 4: ids.

use super::*;
use trunkline_core::CloseReason;
use trunkline_core::mux::{Finished, LocalEnd, OpenRefusal};
use trunkline_core::smux::{PassiveClose, SecondFin};

#[test]
fn a_stream_lives_from_syn_to_fin() {
    let mut one = client(v1());
    let key = opened(&mut one);
    assert_eq!(write(&mut one, key, b"hello"), Sent::Accepted(5));
    assert_eq!(told(&mut one), ["SYN 3", "PSH 3 \"hello\""]);
    assert_eq!(one.finish(START, key), Finished::Queued);
    assert_eq!(one.finish(START, key), Finished::Already);
    assert_eq!(write(&mut one, key, b"x"), Sent::End(StreamEnd::Finished));
    assert_eq!(told(&mut one), ["FIN 3"]);
    feed(&mut one, [psh(1, 3, b"answer"), fin(1, 3)].concat());
    assert_eq!(all(&mut one, key), (b"answer".to_vec(), Some(StreamEnd::Finished)));
    assert_eq!(one.stats().streams, 0);
    one.forget(START, key);
    assert_eq!(told(&mut one), [""; 0]);
    assert_eq!(one.read(START, key, 1), Received::Unknown);
}

#[test]
fn streams_are_accepted_in_order_and_ids_begin_at_3_and_2() {
    let mut one = server(v1());
    assert_eq!(one.accept(START), None);
    feed(&mut one, [syn(1, 3), syn(1, 5), psh(1, 5, b"b")].concat());
    assert_eq!(events(&mut one), [MuxEvent::Acceptable]);
    let first = accepted(&mut one);
    let second = accepted(&mut one);
    assert_eq!(one.accept(START), None);
    assert_eq!(one.stream_stats(first).unwrap().id, 3);
    assert_eq!(all(&mut one, second).0, b"b");
    let own = opened(&mut one);
    assert_eq!(one.stream_stats(own).unwrap().id, 2);
    assert_eq!(told(&mut one), ["SYN 2"]);
    assert_eq!(one.stats().received, 2);
}

#[test]
fn writes_are_cut_into_frames_and_two_never_share_one() {
    let mut config = v1();
    config.max_frame_size = 4;
    let mut one = client(config);
    let key = opened(&mut one);
    write(&mut one, key, b"abcdef");
    write(&mut one, key, b"gh");
    one.finish(START, key);
    let frames = ["SYN 3", "PSH 3 \"abcd\"", "PSH 3 \"ef\"", "PSH 3 \"gh\"", "FIN 3"];
    assert_eq!(told(&mut one), frames);
}

#[test]
fn streams_with_data_take_turns() {
    let mut config = v1();
    config.max_frame_size = 2;
    let mut one = client(config);
    let (a, b) = (opened(&mut one), opened(&mut one));
    write(&mut one, a, b"aaaa");
    write(&mut one, b, b"bbbb");
    let frames = ["SYN 3", "SYN 5", "PSH 3 \"aa\"", "PSH 5 \"bb\"", "PSH 3 \"aa\"", "PSH 5 \"bb\""];
    assert_eq!(told(&mut one), frames);
}

#[test]
fn an_empty_write_sends_nothing_and_an_empty_read_changes_nothing() {
    let mut one = client(v1());
    let key = opened(&mut one);
    assert_eq!(write(&mut one, key, b""), Sent::Accepted(0));
    assert_eq!(told(&mut one), ["SYN 3"]);
    feed(&mut one, psh(1, 3, b"ab"));
    assert_eq!(one.read(START, key, 0), Received::Data(Bytes::new()));
    assert_eq!(one.read(START, key, 1), Received::Data(Bytes::from_static(b"a")));
    assert_eq!(one.read(START, key, 9), Received::Data(Bytes::from_static(b"b")));
    assert_eq!(one.read(START, key, 9), Received::Blocked);
    feed(&mut one, psh(1, 3, b"c"));
    assert_eq!(events(&mut one), [MuxEvent::Readable(key)]);
}

#[test]
fn a_forgotten_stream_sends_what_was_written_and_one_fin() {
    let mut one = client(v1());
    let key = opened(&mut one);
    write(&mut one, key, b"last words");
    one.forget(START, key);
    assert_eq!(told(&mut one), ["SYN 3", "PSH 3 \"last words\"", "FIN 3"]);
    feed(&mut one, [psh(1, 3, b"too late"), fin(1, 3), fin(1, 3)].concat());
    assert_eq!(one.stats().queued_in, 0);
    assert_eq!((one.stats().streams, one.closed()), (0, None));
}

#[test]
fn a_finished_stream_that_is_forgotten_sends_a_second_fin_only_where_it_is_asked_for() {
    for (second_fin, expected) in [
        (SecondFin::Never, &["SYN 3", "FIN 3"][..]),
        (SecondFin::Sent, &["SYN 3", "FIN 3", "FIN 3"]),
    ] {
        let mut config = v1();
        config.second_fin = second_fin;
        let mut one = client(config);
        let key = opened(&mut one);
        one.finish(START, key);
        let mut frames = told(&mut one);
        one.forget(START, key);
        frames.extend(told(&mut one));
        assert_eq!(frames, expected);
    }
}

#[test]
fn a_reset_stream_says_so_to_its_user_and_fin_to_the_peer() {
    let mut one = client(v1());
    let key = opened(&mut one);
    assert_eq!(told(&mut one), ["SYN 3"]);
    assert_eq!(one.read(START, key, 9), Received::Blocked);
    write(&mut one, key, b"dropped");
    one.reset(START, key);
    assert_eq!(events(&mut one), [MuxEvent::Readable(key)]);
    assert_eq!(told(&mut one), ["FIN 3"]);
    let end = StreamEnd::Local(LocalEnd::Asked);
    assert_eq!(all(&mut one, key), (Vec::new(), Some(end.clone())));
    assert_eq!(write(&mut one, key, b"x"), Sent::End(end));
    assert_eq!(one.stats().reset, 1);
}

#[test]
fn writes_behind_the_peers_fin_are_sent_unless_the_passive_close_is_strict() {
    for (passive, expected) in [
        (PassiveClose::HalfOpen, Sent::Accepted(4)),
        (PassiveClose::Strict, Sent::End(StreamEnd::Reset)),
    ] {
        let mut config = v1();
        config.passive_close = passive;
        let mut one = server(config);
        feed(&mut one, [syn(1, 3), fin(1, 3)].concat());
        let key = accepted(&mut one);
        assert_eq!(write(&mut one, key, b"late"), expected);
    }
}

#[test]
fn ids_run_out_and_are_never_given_out_twice() {
    let mut config = v1();
    config.id_base = Some(0xffff_fffb);
    let mut one = client(config);
    let (a, b) = (opened(&mut one), opened(&mut one));
    let id = |one: &Connection, key| one.stream_stats(key).unwrap().id;
    assert_eq!((id(&one, a), id(&one, b)), (0xffff_fffd, 0xffff_ffff));
    for _ in 0..2 {
        assert_eq!(one.open(START), Opened::Refused(OpenRefusal::IdsExhausted));
    }
    assert_eq!(write(&mut one, a, b"x"), Sent::Accepted(1));
    assert_eq!(told(&mut one).last().unwrap(), "PSH 4294967293 \"x\"");
}

#[test]
fn an_orderly_close_sends_what_is_queued_and_no_farewell() {
    let mut one = client(v1());
    let key = opened(&mut one);
    write(&mut one, key, b"queued");
    one.close(START);
    assert_eq!(one.open(START), Opened::Refused(OpenRefusal::Closed));
    assert_eq!(one.closed(), None);
    assert_eq!(told(&mut one), ["SYN 3", "PSH 3 \"queued\""]);
    assert_eq!(one.closed(), Some(&CloseReason::Local));
    assert_eq!(all(&mut one, key).1, Some(StreamEnd::Connection(CloseReason::Local)));
    assert_eq!(events(&mut one), [MuxEvent::Closed(CloseReason::Local)]);
}

#[test]
fn an_abort_drops_what_is_queued() {
    let mut one = client(v1());
    let key = opened(&mut one);
    write(&mut one, key, b"queued");
    one.abort(START);
    assert_eq!(told(&mut one), [""; 0]);
    assert_eq!(write(&mut one, key, b"x"), Sent::End(StreamEnd::Connection(CloseReason::Local)));
}

#[test]
fn streams_and_bytes_that_came_before_the_end_are_handed_out_after_it() {
    let mut one = server(v1());
    feed(&mut one, [syn(1, 3), psh(1, 3, b"kept"), fin(1, 3), syn(1, 5)].concat());
    one.handle_eof(START);
    let reason = CloseReason::Eof { mid_frame: false };
    assert_eq!(one.closed(), Some(&reason));
    let key = accepted(&mut one);
    assert_eq!(all(&mut one, key), (b"kept".to_vec(), Some(StreamEnd::Finished)));
    let key = accepted(&mut one);
    assert_eq!(all(&mut one, key), (Vec::new(), Some(StreamEnd::Connection(reason))));
    assert_eq!(one.accept(START), None);
}

#[test]
fn a_reserved_frame_is_the_next_one_and_only_when_nothing_waits() {
    let mut one = client(v1());
    let key = opened(&mut one);
    assert!(one.reserve(START, key, 5).is_none(), "the SYN waits");
    assert_eq!(told(&mut one), ["SYN 3"]);
    let reserved = one.reserve(START, key, 100_000).unwrap();
    assert_eq!(reserved.len, 32_768);
    assert_eq!(reserved.head.into_bytes()[..], psh(1, 3, &[0; 32_768])[..8]);
    write(&mut one, key, b"x");
    assert!(one.reserve(START, key, 5).is_none());
    assert_eq!(one.stats().bytes_out, 32_768);
}
