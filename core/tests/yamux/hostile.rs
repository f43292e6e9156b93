//! A hostile peer: one test for each defence of `docs/protocols/yamux.md` section 11, and for each
//! advisory that section names.

use bytes::Bytes;
use trunkline_core::mux::{LocalEnd, Mux as _, MuxEvent, Received, Sent, Side, StreamEnd};
use trunkline_core::yamux::{Config, Flags, FrameType, INITIAL_WINDOW, Violation as Rule};
use trunkline_core::{CloseReason, Flood, Machine as _, TimeoutKind, Violation};

use crate::pair::{End, data, go_away, head, ping, update};

const NONE: Flags = Flags::NONE;

fn broken(end: &End) -> Option<Rule> {
    match end.machine.closed() {
        Some(CloseReason::Violation(Violation::Yamux(rule))) => Some(*rule),
        _ => None,
    }
}

fn flooded(end: &End) -> Option<Flood> {
    match end.machine.closed() {
        Some(CloseReason::Violation(Violation::Flood(flood))) => Some(*flood),
        _ => None,
    }
}

#[test]
fn defence_1_a_head_is_judged_before_a_byte_of_its_payload_and_nothing_is_kept_for_its_length() {
    let mut server = End::server();
    server.feed(update(Flags::SYN, 1, 0));
    server.accept();
    server.sent();
    let before = server.machine.stats().memory;
    server.feed(head(FrameType::Data, NONE, 1, INITIAL_WINDOW).to_bytes());
    assert_eq!(server.machine.stats().memory, before);
    let mut server = End::server();
    server.feed(head(FrameType::Data, Flags::SYN, 1, u32::MAX).to_bytes());
    let rule = Rule::Window { stream: 1, length: u32::MAX, left: INITIAL_WINDOW };
    assert_eq!(broken(&server), Some(rule));
    assert_eq!(server.machine.accept(server.now), None);
    assert_eq!(server.sent(), go_away(1));
    assert_eq!(server.sent(), b"");
}

#[test]
fn defence_2_credit_that_overflows_ends_the_session_on_any_frame() {
    for (before, delta) in [(0, u32::MAX), (i32::MAX as u32, 1 << 31)] {
        let mut server = End::server();
        server.feed([update(Flags::SYN, 1, 0), update(NONE, 1, before)].concat());
        assert_eq!(broken(&server), None);
        server.feed(update(NONE, 1, delta));
        assert_eq!(broken(&server), Some(Rule::Credit { stream: 1, delta }));
        assert_eq!(server.sent(), go_away(1));
    }
    let mut server = End::server();
    server.feed(update(Flags::SYN, 1, u32::MAX - INITIAL_WINDOW));
    assert_eq!(broken(&server), None);
    let stream = server.accept();
    let window = server.machine.stream_stats(stream).unwrap().send_window;
    assert_eq!(window, Some(u64::from(u32::MAX)));
}

#[test]
fn defence_3_streams_beyond_the_limits_are_reset_and_the_session_goes_on() {
    let mut config = Config::default();
    config.limits.streams = 300;
    let mut server = End::new(Side::Server, config);
    for index in 0..256 {
        server.feed(update(Flags::SYN, index * 2 + 1, 0));
    }
    assert_eq!(server.heads(), []);
    server.feed(update(Flags::SYN, 1_001, 0));
    assert_eq!(server.heads(), [head(FrameType::WindowUpdate, Flags::RST, 1_001, 0)]);
    while server.machine.accept(server.now).is_some() {}
    for index in 0..45 {
        server.feed(update(Flags::SYN, 2_001 + index * 2, 0));
    }
    let refused = server.heads().iter().filter(|head| head.flags == Flags::RST).count();
    assert_eq!((refused, server.machine.stats().streams), (1, 300));
    assert!(!server.is_over());
    // Own streams do not count among the peer's.
    server.open();
}

#[test]
fn defence_4_windows_stay_within_the_budget_and_memory_too() {
    let mut config = Config::default();
    config.limits.connection_memory = 4 << 20;
    let mut server = End::new(Side::Server, config);
    let mut most = 0;
    for index in 0..40 {
        let id = index * 2 + 1;
        server.feed(update(Flags::SYN, id, 0));
        if server.machine.accept(server.now).is_none() {
            continue;
        }
        for _ in 0..16 {
            server.feed(data(NONE, id, &[7; 16 << 10]));
            server.sent();
            most = most.max(server.machine.stats().memory);
        }
    }
    assert!(most <= (4 << 20) + (64 << 10), "{most}");
    assert!(!server.is_over(), "{:?}", server.machine.closed());
    let stats = server.machine.stats();
    assert!(stats.refused > 0 || stats.reset > 0, "{stats:?}");
}

#[test]
fn defence_4_the_longest_unread_stream_is_given_up_first() {
    let mut config = Config::default();
    config.limits.connection_memory = 300 << 10;
    let mut server = End::new(Side::Server, config);
    server.feed([update(Flags::SYN, 1, 0), update(Flags::SYN, 3, 0)].concat());
    let (long, short) = (server.accept(), server.accept());
    server.feed(data(NONE, 3, &[1; 40_000]));
    for _ in 0..16 {
        server.feed(data(NONE, 1, &[2; 16_000]));
    }
    server.feed(data(NONE, 3, &[1; 20_000]));
    assert_eq!(server.read(long, 1), Received::End(StreamEnd::Local(LocalEnd::TooMuch)));
    let resets: Vec<_> = server.heads().into_iter().filter(|h| h.flags == Flags::RST).collect();
    assert_eq!(resets, [head(FrameType::WindowUpdate, Flags::RST, 1, 0)]);
    assert_eq!(server.read_all(short).0.len(), 60_000);
    assert!(!server.is_over());
}

#[test]
fn defence_5_replies_that_nobody_takes_stop_the_reading() {
    let mut server = End::server();
    for value in 0..64 {
        assert!(server.machine.wants_input());
        server.feed(ping(Flags::SYN, value));
    }
    assert!(!server.machine.wants_input());
    let before = server.machine.stats().frames_in;
    server.feed(ping(Flags::SYN, 64));
    assert_eq!(server.machine.stats().frames_in, before, "it is kept and not looked at");
    server.advance(10_000);
    assert_eq!(server.machine.closed(), Some(&CloseReason::Timeout(TimeoutKind::Write)));
}

#[test]
fn defence_5_updates_of_a_stream_are_merged_while_they_wait() {
    let mut server = End::server();
    server.feed(update(Flags::SYN, 1, 0));
    let stream = server.accept();
    for _ in 0..8 {
        server.feed(data(NONE, 1, &vec![1; 200_000]));
        server.read_all(stream);
    }
    let updates: Vec<_> =
        server.heads().into_iter().filter(|head| head.kind == FrameType::WindowUpdate).collect();
    assert_eq!(updates, [head(FrameType::WindowUpdate, Flags::ACK, 1, 1_600_000)]);
}

#[test]
fn defence_6_pings_beyond_their_budget_end_the_session() {
    let mut server = End::server();
    for value in 0..2_000 {
        server.feed(ping(Flags::SYN, value));
        server.sent();
    }
    assert!(!server.is_over());
    server.feed(ping(Flags::SYN, 2_000));
    assert_eq!(flooded(&server), Some(Flood::Pings));
    let heads = server.heads();
    assert_eq!(heads.last(), Some(&head(FrameType::GoAway, NONE, 0, 2)));
}

#[test]
fn defence_6_frames_without_effect_beyond_their_budget_end_the_session() {
    let useless: [fn() -> Vec<u8>; 6] = [
        || data(NONE, 1, b""),
        || update(NONE, 1, 0),
        || update(Flags::ACK, 1, 0),
        || ping(Flags::ACK, 9),
        || ping(NONE, 9),
        || data(NONE, 77, b"x"),
    ];
    for (index, frame) in useless.into_iter().enumerate() {
        let mut server = End::server();
        server.feed(update(Flags::SYN, 1, 0));
        server.accept();
        server.feed(frame().repeat(2_000));
        assert!(!server.is_over(), "{index}");
        server.feed(frame().repeat(10));
        assert_eq!(flooded(&server), Some(Flood::Useless), "{index}");
        // At the rate that is allowed they may come for ever.
        let mut server = End::server();
        server.feed(update(Flags::SYN, 1, 0));
        server.accept();
        for _ in 0..2_500 {
            server.feed(frame());
            server.sent();
            server.now = server.now + core::time::Duration::from_millis(10);
        }
        assert!(!server.is_over(), "{index}");
    }
}

#[test]
fn defence_6_streams_that_are_reset_before_accept_have_a_budget() {
    let mut server = End::server();
    for index in 0..2_000_u32 {
        let id = index * 2 + 1;
        server.feed([update(Flags::SYN, id, 0), update(Flags::RST, id, 0)].concat());
        assert!(!server.is_over(), "{index}");
    }
    assert_eq!(server.machine.accept(server.now), None);
    server.feed([update(Flags::SYN, 5_001, 0), update(Flags::RST, 5_001, 0)].concat());
    assert_eq!(flooded(&server), Some(Flood::Resets));
}

#[test]
fn defence_6_refused_opens_have_a_budget() {
    let mut config = Config::default();
    config.limits.backlog = 1;
    let mut server = End::new(Side::Server, config);
    server.feed(update(Flags::SYN, 1, 0));
    for index in 1..=2_000_u32 {
        server.feed(update(Flags::SYN, index * 2 + 1, 0));
        server.sent();
        assert!(!server.is_over(), "{index}");
    }
    server.feed(update(Flags::SYN, 9_001, 0));
    assert_eq!(flooded(&server), Some(Flood::RefusedOpens));
}

#[test]
fn defence_6_streams_that_are_used_in_order_cost_nothing() {
    let mut server = End::server();
    for index in 0..3_000_u32 {
        let id = index * 2 + 1;
        server.feed([data(Flags::SYN, id, b"x"), update(Flags::FIN, id, 0)].concat());
        let stream = server.accept();
        server.read_all(stream);
        server.machine.forget(server.now, stream);
        server.sent();
        // What the original may still send for a stream that is gone.
        server.feed([update(NONE, id, 5), update(Flags::ACK, id, 0)].concat());
        assert!(!server.is_over(), "{index}: {:?}", server.machine.closed());
    }
    assert_eq!(server.machine.stats().streams, 0);
}

#[test]
fn defence_6_data_that_was_under_way_when_its_stream_was_reset_costs_nothing() {
    let mut server = End::server();
    for index in 0..12_u32 {
        let id = index * 2 + 1;
        server.feed(update(Flags::SYN, id, 0));
        let stream = server.accept();
        server.machine.reset(server.now, stream);
        server.sent();
        for _ in 0..256 {
            server.feed(data(NONE, id, &[1; 1_024]));
        }
        assert!(!server.is_over(), "{index}: {:?}", server.machine.closed());
    }
}

#[test]
fn defence_7_payload_that_no_window_could_hold_is_not_skipped() {
    let mut server = End::server();
    server.feed(head(FrameType::Data, NONE, 9, INITIAL_WINDOW + 1).to_bytes());
    let length = INITIAL_WINDOW + 1;
    assert_eq!(broken(&server), Some(Rule::UnknownPayload { stream: 9, length }));
    assert_eq!(server.sent(), go_away(1));
}

#[test]
fn defence_8_tiny_credits_make_no_tiny_frames() {
    let mut client = End::client();
    let stream = client.open();
    let mut bytes = Bytes::from(vec![7; 300_000]);
    while matches!(client.machine.write(client.now, stream, &mut bytes), Sent::Accepted(_)) {
        client.sent();
    }
    // What was left of the first window waits for more too, but not for ever.
    client.advance(25);
    while matches!(client.machine.write(client.now, stream, &mut bytes), Sent::Accepted(_)) {
        client.sent();
    }
    client.events();
    let mut frames = 0;
    let start = client.now;
    for _ in 0..1_000 {
        client.feed(update(NONE, 1, 1));
        if client.events().contains(&MuxEvent::Writable(stream)) {
            client.machine.write(client.now, stream, &mut bytes);
        }
        frames += client.heads().iter().filter(|head| head.kind == FrameType::Data).count();
        client.advance(1);
    }
    let most = client.now.saturating_since(start).as_millis() / 20 + 1;
    assert!(frames >= 1 && frames as u128 <= most, "{frames}");
    // Credit for all that is left goes out at once.
    let rest = bytes.len();
    client.feed(update(NONE, 1, u32::try_from(rest).unwrap()));
    let sent = client.machine.write(client.now, stream, &mut bytes);
    assert_eq!(sent, Sent::Accepted(rest));
}

#[test]
fn defence_8_a_short_write_needs_no_more_credit_than_it_has_bytes() {
    let mut client = End::client();
    let stream = client.open();
    let mut bytes = Bytes::from(vec![7; INITIAL_WINDOW as usize]);
    while matches!(client.machine.write(client.now, stream, &mut bytes), Sent::Accepted(1..)) {
        client.sent();
    }
    assert!(bytes.is_empty());
    assert_eq!(client.write(stream, b"0123456789"), Sent::Blocked);
    client.feed(update(NONE, 1, 10));
    assert_eq!(client.write(stream, b"0123456789"), Sent::Accepted(10));
}

#[test]
fn defence_9_unsent_bytes_are_bounded_and_no_progress_ends_the_session() {
    let mut client = End::client();
    let mut queued = 0;
    for _ in 0..100 {
        let stream = client.open();
        if let Sent::Accepted(count) = client.write(stream, &vec![1; 200_000]) {
            queued += count;
        }
    }
    assert!(queued <= 256 << 10, "{queued}");
    assert_eq!(client.machine.stats().queued_out, queued);
    client.advance(10_000);
    assert_eq!(client.machine.closed(), Some(&CloseReason::Timeout(TimeoutKind::Write)));
}

#[test]
fn defence_11_no_bytes_make_it_panic_wherever_they_are_cut() {
    let mut random = 1_u32;
    let mut next = move || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        random >> 16
    };
    for round in 0..500 {
        let side = if round % 2 == 0 { Side::Server } else { Side::Client };
        let mut end = End::new(side, Config::default());
        end.open();
        for _ in 0..30 {
            let kind =
                [FrameType::Data, FrameType::WindowUpdate, FrameType::Ping, FrameType::GoAway]
                    [(next() % 4).min(2 + (next() % 20) / 19) as usize];
            let length = [0, 1, 3, 100, 262_144, u32::MAX][(next() % 6) as usize];
            let mut bytes = head(kind, Flags((next() % 16) as u16), next() % 8, length).to_bytes();
            if next() % 50 == 0 {
                bytes[(next() % 12) as usize] = next() as u8;
            }
            let cut = (next() % 13) as usize;
            end.feed(&bytes[..cut]);
            end.feed(&bytes[cut..]);
            if kind == FrameType::Data && length <= 100 {
                end.feed(vec![1; length as usize]);
            }
            while let Some(stream) = end.machine.accept(end.now) {
                end.read_all(stream);
            }
            end.sent();
            end.events();
        }
    }
}

#[test]
fn defence_12_nothing_happens_after_the_end_and_every_waiter_is_told_once() {
    let mut server = End::server();
    server.feed(update(Flags::SYN, 1, 0));
    let stream = server.accept();
    assert_eq!(server.read(stream, 1), Received::Blocked);
    assert_eq!(server.machine.accept(server.now), None);
    server.sent();
    server.feed([update(Flags::SYN, 1, 0), update(Flags::SYN, 3, 0)].concat());
    assert_eq!(broken(&server), Some(Rule::DuplicateStream(1)));
    let reason = server.machine.closed().unwrap().clone();
    assert_eq!(
        server.events(),
        [MuxEvent::Readable(stream), MuxEvent::Acceptable, MuxEvent::Closed(reason.clone())]
    );
    server.feed(update(Flags::SYN, 5, 0));
    server.machine.handle_eof(server.now);
    server.advance(100_000);
    assert_eq!(server.events(), []);
    assert_eq!(server.machine.accept(server.now), None);
    assert_eq!(server.read(stream, 1), Received::End(StreamEnd::Connection(reason)));
    assert_eq!((server.sent(), server.machine.poll_timeout()), (go_away(1), None));
}

// The advisories.

#[test]
fn cve_2024_32984_pings_of_a_peer_that_does_not_read_take_no_memory() {
    let mut server = End::server();
    let before = server.machine.stats().memory;
    let mut fed = 0;
    while server.machine.wants_input() {
        server.feed(ping(Flags::SYN, fed));
        fed += 1;
        assert!(fed <= 64);
    }
    assert_eq!(server.machine.stats().memory, before);
}

#[test]
fn cve_2026_31814_an_update_beyond_the_largest_window_ends_the_session() {
    let mut client = End::client();
    client.open();
    client.sent();
    client.feed(update(NONE, 1, u32::MAX));
    assert_eq!(broken(&client), Some(Rule::Credit { stream: 1, delta: u32::MAX }));
}

#[test]
fn cve_2026_32314_a_first_frame_beyond_the_window_opens_nothing() {
    let mut server = End::server();
    server.feed(data(Flags::SYN, 1, &vec![0; 262_145]));
    assert!(matches!(broken(&server), Some(Rule::Window { length: 262_145, .. })));
    assert_eq!((server.machine.stats().received, server.machine.stats().streams), (0, 0));
}

#[test]
fn ghsa_29qp_crvh_w22m_a_write_timeout_leaves_nothing_half_alive() {
    let mut client = End::client();
    let stream = client.open();
    client.sent();
    assert_eq!(client.read(stream, 1), Received::Blocked);
    client.write(stream, b"x");
    client.advance(10_000);
    let reason = CloseReason::Timeout(TimeoutKind::Write);
    assert!(client.events().contains(&MuxEvent::Closed(reason.clone())));
    assert_eq!(client.read(stream, 1), Received::End(StreamEnd::Connection(reason)));
    assert!(!client.machine.wants_input());
}

#[test]
fn cve_2022_23492_and_23486_streams_nobody_accepts_are_bounded_in_number_and_memory() {
    let mut server = End::server();
    let mut most = 0;
    for index in 0..320_u32 {
        server.feed(data(Flags::SYN, index * 2 + 1, &vec![7; 262_144]));
        server.sent();
        let stats = server.machine.stats();
        most = most.max(stats.memory);
        assert!(stats.waiting <= 256 && stats.streams <= 1_024);
    }
    assert!(most <= (64 << 20) + (1 << 20), "{most}");
}
