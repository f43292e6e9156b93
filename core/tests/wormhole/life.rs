//! Sections 7 and 8: keep-alive, and the end of a connection.

use core::time::Duration;

use trunkline_core::mux::{Mux as _, MuxEvent, OpenRefusal, Opened, Pinged, Sent, Side, StreamEnd};
use trunkline_core::wormhole::{Closing, Config, ErrorKind, Frame, FrameType};
use trunkline_core::{CloseReason, Direction, Machine as _, TimeoutKind};

use crate::pair::{End, exchange, quiet};

fn keep_alive(interval: u64, timeout: u64) -> Config {
    let mut config = Config::default();
    config.keep_alive_interval = Duration::from_millis(interval);
    config.keep_alive_timeout = Duration::from_millis(timeout);
    config
}

/// A client whose clock runs.
fn client(config: Config) -> End {
    let mut client = End::new(Side::Client, config);
    assert_eq!(client.sent(), []);
    client
}

#[test]
fn a_dead_peer_is_noticed_after_interval_and_timeout() {
    let mut client = client(keep_alive(400, 300));
    client.advance(399);
    assert_eq!(client.sent(), []);
    client.advance(1);
    assert_eq!(client.frames(), [Frame::ping(1)]);
    client.advance(299);
    assert_eq!(client.closed(), None);
    client.advance(1);
    let reason = CloseReason::Timeout(TimeoutKind::KeepAlive);
    assert_eq!(ErrorKind::of_close(&reason), ErrorKind::KeepAliveTimeout);
    assert_eq!(client.closed(), Some(reason));
}

#[test]
fn a_peer_that_answers_lives_on_and_its_round_trip_is_known() {
    let mut client = client(keep_alive(400, 300));
    for number in 1..=5 {
        client.advance(400 - u64::from(number > 1) * 30);
        assert_eq!(client.frames(), [Frame::ping(number)]);
        client.advance(30);
        client.feed(&Frame::pong(number));
    }
    let stats = client.machine.stats();
    assert_eq!((stats.pongs, stats.round_trip), (5, Some(Duration::from_millis(30))));
    assert_eq!(client.closed(), None);
}

#[test]
fn only_an_answer_is_a_sign_of_life() {
    let mut client = client(keep_alive(400, 300));
    client.open();
    client.advance(400);
    client.frames();
    for frame in [Frame::data(1, b"x".to_vec()), Frame::pong(2), Frame::ping(1)] {
        client.feed(&frame);
    }
    client.advance(300);
    assert_eq!(client.closed(), Some(CloseReason::Timeout(TimeoutKind::KeepAlive)));
}

#[test]
fn the_keep_alive_does_not_wait_for_the_transport() {
    let mut client = client(keep_alive(400, 300));
    // Nothing is taken from the machine: the PING never leaves.
    client.advance(700);
    assert_eq!(client.closed(), Some(CloseReason::Timeout(TimeoutKind::KeepAlive)));
}

#[test]
fn without_a_timeout_answers_are_not_awaited_and_without_an_interval_nothing_is_asked() {
    let mut asks = client(keep_alive(400, 0));
    asks.advance(4_000);
    assert_eq!(asks.frames(), [Frame::ping(1)], "one at a time waits to be sent");
    asks.advance(400);
    assert_eq!((asks.frames(), asks.closed()), (vec![Frame::ping(2)], None));
    let mut silent = client(keep_alive(0, 300));
    silent.advance(1_000_000);
    assert_eq!((silent.sent(), silent.closed()), (vec![], None));
}

#[test]
fn a_user_can_ask_too_and_is_told_the_answer() {
    let (mut client, mut server) = (End::client(), End::server());
    assert_eq!(client.machine.ping(client.now), Pinged::Number(1));
    exchange(&mut client, &mut server);
    let events = client.events();
    assert_eq!(events, [MuxEvent::Pong { number: 1, round_trip: Duration::ZERO }]);
}

#[test]
fn closing_sends_what_is_queued_and_nothing_else() {
    let mut client = End::client();
    let key = client.open();
    client.write(key, b"last");
    client.finish(key);
    client.machine.close(client.now);
    assert_eq!(client.machine.open(client.now), Opened::Refused(OpenRefusal::Closed));
    assert_eq!(client.closed(), None);
    let expected = [(FrameType::HANDSHAKE, 1), (FrameType::DATA, 1), (FrameType::CLOSE, 1)];
    assert_eq!(client.sent(), expected);
    assert_eq!(client.closed(), Some(CloseReason::Local));
    assert_eq!(client.events(), [MuxEvent::Closed(CloseReason::Local)]);
}

#[test]
fn closing_with_nothing_queued_ends_at_once() {
    let mut client = End::client();
    client.machine.close(client.now);
    assert_eq!((client.closed(), client.sent()), (Some(CloseReason::Local), vec![]));
}

#[test]
fn closing_ends_within_its_bound() {
    let mut client = End::client();
    let key = client.open();
    client.write(key, b"never taken");
    client.machine.close(client.now);
    client.advance(4_999);
    assert_eq!(client.closed(), None);
    client.advance(1);
    assert_eq!(client.closed(), Some(CloseReason::Timeout(TimeoutKind::Close)));
    assert_eq!(client.sent(), []);
}

#[test]
fn aborting_drops_what_is_queued_and_so_does_the_originals_close() {
    let mut abort = End::client();
    let key = abort.open();
    abort.write(key, b"x");
    abort.machine.abort(abort.now);
    assert_eq!((abort.closed(), abort.sent()), (Some(CloseReason::Local), vec![]));
    let mut config = quiet();
    config.closing = Closing::Discard;
    let mut original = End::new(Side::Client, config);
    original.open();
    original.machine.close(original.now);
    assert_eq!((original.closed(), original.sent()), (Some(CloseReason::Local), vec![]));
}

#[test]
fn whoever_waits_when_the_connection_ends_is_told() {
    let mut client = End::client();
    let key = client.open();
    client.frames();
    assert_eq!(client.accept(), None);
    client.read(key);
    while client.write(key, &[7; 65_536]) != Sent::Blocked {
        client.frames();
    }
    client.machine.handle_eof(client.now);
    let reason = CloseReason::Eof { mid_frame: false };
    let expected = [
        MuxEvent::Readable(key),
        MuxEvent::Writable(key),
        MuxEvent::Acceptable,
        MuxEvent::Closed(reason.clone()),
    ];
    assert_eq!(client.events(), expected);
    assert_eq!(client.machine.read_end(key), Some(StreamEnd::Connection(reason)));
}

#[test]
fn an_end_inside_a_frame_is_told_from_one_between_frames() {
    for (bytes, mid_frame) in [
        (&b""[..], false),
        (b"\x01", true),
        (b"\x01\x05\0\0\0\x01\0\0\0\0", false),
        (b"\x01\x05\0\0\0\x01\0\0\0\x01", true),
        (b"\x01\x03\0\0\0\0\0\0\0\x04\0\0\0", true),
        (b"\x01\x01\0\0\0\x09\0\0\0\x02x", true),
    ] {
        let mut server = End::server();
        server.machine.handle_input(server.now, bytes.into());
        server.machine.handle_eof(server.now);
        assert_eq!(server.closed(), Some(CloseReason::Eof { mid_frame }), "{bytes:?}");
    }
}

#[test]
fn behind_a_failed_write_what_the_peer_sent_is_still_taken_in() {
    let mut server = End::server();
    let key = server.opened_by_peer(1);
    server.machine.handle_failure(server.now, Direction::Write, Some(32));
    let reason = CloseReason::Transport { os_error: Some(32) };
    assert_eq!(server.write(key, b"x"), Sent::End(StreamEnd::Connection(reason.clone())));
    server.feed(&Frame::data(1, b"last words".to_vec()));
    server.feed(&Frame::close(1));
    assert_eq!(server.read_all(key), (b"last words".to_vec(), Some(StreamEnd::Finished)));
    assert_eq!(server.closed(), None);
    server.machine.handle_eof(server.now);
    assert_eq!(server.closed(), Some(reason.clone()));
    let mut hanging = End::server();
    hanging.machine.handle_failure(hanging.now, Direction::Write, Some(32));
    hanging.advance(5_000);
    assert_eq!(hanging.closed(), Some(reason));
}

#[test]
fn going_away_refuses_further_streams_and_lets_others_live() {
    let mut server = End::server();
    let key = server.opened_by_peer(1);
    server.machine.go_away(server.now);
    assert_eq!(server.sent(), [], "the wire has no word for it");
    server.feed(&Frame::open(3));
    assert_eq!(server.sent(), [(FrameType::ERROR, 3)]);
    server.feed(&Frame::data(1, b"x".to_vec()));
    assert_eq!(server.read_all(key), (b"x".to_vec(), None));
}
