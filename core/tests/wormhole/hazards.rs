//! The interop hazards of section 10.1, a test for each.

use trunkline_core::mux::{Mux as _, Pinged, Received, Sent, Side, StreamEnd};
use trunkline_core::wormhole::{Config, Credit, Frame, FrameType, Violation};
use trunkline_core::{CloseReason, Machine as _};

use crate::pair::{End, exchange};

fn violation(end: &End) -> Option<Violation> {
    match end.closed() {
        Some(CloseReason::Violation(trunkline_core::Violation::Wormhole(rule))) => Some(rule),
        _ => None,
    }
}

#[test]
fn hazard_1_type_numbers_are_those_of_the_releases() {
    let types = [
        (FrameType::DATA, 1),
        (FrameType::WINDOW_UPDATE, 2),
        (FrameType::PING, 3),
        (FrameType::PONG, 4),
        (FrameType::CLOSE, 5),
        (FrameType::HANDSHAKE, 6),
        (FrameType::ERROR, 7),
    ];
    assert!(types.iter().all(|(kind, number)| kind.0 == *number));
    // What the old overview calls CLOSE is a PONG that nobody asked for, and needs four bytes.
    let mut server = End::server();
    server.opened_by_peer(1);
    server.machine.handle_input(server.now, b"\x01\x04\0\0\0\x01\0\0\0\0"[..].into());
    let short = Violation::PayloadTooShort { kind: FrameType::PONG, length: 0 };
    assert_eq!(violation(&server), Some(short));
}

#[test]
fn hazard_2_an_extra_window_is_taken_from_a_peer_and_there_is_room_for_one_lent() {
    // The original on the other side, in both roles: nothing is lost, nothing ends.
    let (mut ours, mut original) = (End::client(), End::new(Side::Server, Config::reference()));
    let key = ours.open();
    exchange(&mut ours, &mut original);
    let theirs = original.accept().unwrap();
    let mut written = 0;
    while let Sent::Accepted(count) = ours.write(key, &[7; 65_536]) {
        written += count;
        exchange(&mut ours, &mut original);
    }
    assert_eq!(written, 262_144);
    // One byte read lends a whole window more, though nearly all of the first is unread.
    assert!(matches!(original.machine.read(original.now, theirs, 1), Received::Data(_)));
    exchange(&mut ours, &mut original);
    while let Sent::Accepted(count) = ours.write(key, &[7; 65_536]) {
        written += count;
        exchange(&mut ours, &mut original);
    }
    assert_eq!(written, 2 * 262_144 + 1);
    assert_eq!((ours.closed(), original.closed()), (None, None));
    assert_eq!(original.read_all(theirs).0.len(), written - 1);
    // And the other way round: the original fills what we lend, we hold what it was lent.
    let mut written = 0;
    while let Sent::Accepted(count) = original.write(theirs, &[7; 65_536]) {
        written += count;
        exchange(&mut ours, &mut original);
    }
    assert_eq!((written, ours.read_all(key).0.len()), (262_144, 262_144));
}

#[test]
fn hazard_3_default_settings_never_trip_an_original() {
    // As much as anybody lends is sent, in frames of at most 32 KiB, and 1 MiB of the original's
    // buffer is enough for it, however fast the link and however long its application sleeps.
    let (mut ours, mut original) = (End::client(), End::new(Side::Server, Config::reference()));
    let key = ours.open();
    exchange(&mut ours, &mut original);
    let theirs = original.accept().unwrap();
    for round in 0..50 {
        while let Sent::Accepted(_) = ours.write(key, &[7; 100_000]) {
            exchange(&mut ours, &mut original);
        }
        let unread = original.machine.stream_stats(theirs).unwrap().queued_in;
        assert!(unread <= 16 * 65_536, "{unread}");
        original.machine.read(original.now, theirs, 1 + round * 7_919);
        exchange(&mut ours, &mut original);
    }
    assert_eq!((ours.closed(), original.closed()), (None, None));
}

#[test]
fn hazard_4_close_is_full_and_is_not_answered() {
    let (mut client, mut server) = (End::client(), End::server());
    assert!(!client.machine.abilities().half_close);
    let ours = client.open();
    exchange(&mut client, &mut server);
    let theirs = server.accept().unwrap();
    client.finish(ours);
    exchange(&mut client, &mut server);
    assert_eq!(server.write(theirs, b"too late"), Sent::End(StreamEnd::Reset));
    server.finish(theirs);
    assert_eq!(server.sent(), []);
}

#[test]
fn hazard_5_writes_behind_a_close_fail_at_once() {
    let mut server = End::server();
    let key = server.opened_by_peer(1);
    server.feed(&Frame::close(1));
    assert_eq!(server.write(key, b"x"), Sent::End(StreamEnd::Reset));
    assert_eq!(server.sent(), []);
}

#[test]
fn hazard_6_a_lost_connection_is_no_end_of_a_stream() {
    let mut server = End::server();
    let (ended, lost) = (server.opened_by_peer(1), server.opened_by_peer(3));
    server.feed(&Frame::close(1));
    server.machine.handle_eof(server.now);
    assert_eq!(server.read(ended), Received::End(StreamEnd::Finished));
    let reason = CloseReason::Eof { mid_frame: false };
    assert_eq!(server.read(lost), Received::End(StreamEnd::Connection(reason)));
}

#[test]
fn hazard_7_input_is_wanted_however_much_output_waits() {
    let mut client = End::client();
    let key = client.open();
    while let Sent::Accepted(_) = client.write(key, &[7; 65_536]) {}
    for _ in 0..100 {
        client.feed(&Frame::data(1, vec![7; 1_000]));
        assert!(client.machine.wants_input());
    }
    client.finish(key);
    // What the peer sends while our CLOSE still waits is dropped, and the connection lives.
    client.feed(&Frame::data(1, vec![7; 1_000]));
    assert_eq!((client.closed(), client.useless()), (None, 1));
}

#[test]
fn hazard_8_data_before_its_handshake_is_kept() {
    let mut server = End::server();
    server.feed(&Frame::data(1, b"first".to_vec()));
    let key = server.opened_by_peer(1);
    assert_eq!(server.read_all(key), (b"first".to_vec(), None));
}

#[test]
fn hazard_9_an_id_stays_taken_until_both_ends_have_closed() {
    let mut server = End::server();
    let key = server.opened_by_peer(1);
    server.feed(&Frame::close(1));
    server.finish(key);
    server.opened_by_peer(1);
    server.feed(&Frame::close(1));
    server.feed(&Frame::open(1));
    assert_eq!(violation(&server), Some(Violation::StreamExists { stream: 1 }));
}

#[test]
fn hazard_10_a_ping_may_have_any_id_and_its_answer_has_none() {
    let mut server = End::server();
    let mut ping = Frame::ping(8);
    ping.stream = 9;
    server.feed(&ping);
    server.feed(&Frame::new(FrameType::PING, 0, b"\0\0\0\x09extra".to_vec()));
    assert_eq!(server.frames(), [Frame::pong(8), Frame::pong(9)]);
    assert_eq!(server.machine.ping(server.now), Pinged::Number(1));
}

#[test]
fn hazard_11_errors_and_credit_of_the_connection_mean_nothing() {
    let mut server = End::server();
    server.feed(&Frame::error(0, 1, b"everything is broken"));
    server.feed(&Frame::window_update(0, 1));
    server.feed(&Frame::new(FrameType::ERROR, 0, b"x".to_vec()));
    assert_eq!((server.closed(), server.useless()), (None, 3));
}

#[test]
fn hazard_12_an_application_that_does_not_read_stops_its_peer_and_nothing_times_out() {
    let (mut client, mut server) = (End::client(), End::server());
    let key = client.open();
    exchange(&mut client, &mut server);
    while let Sent::Accepted(_) = client.write(key, &[7; 65_536]) {
        exchange(&mut client, &mut server);
    }
    client.advance(3_600_000);
    server.advance(3_600_000);
    exchange(&mut client, &mut server);
    assert_eq!(client.write(key, b"x"), Sent::Blocked);
    assert_eq!((client.closed(), server.closed()), (None, None));
    assert_eq!(server.machine.config().credit, Credit::Exact);
    assert_eq!(server.machine.stats().queued_in, 262_144);
}

#[test]
fn hazard_13_closing_the_connection_sends_what_was_written_first() {
    let (mut client, mut server) = (End::client(), End::server());
    let key = client.open();
    for _ in 0..10 {
        client.write(key, b"0123456789");
    }
    client.finish(key);
    client.machine.close(client.now);
    exchange(&mut client, &mut server);
    assert_eq!(client.closed(), Some(CloseReason::Local));
    let key = server.accept().unwrap();
    assert_eq!(server.read_all(key), (b"0123456789".repeat(10), Some(StreamEnd::Finished)));
}
