//! Deadlines, pings and go-aways under virtual time: `docs/protocols/yamux.md` sections 4 and 7.

use core::time::Duration;

use trunkline_core::mux::{LocalEnd, Mux as _, MuxEvent, Pinged, Side, StreamEnd};
use trunkline_core::yamux::{Config, Flags, FrameType, LifeSigns, OpenTimeout};
use trunkline_core::{CloseReason, Direction, Machine as _, TimeoutKind};

use crate::pair::{End, data, go_away, head, ping, update};

fn quiet() -> Config {
    let mut config = Config::default();
    config.keep_alive = None;
    config
}

#[test]
fn a_dead_peer_is_noticed_after_interval_and_timeout() {
    let mut client = End::client();
    client.feed([]);
    client.advance(29_999);
    assert_eq!(client.heads(), []);
    client.advance(1);
    assert_eq!(client.heads(), [head(FrameType::Ping, Flags::SYN, 0, 0)]);
    client.advance(9_999);
    assert!(!client.is_over());
    client.advance(1);
    assert_eq!(client.machine.closed(), Some(&CloseReason::Timeout(TimeoutKind::KeepAlive)));
    assert_eq!(client.sent(), b"");
}

#[test]
fn the_next_keep_alive_waits_an_interval_from_the_answer() {
    let mut client = End::client();
    client.feed([]);
    for value in 0..3 {
        client.advance(30_000);
        assert_eq!(client.heads(), [head(FrameType::Ping, Flags::SYN, 0, value)]);
        client.advance(5_000);
        client.feed(ping(Flags::ACK, value));
        client.advance(29_999);
        assert_eq!(client.heads(), []);
        client.advance(1);
        assert_eq!(client.heads(), [head(FrameType::Ping, Flags::SYN, 0, value + 1)]);
        client.feed(ping(Flags::ACK, value + 1));
        client = End::client();
        client.feed([]);
        for before in 0..=value {
            client.advance(30_000);
            client.sent();
            client.feed(ping(Flags::ACK, before));
        }
    }
}

#[test]
fn data_is_a_sign_of_life_and_in_the_original_it_is_none() {
    for (signs, lives) in [(LifeSigns::AnyInput, true), (LifeSigns::Answers, false)] {
        let mut config = Config::default();
        config.life_signs = signs;
        let mut server = End::new(Side::Server, config);
        server.feed(update(Flags::SYN, 1, 0));
        let stream = server.accept();
        for _ in 0..12 {
            server.advance(5_000);
            server.feed(data(Flags::NONE, 1, b"x"));
            server.read_all(stream);
            server.sent();
        }
        assert_eq!(!server.is_over(), lives, "{signs:?}");
    }
}

#[test]
fn a_frame_that_stands_still_ends_a_watched_session() {
    for part in [&[0, 0][..], &data(Flags::SYN, 1, b"abc")[..14]] {
        let mut config = Config::default();
        config.keep_alive = Some(Duration::from_secs(3_600));
        let mut server = End::new(Side::Server, config);
        server.feed(part);
        server.advance(59_000);
        assert!(!server.is_over());
        server.advance(2_000);
        assert_eq!(server.machine.closed(), Some(&CloseReason::Timeout(TimeoutKind::KeepAlive)));
        // Without keep-alive nobody watches.
        let mut server = End::new(Side::Server, quiet());
        server.feed(part);
        server.advance(600_000);
        assert!(!server.is_over());
    }
}

#[test]
fn an_open_that_nobody_acknowledges_ends_the_session_or_the_stream() {
    let mut client = End::new(Side::Client, quiet());
    client.open();
    client.sent();
    client.advance(74_990);
    assert!(!client.is_over());
    client.advance(20);
    assert_eq!(client.machine.closed(), Some(&CloseReason::Timeout(TimeoutKind::Open)));
    assert_eq!(client.sent(), b"", "silently");

    let mut config = quiet();
    config.open_timeout_ends = OpenTimeout::Stream;
    let mut client = End::new(Side::Client, config);
    let stream = client.open();
    client.sent();
    client.advance(75_010);
    assert_eq!(client.heads(), [head(FrameType::WindowUpdate, Flags::RST, 1, 0)]);
    assert_eq!(client.read_all(stream).1, Some(StreamEnd::Local(LocalEnd::Timeout)));
    assert!(!client.is_over());
}

#[test]
fn the_open_timer_ends_early_in_four_ways() {
    let ways: [fn(&mut End); 4] = [
        |client| client.feed(update(Flags::ACK, 1, 0)),
        |client| client.feed(update(Flags::RST, 1, 0)),
        |client| client.feed(update(Flags::FIN, 1, 0)),
        |_| {},
    ];
    for (index, way) in ways.into_iter().enumerate() {
        let mut client = End::new(Side::Client, quiet());
        let stream = client.open();
        client.sent();
        client.advance(74_000);
        way(&mut client);
        if index == 3 {
            client.finish(stream);
            client.sent();
        }
        client.advance(100_000);
        assert!(!client.is_over(), "{index}");
    }
}

#[test]
fn a_peer_that_never_ends_a_stream_is_reset_after_five_minutes() {
    let mut client = End::new(Side::Client, quiet());
    let stream = client.open();
    client.feed(update(Flags::ACK, 1, 0));
    client.finish(stream);
    client.sent();
    client.feed(data(Flags::NONE, 1, b"unread"));
    client.advance(299_990);
    assert_eq!(client.heads(), []);
    client.advance(20);
    assert_eq!(client.heads(), [head(FrameType::WindowUpdate, Flags::RST, 1, 0)]);
    assert_eq!(client.read_all(stream), (vec![], Some(StreamEnd::Local(LocalEnd::Timeout))));
    assert_eq!(client.machine.stats().streams, 0);
}

#[test]
fn times_of_zero_are_none() {
    let mut config = quiet();
    config.open_timeout = Some(Duration::ZERO);
    config.close_timeout = Some(Duration::ZERO);
    config.write_timeout = Some(Duration::ZERO);
    let mut client = End::new(Side::Client, config);
    client.open();
    let other = client.open();
    client.finish(other);
    assert!(client.machine.poll_transmit(client.now).is_some());
    assert_eq!(client.machine.poll_timeout(), None);
    client.sent();
    assert_eq!(client.machine.poll_timeout(), None);
}

#[test]
fn pings_count_from_zero_and_may_be_answered_in_any_order() {
    let mut client = End::client();
    for value in 0..3 {
        assert_eq!(client.machine.ping(client.now), Pinged::Number(value));
    }
    assert_eq!(client.heads().len(), 3);
    client.advance(40);
    client.feed([ping(Flags::ACK, 2), ping(Flags::ACK, 0), ping(Flags::ACK, 2)].concat());
    let round_trip = Duration::from_millis(40);
    let pong = |number| MuxEvent::Pong { number, round_trip };
    assert_eq!(client.events(), [pong(2), pong(0)]);
    let stats = client.machine.stats();
    assert_eq!((stats.pongs, stats.useless, stats.round_trip), (2, 1, Some(round_trip)));
    let mut waiting = 1;
    while let Pinged::Number(_) = client.machine.ping(client.now) {
        waiting += 1;
        assert!(waiting <= 64);
    }
    assert_eq!(client.machine.ping(client.now), Pinged::Blocked);
    client.machine.abort(client.now);
    assert_eq!(client.machine.ping(client.now), Pinged::Closed);
}

#[test]
fn a_go_away_with_a_code_ends_the_session_with_that_code() {
    for (code, words) in [
        (1, "yamux protocol error"),
        (2, "remote yamux internal error"),
        (3, "unexpected go away received"),
        (u32::MAX, "unexpected go away received"),
    ] {
        let mut server = End::server();
        server.feed(data(Flags::SYN, 1, b"kept"));
        let stream = server.accept();
        server.feed(go_away(code));
        let reason = CloseReason::Peer { code: i64::from(code), text: words.into() };
        assert_eq!(server.machine.closed(), Some(&reason));
        assert_eq!(server.events().last(), Some(&MuxEvent::Closed(reason.clone())));
        let end = StreamEnd::Connection(reason);
        assert_eq!(server.read_all(stream), (b"kept".to_vec(), Some(end)));
        assert_eq!(server.sent(), b"");
    }
}

#[test]
fn a_failed_write_leaves_time_to_read_what_the_peer_said() {
    let mut server = End::server();
    server.feed(data(Flags::SYN, 1, b"half"));
    let stream = server.accept();
    server.machine.handle_failure(server.now, Direction::Write, Some(32));
    assert_eq!(server.sent(), b"");
    server.feed([data(Flags::FIN, 1, b" and half"), ping(Flags::SYN, 1)].concat());
    server.machine.handle_eof(server.now);
    let reason = CloseReason::Transport { os_error: Some(32) };
    assert_eq!(server.machine.closed(), Some(&reason));
    assert_eq!(server.read_all(stream), (b"half and half".to_vec(), Some(StreamEnd::Finished)));
    // Where the end of input does not come, time ends it.
    let mut server = End::server();
    server.machine.handle_failure(server.now, Direction::Write, None);
    assert!(!server.is_over());
    server.advance(5_000);
    assert_eq!(server.machine.closed(), Some(&CloseReason::Transport { os_error: None }));
}

#[test]
fn an_orderly_close_that_cannot_drain_ends_by_time() {
    let mut client = End::client();
    let stream = client.open();
    client.write(stream, b"stuck");
    client.machine.close(client.now);
    client.advance(4_999);
    assert!(!client.is_over());
    client.advance(1);
    assert_eq!(client.machine.closed(), Some(&CloseReason::Timeout(TimeoutKind::Close)));
}
