//! The hostile peers of section 10.2, a test for each row.

use trunkline_core::mux::{Mux as _, MuxEvent, Sent, Side};
use trunkline_core::wormhole::{Config, Frame, FrameType, RemoteError, Violation};
use trunkline_core::{CloseReason, Flood, Machine as _, TimeoutKind};

use crate::pair::{End, quiet};

fn flood(end: &End) -> Option<Flood> {
    match end.closed() {
        Some(CloseReason::Violation(trunkline_core::Violation::Flood(flood))) => Some(flood),
        _ => None,
    }
}

#[test]
fn more_data_than_granted_ends_the_stream_and_not_the_connection() {
    let mut server = End::server();
    server.opened_by_peer(1);
    let other = server.opened_by_peer(3);
    for _ in 0..64 {
        server.feed(&Frame::data(1, vec![7; 32_768]));
    }
    // Large frames make it measure the round trip too.
    assert_eq!(server.sent(), [(FrameType::PING, 0), (FrameType::ERROR, 1)]);
    server.feed(&Frame::data(3, b"fine".to_vec()));
    assert_eq!(server.read_all(other), (b"fine".to_vec(), None));
}

#[test]
fn more_data_than_granted_on_all_streams_stays_within_the_connections_memory() {
    let mut config = quiet();
    config.limits.connection_memory = 4 << 20;
    let mut server = End::new(Side::Server, config);
    let mut failed = 0;
    for id in 0..100 {
        server.feed(&Frame::open(2 * id + 1));
        for _ in 0..8 {
            server.feed(&Frame::data(2 * id + 1, vec![7; 32_768]));
            assert!(server.machine.stats().memory <= 4 << 20);
        }
        failed += server.frames().iter().filter(|f| f.kind == FrameType::ERROR).count();
    }
    assert!(failed > 50, "{failed} failed");
    assert_eq!(server.closed(), None);
}

#[test]
fn a_flood_of_streams_is_refused_beyond_the_limit_and_allocates_nothing_for_data() {
    let mut config = quiet();
    config.limits.streams = 100;
    let mut server = End::new(Side::Server, config);
    for id in 0..100 {
        server.opened_by_peer(2 * id + 1);
    }
    assert!(server.machine.stats().memory < 100 * 400, "{}", server.machine.stats().memory);
    server.feed(&Frame::open(1_001));
    let error = server.frames()[0].remote_error().unwrap();
    assert_eq!(error, RemoteError { code: 503, message: "accept queue full".into() });
    for id in 0..2_000 {
        server.feed(&Frame::open(2_001 + 2 * id));
        server.frames();
    }
    assert_eq!(flood(&server), Some(Flood::RefusedOpens));
}

#[test]
fn opening_and_closing_in_turns_fills_the_backlog_and_is_metered() {
    let mut server = End::server();
    for id in 0..256 {
        server.feed(&Frame::open(2 * id + 1));
        server.feed(&Frame::close(2 * id + 1));
    }
    assert_eq!(server.machine.stats().waiting, 256);
    server.feed(&Frame::open(1_001));
    assert_eq!(server.sent(), [(FrameType::ERROR, 1_001)]);
    // Even where somebody accepts them as fast as they come.
    let mut server = End::server();
    for id in 0..2_000 {
        server.feed(&Frame::open(2 * id + 1));
        server.feed(&Frame::close(2 * id + 1));
        if let Some(key) = server.accept() {
            server.machine.forget(server.now, key);
        }
    }
    assert_eq!(flood(&server), Some(Flood::Resets));
}

#[test]
fn a_flood_of_pings_without_reading_stops_the_reading() {
    let mut server = End::server();
    let pings: Vec<u8> =
        (0..500).flat_map(|n| Frame::ping(n).encode().unwrap().into_bytes()).collect();
    server.machine.handle_input(server.now, pings.into());
    assert!(!server.machine.wants_input());
    assert_eq!(server.machine.stats().frames_in, 64);
    // They are answered, all of them and in order, as soon as the peer reads again.
    let answers: Vec<u32> = server.frames().iter().map(|frame| frame.pong_id().unwrap()).collect();
    assert_eq!(answers, (0..500).collect::<Vec<u32>>());
    assert!(server.machine.wants_input());
}

#[test]
fn a_flood_of_pings_ends_the_connection() {
    let mut server = End::server();
    for number in 0..2_000 {
        server.feed(&Frame::ping(number));
        server.frames();
    }
    assert_eq!(flood(&server), Some(Flood::Pings));
}

#[test]
fn a_flood_of_handshakes_without_reading_stops_the_reading_and_the_keep_alive_goes_on() {
    let mut config = Config::default();
    config.limits.backlog = 0;
    let mut server = End::new(Side::Server, config);
    assert_eq!(server.sent(), []);
    let opens: Vec<u8> =
        (0..500).flat_map(|n| Frame::open(2 * n + 1).encode().unwrap().into_bytes()).collect();
    server.machine.handle_input(server.now, opens.into());
    assert!(!server.machine.wants_input());
    assert_eq!(server.machine.stats().refused, 64);
    server.advance(40_000);
    assert_eq!(server.closed(), Some(CloseReason::Timeout(TimeoutKind::KeepAlive)));
}

#[test]
fn frames_without_effect_are_counted_and_too_many_end_the_connection() {
    for frame in [
        Frame::data(1, vec![]),
        Frame::window_update(1, 0),
        Frame::window_update(99, 1),
        Frame::data(98, vec![7]),
        Frame::close(98),
        Frame::pong(7),
        Frame::error(99, 1, b"x"),
        Frame::new(FrameType::WINDOW_UPDATE, 0, vec![]),
    ] {
        let mut server = End::server();
        server.opened_by_peer(1);
        for _ in 0..1_000 {
            server.feed(&frame);
        }
        assert_eq!((server.useless(), server.closed()), (1_000, None), "{frame}");
        server.feed(&frame);
        assert_eq!(flood(&server), Some(Flood::Useless), "{frame}");
    }
}

#[test]
fn frames_that_were_under_way_when_a_stream_ended_are_not_held_against_a_peer() {
    let mut server = End::server();
    // A peer that answers each of many short streams in small frames, and closes late.
    for id in 0..3_000 {
        let key = server.opened_by_peer(2 * id + 1);
        server.feed(&Frame::data(2 * id + 1, b"q".to_vec()));
        server.read_all(key);
        server.finish(key);
        server.machine.forget(server.now, key);
        server.frames();
        for _ in 0..5 {
            server.feed(&Frame::data(2 * id + 1, b"late".to_vec()));
        }
        server.feed(&Frame::window_update(2 * id + 1, 262_145));
        server.feed(&Frame::close(2 * id + 1));
    }
    assert_eq!((server.closed(), server.useless()), (None, 21_000));
}

#[test]
fn unbounded_increments_make_no_memory_and_wrap_nothing() {
    let mut client = End::client();
    let key = client.open();
    client.frames();
    let mut queued = 0;
    for _ in 0..10_000 {
        client.feed(&Frame::window_update(1, u32::MAX));
        if let Sent::Accepted(count) = client.write(key, &[7; 4_096]) {
            queued += count;
        }
    }
    assert!(queued <= client.machine.config().limits.send_queue);
    assert_eq!(client.closed(), None);
}

#[test]
fn a_huge_length_reserves_nothing_and_is_refused_from_the_head() {
    let mut server = End::server();
    server.opened_by_peer(1);
    let before = server.machine.stats().memory;
    server.machine.handle_input(server.now, b"\x01\x01\0\0\0\x01\0\0\x80\0"[..].into());
    assert_eq!(server.machine.stats().memory, before);
    let mut server = End::server();
    server.machine.handle_input(server.now, b"\x01\x01\0\0\0\x01\0\0\x80\x01"[..].into());
    let too_large = Violation::PayloadTooLarge { length: 32_769, limit: 32_768 };
    let violation = trunkline_core::Violation::Wormhole(too_large);
    assert_eq!(server.closed(), Some(CloseReason::Violation(violation)));
    assert_eq!(server.sent(), [], "nothing is said about it");
}

#[test]
fn half_a_frame_and_then_silence_is_ended_by_the_keep_alive() {
    let mut server = End::new(Side::Server, Config::default());
    server.machine.handle_input(server.now, b"\x01\x01\0\0"[..].into());
    server.advance(39_999);
    assert_eq!(server.closed(), None);
    server.advance(1);
    assert_eq!(server.closed(), Some(CloseReason::Timeout(TimeoutKind::KeepAlive)));
}

#[test]
fn invented_pongs_do_not_keep_a_dead_peer_alive() {
    let mut server = End::new(Side::Server, Config::default());
    assert_eq!(server.sent(), []);
    for number in 0..900 {
        server.feed(&Frame::pong(number));
    }
    server.advance(30_000);
    assert_eq!(server.frames(), [Frame::ping(1)]);
    server.feed(&Frame::pong(2));
    server.advance(10_000);
    assert_eq!(server.closed(), Some(CloseReason::Timeout(TimeoutKind::KeepAlive)));
}

#[test]
fn a_handshake_with_an_id_of_ours_or_none_ends_the_connection() {
    for (side, id) in [(Side::Server, 2), (Side::Server, 0), (Side::Client, 1), (Side::Client, 0)] {
        let mut end = End::new(side, quiet());
        end.feed(&Frame::open(id));
        let violation =
            trunkline_core::Violation::Wormhole(Violation::InvalidStreamId { stream: id });
        assert_eq!(end.closed(), Some(CloseReason::Violation(violation)));
        assert_eq!(end.machine.stats().received, 0);
    }
}

#[test]
fn of_a_long_message_one_kibibyte_is_kept() {
    let mut client = End::client();
    let key = client.open();
    client.feed(&Frame::error(1, 7, &[b'e'; 32_764]));
    let end = client.machine.read_end(key).unwrap();
    assert_eq!(RemoteError::of(&end).unwrap().message, vec![b'e'; 1_024]);
    client.feed(&Frame::ping(1));
    assert_eq!(client.frames().last(), Some(&Frame::pong(1)), "the rest was skipped");
}

#[test]
fn a_peer_that_reads_nothing_blocks_writers_and_is_ended_by_the_keep_alive() {
    let mut client = End::new(Side::Client, Config::default());
    let (key, other) = (client.open(), client.open());
    let mut queued = 0;
    for key in [key, other] {
        while let Sent::Accepted(count) = client.write(key, &[7; 65_536]) {
            queued += count;
        }
    }
    assert!(queued <= client.machine.config().limits.send_queue);
    assert_eq!(client.write(other, b"x"), Sent::Blocked);
    assert!(client.machine.wants_input());
    client.advance(40_000);
    let reason = CloseReason::Timeout(TimeoutKind::KeepAlive);
    assert_eq!(client.closed(), Some(reason.clone()));
    assert!(client.events().contains(&MuxEvent::Closed(reason)));
}
