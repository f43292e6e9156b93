//! Memory stays within the budget whatever a peer sends; what a stream takes when it is idle.

use super::*;
use trunkline_core::CloseReason;
use trunkline_core::mux::{LocalEnd, OpenRefusal};

#[test]
fn unread_streams_are_given_up_before_the_budget_is_passed() {
    let mut config = v2();
    config.limits.connection_memory = 4 << 20;
    let limit = config.limits.connection_memory;
    let mut one = server(config);
    let mut keys = Vec::new();
    for number in 0..40 {
        let id = 3 + 2 * number;
        feed(&mut one, syn(2, id));
        let Some(key) = one.accept(START) else { continue };
        keys.push(key);
        for _ in 0..4 {
            feed(&mut one, psh(2, id, &[7; 65_535]));
            assert!(one.stats().memory <= limit + (64 << 10), "{}", one.stats().memory);
        }
        told(&mut one);
    }
    let ended = |key: &&StreamKey| one.read_end(**key) == Some(StreamEnd::Local(LocalEnd::TooMuch));
    assert!(keys.iter().filter(ended).count() > 0 || one.stats().refused > 20);
    assert_eq!(one.closed(), None);
}

#[test]
fn opens_are_refused_while_memory_is_short() {
    let mut config = v2();
    config.limits.connection_memory = 300_000;
    let mut one = server(config);
    feed(&mut one, syn(2, 3));
    for _ in 0..4 {
        feed(&mut one, psh(2, 3, &[7; 65_535]));
    }
    assert_eq!(one.open(START), Opened::Refused(OpenRefusal::Budget));
    let key = accepted(&mut one);
    one.forget(START, key);
    assert!(matches!(one.open(START), Opened::Stream(_)));
}

#[test]
fn ten_thousand_streams_cost_their_slots_and_end_without_a_trace() {
    let mut config = v1();
    config.limits.streams = 20_000;
    config.limits.backlog = 20_000;
    let mut one = server(config);
    let count = if cfg!(miri) { 100 } else { 10_000 };
    for number in 0..count {
        feed(&mut one, syn(1, 3 + 2 * number));
    }
    let each = one.stats().memory / count as usize;
    assert!(each < 200, "{each} bytes a stream");
    let keys = std::iter::from_fn(|| one.accept(START)).collect::<Vec<_>>();
    assert_eq!(keys.len(), count as usize);
    for (number, key) in keys.into_iter().enumerate() {
        feed(&mut one, fin(1, 3 + 2 * number as u32));
        one.forget(START, key);
        assert_eq!(told(&mut one).len(), 1);
    }
    assert_eq!((one.stats().streams, one.stats().queued_in), (0, 0));
}

#[test]
fn nothing_is_taken_in_behind_the_end() {
    let mut one = server(v1());
    one.abort(START);
    feed(&mut one, syn(1, 3));
    one.handle_eof(START);
    one.handle_timeout(at(1_000_000));
    assert_eq!(one.accept(START), None);
    assert_eq!(one.closed(), Some(&CloseReason::Local));
    assert_eq!(events(&mut one), [MuxEvent::Closed(CloseReason::Local)]);
    assert_eq!(events(&mut one), []);
}

#[test]
fn input_that_waited_for_room_is_read_before_the_end_is_told() {
    let mut config = v1();
    config.max_receive_buffer = 10;
    config.max_stream_buffer = 10;
    let mut one = server(config);
    feed(&mut one, [syn(1, 3), psh(1, 3, &[7; 20]), psh(1, 3, b"tail"), fin(1, 3)].concat());
    one.handle_eof(START);
    assert_eq!(one.closed(), None, "bytes wait to be looked at");
    let key = accepted(&mut one);
    let mut whole = vec![7; 20];
    whole.extend(b"tail");
    assert_eq!(all(&mut one, key), (whole, Some(StreamEnd::Finished)));
    assert_eq!(one.closed(), Some(&CloseReason::Eof { mid_frame: false }));
}
