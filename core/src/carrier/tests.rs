//! The carrier's rules, one by one.

use alloc::vec::Vec;
use core::time::Duration;
use std::vec;

use super::*;
use crate::mux::{Mux, MuxEvent, Opened, Received as Read, Sent, Side, StreamEnd};
use crate::{Machine, Segment, yamux};

const START: Instant = Instant::from_millis(1_000);

fn after(millis: u64) -> Instant {
    START + Duration::from_millis(millis)
}

fn binary(bytes: &'static [u8]) -> Message {
    Message::Binary(Bytes::from_static(bytes))
}

fn close(code: u16) -> Message {
    Message::Close(Some(CloseFrame { code, reason: String::new() }))
}

fn refusal(violation: Violation) -> CloseReason {
    CloseReason::Violation(crate::Violation::Carrier(violation))
}

#[test]
fn data_is_handed_on_and_empty_messages_are_skipped() {
    let mut carrier = Carrier::new(Config::default());
    let got = carrier.handle_message(START, binary(b"abc"));
    assert_eq!(got, Received::Bytes(Bytes::from_static(b"abc")));
    assert_eq!(carrier.handle_message(START, binary(b"")), Received::Nothing);
    assert_eq!(carrier.poll_control(START), None);
}

#[test]
fn text_is_refused_with_1003_and_is_bytes_for_the_original() {
    let text = Message::Text(Bytes::from_static(b"abc"));
    let mut carrier = Carrier::new(Config::default());
    let got = carrier.handle_message(START, text.clone());
    assert_eq!(got, Received::Refused(Violation::Text, 1003));
    assert_eq!(carrier.closed(), Some(&refusal(Violation::Text)));
    let Some(Message::Close(Some(frame))) = carrier.poll_control(START) else { panic!() };
    assert_eq!(frame.code, 1003);
    assert_eq!(carrier.handle_message(START, binary(b"late")), Received::Nothing);

    let mut carrier = Carrier::new(Config::reference(Side::Server));
    let got = carrier.handle_message(START, text);
    assert_eq!(got, Received::Bytes(Bytes::from_static(b"abc")));
}

#[test]
fn a_message_beyond_the_limit_is_refused_with_1009() {
    let config = Config { max_message: 4, ..Config::default() };
    let mut carrier = Carrier::new(config);
    assert!(matches!(carrier.handle_message(START, binary(b"1234")), Received::Bytes(_)));
    let rule = Violation::TooLarge { length: 5, limit: 4 };
    let got = carrier.handle_message(START, binary(b"12345"));
    assert_eq!(got, Received::Refused(rule, 1009));
    assert_eq!(carrier.closed(), Some(&refusal(rule)));
}

#[test]
fn a_whole_window_fits_into_one_message() {
    let mut carrier = Carrier::new(Config::default());
    let window = Message::Binary(Bytes::from(vec![0; (4 << 20) + 12]));
    assert!(matches!(carrier.handle_message(START, window), Received::Bytes(_)));
}

#[test]
fn pings_are_answered_the_last_of_several_only() {
    let mut carrier = Carrier::new(Config::default());
    for payload in [&b"a"[..], b"b", b"c"] {
        let ping = Message::Ping(Bytes::copy_from_slice(payload));
        assert_eq!(carrier.handle_message(START, ping), Received::Nothing);
    }
    assert!(carrier.wants_output());
    assert_eq!(carrier.poll_control(START), Some(Message::Pong(Bytes::from_static(b"c"))));
    assert_eq!(carrier.poll_control(START), None);

    let mut silent = Carrier::new(Config { answers_pings: false, ..Config::default() });
    silent.handle_message(START, Message::Ping(Bytes::new()));
    silent.handle_message(START, close(1000));
    assert_eq!(silent.poll_control(START), None);
}

#[test]
fn pings_count_from_one_and_a_missing_pong_ends_the_tunnel() {
    let mut carrier = Carrier::new(Config::reference(Side::Server));
    assert_eq!(carrier.poll_control(START), None);
    assert_eq!(carrier.poll_timeout(), Some(after(20_000)));
    for (at, payload) in [(20_000, "1"), (40_000, "2")] {
        let payload = Bytes::from_static(payload.as_bytes());
        carrier.handle_timeout(after(at));
        assert_eq!(carrier.poll_control(after(at)), Some(Message::Ping(payload.clone())));
        assert_eq!(carrier.poll_timeout(), Some(after(at + 5_000)));
        carrier.handle_message(after(at + 1), Message::Pong(payload));
        assert_eq!(carrier.poll_timeout(), Some(after(at + 20_000)));
    }
    carrier.handle_timeout(after(60_000));
    carrier.handle_message(after(60_001), Message::Pong(Bytes::from_static(b"2")));
    carrier.handle_message(after(64_999), binary(b"data is no pong to the original"));
    carrier.handle_timeout(after(65_000));
    assert_eq!(carrier.closed(), Some(&CloseReason::Timeout(TimeoutKind::KeepAlive)));
}

#[test]
fn data_keeps_the_deadline_of_a_pong_away() {
    let mut carrier = Carrier::new(Config::default());
    carrier.poll_control(START);
    carrier.handle_timeout(after(30_000));
    carrier.handle_message(after(39_000), binary(b"x"));
    carrier.handle_timeout(after(48_999));
    assert_eq!(carrier.closed(), None);
    carrier.handle_timeout(after(49_000));
    assert_eq!(carrier.closed(), Some(&CloseReason::Timeout(TimeoutKind::KeepAlive)));
}

#[test]
fn an_agent_of_the_original_does_not_ping() {
    let mut carrier = Carrier::new(Config::reference(Side::Client));
    assert_eq!(carrier.poll_control(START), None);
    assert_eq!(carrier.poll_timeout(), None);
    // Nor does one whose interval is nothing: it would do nothing else.
    let pings = Some(Pings { interval: Duration::ZERO, timeout: Duration::ZERO });
    let mut carrier = Carrier::new(Config { pings, ..Config::default() });
    assert_eq!(carrier.poll_control(START), None);
    assert_eq!(carrier.poll_timeout(), None);
}

#[test]
fn an_orderly_close_sends_1000_and_waits_a_second_for_the_answer() {
    let mut carrier = Carrier::new(Config::default());
    carrier.close(START);
    carrier.close(after(500));
    assert_eq!(carrier.poll_control(START), Some(close(1000)));
    assert_eq!(carrier.poll_control(START), None);
    assert_eq!((carrier.closed(), carrier.poll_timeout()), (None, Some(after(1_000))));
    carrier.handle_timeout(after(1_000));
    assert_eq!(carrier.closed(), Some(&CloseReason::Local));

    let mut answered = Carrier::new(Config::default());
    answered.close(START);
    answered.poll_control(START);
    let got = answered.handle_message(START, binary(b"under way"));
    assert_eq!(got, Received::Bytes(Bytes::from_static(b"under way")));
    answered.handle_message(START, close(1000));
    assert_eq!(answered.closed(), Some(&CloseReason::Local));
    assert_eq!(answered.poll_control(START), None);
}

#[test]
fn the_original_leaves_without_a_word() {
    let mut carrier = Carrier::new(Config::reference(Side::Server));
    carrier.close(START);
    assert_eq!(carrier.closed(), Some(&CloseReason::Local));
    assert_eq!(carrier.poll_control(START), None);
}

#[test]
fn the_peers_close_is_answered_with_its_own_code() {
    for (code, clean) in [(1000, true), (1001, true), (1011, false), (4000, false)] {
        let mut carrier = Carrier::new(Config::default());
        let got = carrier.handle_message(START, close(code));
        assert_eq!(got, Received::End { clean, code: Some(code), text: String::new() });
        assert_eq!(carrier.poll_control(START), Some(close(code)));
        let reason = CloseReason::Peer { code: code.into(), text: String::new() };
        assert_eq!(carrier.closed(), Some(&reason));
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
        let mut carrier = Carrier::new(Config::default());
        let got = carrier.handle_message(START, close(code));
        assert_eq!(got, Received::Refused(Violation::CloseCode(code), 1002));
    }
}

#[test]
fn an_end_without_a_close_is_a_loss_but_orderly_for_the_original() {
    let end = |clean| Received::End { clean, code: None, text: String::new() };
    let mut carrier = Carrier::new(Config::default());
    assert_eq!(carrier.handle_eof(START), end(false));
    assert_eq!(carrier.closed(), Some(&CloseReason::Eof { mid_frame: false }));

    let mut original = Carrier::new(Config::reference(Side::Client));
    assert_eq!(original.handle_eof(START), end(true));
    assert!(matches!(original.closed(), Some(CloseReason::Peer { code: 0, .. })));
}

fn grouped(grouping: Grouping, frames: &[(usize, usize)]) -> Vec<usize> {
    let mut outbox = Outbox::new(grouping);
    let mut lengths = Vec::new();
    for &(head, body) in frames {
        let frame = Segment::new(&vec![1; head], Bytes::from(vec![2; body]), &[]);
        outbox.push_frame(frame.unwrap());
        lengths.extend(core::iter::from_fn(|| outbox.poll()).map(|message| message.len()));
    }
    lengths.extend(core::iter::from_fn(|| outbox.flush()).map(|message| message.len()));
    assert!(outbox.is_empty());
    lengths
}

#[test]
fn a_flush_is_one_message_up_to_64_kib_and_a_larger_frame_is_alone() {
    assert_eq!(grouped(Grouping::Flush, &[(12, 0), (12, 5), (12, 1_000)]), [1_041]);
    assert_eq!(grouped(Grouping::Flush, &[(12, 40_000), (12, 30_000)]), [40_012, 30_012]);
    assert_eq!(grouped(Grouping::Flush, &[(12, 1), (12, 100_000), (12, 2)]), [13, 100_012, 14]);
}

#[test]
fn the_original_sends_head_and_payload_apart() {
    let frames = [(12, 0), (12, 5), (12, 100_000)];
    assert_eq!(grouped(Grouping::HeadAndPayload, &frames), [12, 12, 5, 12, 100_000]);
}

#[test]
fn heads_and_payloads_are_found_in_a_stream_cut_anywhere() {
    let mut stream = Vec::new();
    stream.extend_from_slice(&[0, 1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 9]);
    stream.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 13]);
    stream.extend_from_slice(b"thirteen more");
    stream.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0, 0]);
    for piece in 1..=stream.len() {
        let mut outbox = Outbox::new(Grouping::HeadAndPayload);
        stream.chunks(piece).for_each(|chunk| outbox.push(chunk));
        let lengths: Vec<_> =
            core::iter::from_fn(|| outbox.flush()).map(|message| message.len()).collect();
        assert_eq!(lengths, [12, 12, 13, 12], "in pieces of {piece}");
    }
}

fn pair(config: &Config) -> [OverMessages<yamux::Connection>; 2] {
    [Side::Client, Side::Server].map(|side| {
        let machine = yamux::Connection::new(side, yamux::Config::default()).unwrap();
        OverMessages::new(machine, config.clone())
    })
}

/// Hands over everything that either end wants to say, until both are silent.
fn exchange(ends: &mut [OverMessages<yamux::Connection>; 2], now: Instant) {
    let [a, b] = ends;
    loop {
        let mut silent = true;
        while let Some(message) = a.poll_transmit(now) {
            b.handle_input(now, message);
            silent = false;
        }
        while let Some(message) = b.poll_transmit(now) {
            a.handle_input(now, message);
            silent = false;
        }
        if silent {
            return;
        }
    }
}

#[test]
fn a_stream_crosses_and_an_orderly_close_ends_both_without_loss() {
    let mut ends = pair(&Config::default());
    let Opened::Stream(stream) = ends[0].machine_mut().open(START) else { panic!() };
    let mut data = Bytes::from_static(b"through messages");
    assert_eq!(ends[0].machine_mut().write(START, stream, &mut data), Sent::Accepted(16));
    exchange(&mut ends, START);
    let peer = ends[1].machine_mut();
    let accepted = peer.accept(START).unwrap();
    let got = peer.read(START, accepted, 64);
    assert_eq!(got, Read::Data(Bytes::from_static(b"through messages")));

    ends[0].machine_mut().close(START);
    exchange(&mut ends, START);
    assert_eq!(ends[0].closed(), Some(&CloseReason::Local));
    let reason = CloseReason::Peer { code: 1000, text: String::new() };
    assert_eq!(ends[1].closed(), Some(&reason));
    let read = ends[1].machine_mut().read(START, accepted, 64);
    assert!(matches!(read, Read::End(StreamEnd::Connection(_))), "{read:?}");
}

#[test]
fn a_torn_frame_is_a_loss_even_before_an_orderly_close() {
    for farewell in [false, true] {
        let [_, mut server] = pair(&Config::default());
        server.handle_input(START, binary(&[0, 1, 0, 1, 0]));
        match farewell {
            true => server.handle_input(START, close(1000)),
            false => server.handle_eof(START),
        }
        assert_eq!(server.closed(), Some(&CloseReason::Eof { mid_frame: true }));
    }
}

#[test]
fn a_refused_message_ends_the_machine_and_is_answered() {
    let [_, mut server] = pair(&Config::default());
    server.handle_input(START, Message::Text(Bytes::from_static(b"hello")));
    assert_eq!(server.closed(), Some(&refusal(Violation::Text)));
    let Some(Message::Close(Some(frame))) = server.poll_transmit(START) else { panic!() };
    assert_eq!(frame.code, 1003);
    assert_eq!(server.poll_transmit(START), None);
    let events: Vec<_> = core::iter::from_fn(|| server.poll_event()).collect();
    assert!(matches!(events[..], [MuxEvent::Closed(_)]), "{events:?}");
}

#[test]
fn a_broken_wire_inside_is_told_and_then_closed_with_1002() {
    let [_, mut server] = pair(&Config::default());
    server.handle_input(START, binary(&[9; 12]));
    let mut sent: Vec<_> = core::iter::from_fn(|| server.poll_transmit(START)).collect();
    assert_eq!(sent.pop(), Some(close(1002)));
    assert!(matches!(sent[..], [Message::Binary(_)]), "the go-away of yamux: {sent:?}");
    server.handle_input(START, close(1002));
    let reason = server.closed();
    assert!(matches!(reason, Some(CloseReason::Violation(crate::Violation::Yamux(_)))));
}

#[test]
fn a_transport_that_takes_nothing_more_ends_the_connection() {
    let mut ends = pair(&Config::default());
    let Opened::Stream(stream) = ends[0].machine_mut().open(START) else { panic!() };
    exchange(&mut ends, START);
    ends[0].handle_failure(START, crate::Direction::Write, Some(32));
    assert_eq!(ends[0].poll_transmit(START), None);
    ends[0].handle_eof(START);
    assert!(ends[0].closed().is_some());
    let read = ends[0].machine_mut().read(START, stream, 64);
    assert!(matches!(read, Read::End(StreamEnd::Connection(_))), "{read:?}");
}
