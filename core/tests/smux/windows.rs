//! Section 7: the windows of version 2; section 6: the buffer of version 1.

use super::*;
use trunkline_core::mux::LocalEnd;
use trunkline_core::smux::{FullBuffer, UpdateCount, WindowSize};

/// A server of version 2 with one accepted stream, 3.
fn with_stream(config: Config) -> (Connection, StreamKey) {
    let mut one = server(config);
    feed(&mut one, syn(2, 3));
    let key = accepted(&mut one);
    (one, key)
}

fn fixed(size: usize) -> Config {
    let mut config = v2();
    config.window_size = WindowSize::Fixed;
    config.max_stream_buffer = size;
    config
}

#[test]
fn a_sender_stops_at_262144_bytes_and_goes_on_with_an_update() {
    let mut config = v2();
    config.limits.send_queue = 1 << 20;
    let mut one = client(config);
    let key = opened(&mut one);
    let mut data = Bytes::from(vec![7; 300_000]);
    assert_eq!(one.write(START, key, &mut data), Sent::Accepted(262_144));
    assert_eq!(one.write(START, key, &mut data), Sent::Blocked);
    feed(&mut one, upd(3, 10, 262_144));
    assert_eq!(events(&mut one), [MuxEvent::Writable(key)]);
    assert_eq!(one.write(START, key, &mut data), Sent::Accepted(10));
    assert_eq!(one.write(START, key, &mut data), Sent::Blocked);
    // A smaller window than what is in flight: nothing until less is.
    feed(&mut one, upd(3, 1_000, 65_536));
    assert_eq!(one.write(START, key, &mut data), Sent::Blocked);
    feed(&mut one, upd(3, 196_619, 65_536));
    assert_eq!(one.write(START, key, &mut data), Sent::Accepted(1));
    assert_eq!(one.stream_stats(key).unwrap().send_window, Some(0));
}

#[test]
fn an_update_of_a_fixed_window_comes_with_the_first_read_and_at_half_of_it() {
    let (mut one, key) = with_stream(fixed(100));
    let mut read = |n: usize| {
        feed(&mut one, psh(2, 3, &vec![7; n]));
        assert_eq!(all(&mut one, key).0.len(), n);
        told(&mut one)
    };
    assert_eq!(read(10), ["UPD 3 10/100"]);
    assert_eq!(read(49), [""; 0]);
    assert_eq!(read(1), ["UPD 3 60/100"]);
    assert_eq!(read(50), ["UPD 3 110/100"]);
}

#[test]
fn a_grown_window_never_takes_back_what_every_peer_assumes() {
    let (mut one, key) = with_stream(v2());
    feed(&mut one, psh(2, 3, &[7; 65_535]));
    assert_eq!(all(&mut one, key).0.len(), 65_535);
    assert_eq!(told(&mut one), [""; 0], "half of the window is not free yet");
    feed(&mut one, psh(2, 3, &[7; 65_535]));
    feed(&mut one, psh(2, 3, &[7; 2]));
    assert_eq!(all(&mut one, key).0.len(), 65_537);
    assert_eq!(told(&mut one), ["UPD 3 131072/262144"]);
    assert_eq!(one.stream_stats(key).unwrap().receive_window, Some(262_144));
    assert_eq!(one.stats().granted, 262_144);
}

#[test]
fn an_update_says_what_was_read_until_it_leaves() {
    let (mut one, key) = with_stream(v2());
    for _ in 0..3 {
        feed(&mut one, psh(2, 3, &[7; 60_000]));
    }
    assert_eq!(one.read(START, key, 140_000).clone(), one_piece(60_000));
    assert_eq!(one.read(START, key, 140_000).clone(), one_piece(60_000));
    assert_eq!(one.read(START, key, 20_000).clone(), one_piece(20_000));
    assert_eq!(one.read(START, key, 20_000).clone(), one_piece(20_000));
    // 20,000 bytes are here and unread: the peer may send so much less.
    assert_eq!(told(&mut one), ["UPD 3 160000/262144"]);
    assert_eq!(one.stream_stats(key).unwrap().receive_window, Some(242_144));
}

fn one_piece(len: usize) -> Received {
    Received::Data(vec![7; len].into())
}

#[test]
fn updates_stop_behind_the_peers_end() {
    let (mut one, key) = with_stream(v2());
    for _ in 0..3 {
        feed(&mut one, psh(2, 3, &[7; 60_000]));
    }
    feed(&mut one, fin(2, 3));
    assert_eq!(all(&mut one, key), (vec![7; 180_000], Some(StreamEnd::Finished)));
    assert_eq!(told(&mut one), [""; 0]);
}

#[test]
fn a_count_that_wraps_to_zero_is_announced_and_left_out_as_the_original_does() {
    let frame = Bytes::from(psh(2, 3, &[7; 65_535]));
    for (count, expected) in
        [(UpdateCount::Whole, "UPD 3 0/65536"), (UpdateCount::Wrapped, "UPD 3 4294901761/65536")]
    {
        let mut config = fixed(65_536);
        config.update_count = count;
        let (mut one, key) = with_stream(config);
        let mut last = None;
        // A byte, and 65,537 frames of 65,535 bytes: 2^32 in all.
        feed(&mut one, psh(2, 3, b"x"));
        for _ in 0..65_538 {
            while let Received::Data(_) = one.read(START, key, usize::MAX) {}
            last = one.poll_transmit(START).or(last);
            one.handle_input(START, frame.clone());
        }
        assert_eq!(frames_of(&last.unwrap().into_bytes()), [expected]);
    }
}

#[test]
fn the_buffer_of_version_1_stops_all_streams_until_somebody_reads() {
    let mut config = v1();
    config.max_receive_buffer = 16;
    config.max_stream_buffer = 16;
    let mut one = server(config);
    feed(&mut one, [syn(1, 3), psh(1, 3, &[7; 20]), syn(1, 5), psh(1, 5, b"behind")].concat());
    assert!(!one.wants_input());
    let key = accepted(&mut one);
    assert_eq!(one.accept(START), None);
    assert_eq!(one.read(START, key, 4), one_piece(4));
    assert_eq!(one.accept(START), None, "16 of 16 are still unread");
    events(&mut one);
    assert_eq!(one.read(START, key, 1), one_piece(1));
    assert_eq!(events(&mut one), [MuxEvent::Acceptable]);
    let other = accepted(&mut one);
    assert_eq!(one.read(START, other, 9), Received::Data(Bytes::from_static(b"behind")));
    assert!(one.wants_input());
}

#[test]
fn a_stream_that_is_given_up_gives_its_part_of_the_buffer_back() {
    let mut config = v1();
    config.max_receive_buffer = 16;
    config.max_stream_buffer = 16;
    for give_up in
        [Connection::forget as fn(&mut Connection, Instant, StreamKey), Connection::reset]
    {
        let mut one = server(config.clone());
        feed(&mut one, [syn(1, 3), psh(1, 3, &[7; 20]), syn(1, 5)].concat());
        let key = accepted(&mut one);
        assert_eq!(one.accept(START), None);
        give_up(&mut one, START, key);
        assert!(one.accept(START).is_some() && one.wants_input());
        assert_eq!(told(&mut one), ["FIN 3"]);
    }
}

#[test]
fn the_longest_unread_stream_is_ended_where_that_is_the_policy() {
    let mut config = v1();
    config.full_buffer = FullBuffer::EndLongest;
    config.max_receive_buffer = 1_000;
    config.max_stream_buffer = 1_000;
    let mut one = server(config);
    feed(&mut one, [syn(1, 3), syn(1, 5), psh(1, 5, b"small")].concat());
    let (slow, fast) = (accepted(&mut one), accepted(&mut one));
    for _ in 0..4 {
        feed(&mut one, psh(1, 3, &[7; 300]));
    }
    assert!(one.wants_input());
    let end = Some(StreamEnd::Local(LocalEnd::TooMuch));
    assert_eq!(all(&mut one, slow), (Vec::new(), end));
    assert_eq!(all(&mut one, fast), (b"small".to_vec(), None));
    assert_eq!(told(&mut one), ["FIN 3"]);
    // What the peer still sends on it is dropped, and holds up nobody.
    feed(&mut one, [psh(1, 3, &[7; 5_000]), psh(1, 5, b"more")].concat());
    assert_eq!(all(&mut one, fast).0, b"more");
}

const STEP: Duration = Duration::from_micros(50);

/// One stream over a link of `rate` bytes a second with a round trip of `trip`: bytes read after
/// each tenth of a second.
fn over_a_long_link(config: Config, rate: u64, trip: Duration, tenths: usize) -> Vec<u64> {
    let mut writer = client(config.clone());
    let mut reader = server(config);
    let key = opened(&mut writer);
    let mut incoming = None;
    let (mut now, end) = (at(0), at(100 * tenths as u64));
    let (mut to, mut back) = (std::collections::VecDeque::new(), std::collections::VecDeque::new());
    let (mut free_at, mut total, mut marks) = (at(0), 0, Vec::new());
    let chunk = Bytes::from(vec![7; 64 << 10]);
    while now < end {
        // The writer always has more to say; the link takes what its rate allows.
        while free_at <= now {
            let mut data = chunk.clone();
            let _ = writer.write(now, key, &mut data);
            let Some(segment) = writer.poll_transmit(now) else { break };
            let nanos = segment.len() as u64 * 1_000_000_000 / rate;
            // A step of the clock later is no pause.
            let pause = now.saturating_since(free_at) > STEP;
            free_at = if pause { now } else { free_at } + Duration::from_nanos(nanos);
            to.push_back((free_at + trip / 2, segment));
        }
        while to.front().is_some_and(|(due, _)| *due <= now) {
            let (_, segment): (_, trunkline_core::Segment) = to.pop_front().unwrap();
            reader.handle_input(now, segment.into_bytes());
            incoming = incoming.or_else(|| reader.accept(now));
            let Some(key) = incoming else { continue };
            while let Received::Data(bytes) = reader.read(now, key, usize::MAX) {
                total += bytes.len() as u64;
            }
        }
        while let Some(segment) = reader.poll_transmit(now) {
            back.push_back((now + trip / 2, segment));
        }
        while back.front().is_some_and(|(due, _)| *due <= now) {
            let (_, segment): (_, trunkline_core::Segment) = back.pop_front().unwrap();
            writer.handle_input(now, segment.into_bytes());
        }
        now = now + STEP;
        if now.saturating_since(at(100 * marks.len() as u64)) >= Duration::from_millis(100) {
            marks.push(total);
        }
    }
    marks
}

#[test]
fn a_window_grows_until_it_fills_a_link_of_50_ms_and_a_gigabit() {
    let rate = 122_000_000;
    let marks = over_a_long_link(v2(), rate, Duration::from_millis(50), 60);
    let (all, last) = (marks[59], marks[59] - marks[44]);
    assert!(last >= rate * 3 / 2 * 99 / 100, "{last} bytes in the last quarter");
    assert!(all >= rate * 6 * 95 / 100, "{all} bytes in six seconds");
    // As the original has it, a window of 64 KiB a round trip is all there is.
    let marks = over_a_long_link(fixed(64 << 10), rate, Duration::from_millis(50), 20);
    assert!(marks[19] - marks[9] < 3_000_000, "{marks:?}");
}

#[test]
fn a_window_stays_as_it_is_on_a_near_link() {
    let (mut one, key) = with_stream(v2());
    for round in 0..2_000 {
        let now = START + Duration::from_micros(60 * round);
        feed_at(&mut one, now, psh(2, 3, &[7; 60_000]));
        while let Received::Data(_) = one.read(now, key, usize::MAX) {}
        for frame in frames_of(&bytes_at(&mut one, now)) {
            assert!(frame.ends_with("/262144"), "{frame}");
        }
    }
}
