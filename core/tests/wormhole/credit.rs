//! Section 5: credit on both sides.

use core::time::Duration;

use trunkline_core::Machine as _;
use trunkline_core::mux::{Mux as _, MuxEvent, Received, Sent, Side, StreamEnd, StreamKey};
use trunkline_core::wormhole::{Config, Credit, Excess, Frame, FrameType, RemoteError};

use crate::pair::{End, exchange, quiet};

/// Settings whose windows begin with `window` bytes and stay so.
fn fixed(window: u32) -> Config {
    let mut config = quiet();
    config.window = window;
    config.limits.window = window.try_into().unwrap();
    config
}

fn grants(end: &mut End) -> Vec<u32> {
    end.frames().iter().filter_map(|frame| frame.increment().ok()).collect()
}

fn read(end: &mut End, key: StreamKey, max: usize) -> usize {
    match end.machine.read(end.now, key, max) {
        Received::Data(bytes) => bytes.len(),
        other => panic!("nothing read: {other:?}"),
    }
}

#[test]
fn exact_credit_grants_what_was_read_once_it_is_half_a_window() {
    let mut server = End::new(Side::Server, fixed(10));
    let key = server.opened_by_peer(1);
    server.feed(&Frame::data(1, vec![7; 10]));
    assert_eq!(read(&mut server, key, 3), 3);
    assert_eq!(grants(&mut server), []);
    assert_eq!(read(&mut server, key, 2), 2);
    assert_eq!(grants(&mut server), [5]);
    assert_eq!(read(&mut server, key, 5), 5);
    assert_eq!(grants(&mut server), [5]);
}

#[test]
fn exact_credit_with_a_window_of_one_grants_every_byte() {
    let mut server = End::new(Side::Server, fixed(1));
    let key = server.opened_by_peer(1);
    for _ in 0..3 {
        server.feed(&Frame::data(1, vec![7]));
        assert_eq!(read(&mut server, key, 9), 1);
        assert_eq!(grants(&mut server), [1]);
    }
}

#[test]
fn nothing_is_granted_on_a_stream_that_either_side_has_closed() {
    let mut server = End::new(Side::Server, fixed(4));
    let key = server.opened_by_peer(1);
    server.feed(&Frame::data(1, vec![7; 4]));
    server.feed(&Frame::close(1));
    assert_eq!(read(&mut server, key, 9), 4);
    let key = server.opened_by_peer(3);
    server.feed(&Frame::data(3, vec![7; 4]));
    server.finish(key);
    assert_eq!(read(&mut server, key, 9), 4);
    assert_eq!(grants(&mut server), []);
}

#[test]
fn a_grant_that_waits_is_dropped_with_its_stream() {
    let mut server = End::new(Side::Server, fixed(4));
    let key = server.opened_by_peer(1);
    server.feed(&Frame::data(1, vec![7; 4]));
    assert_eq!(read(&mut server, key, 9), 4);
    server.feed(&Frame::close(1));
    assert_eq!(server.sent(), []);
}

#[test]
fn a_peer_with_a_small_window_is_kept_going_by_the_stall_guard() {
    let mut server = End::server();
    let key = server.opened_by_peer(1);
    server.feed(&Frame::data(1, vec![7; 20]));
    assert_eq!(read(&mut server, key, 99), 20);
    server.advance(999);
    assert_eq!(server.sent(), []);
    server.advance(1);
    assert_eq!(grants(&mut server), [20]);
    assert_eq!(server.machine.poll_timeout(), None, "nothing is left to watch");
}

#[test]
fn the_stall_guard_waits_for_silence_and_for_the_reader() {
    let mut server = End::server();
    let key = server.opened_by_peer(1);
    for _ in 0..10 {
        server.feed(&Frame::data(1, vec![7; 20]));
        assert_eq!(read(&mut server, key, 99), 20);
        server.advance(500);
        assert_eq!(server.sent(), [], "data goes on arriving");
    }
    server.feed(&Frame::data(1, vec![7; 20]));
    server.advance(5_000);
    assert_eq!(server.sent(), [], "the reader has not read");
    assert_eq!(read(&mut server, key, 99), 20);
    server.advance(1_250);
    assert_eq!(grants(&mut server), [220]);
}

#[test]
fn the_stall_guard_can_be_turned_off() {
    let mut config = quiet();
    config.stall_guard = Duration::ZERO;
    let mut server = End::new(Side::Server, config);
    let key = server.opened_by_peer(1);
    server.feed(&Frame::data(1, vec![7; 20]));
    assert_eq!(read(&mut server, key, 99), 20);
    assert_eq!(server.machine.poll_timeout(), None);
}

#[test]
fn two_ends_with_different_windows_move_everything() {
    let mut small = fixed(7);
    small.stall_guard = Duration::from_millis(100);
    let mut large = fixed(100_000);
    large.stall_guard = Duration::from_millis(100);
    let (mut client, mut server) = (End::new(Side::Client, small), End::new(Side::Server, large));
    let key = client.open();
    exchange(&mut client, &mut server);
    let theirs = server.accept().unwrap();
    let (mut written, mut seen) = (0, 0);
    for _ in 0..200 {
        while written < 500
            && let Sent::Accepted(count) = client.write(key, &vec![7; 500 - written])
        {
            written += count;
        }
        exchange(&mut client, &mut server);
        seen += server.read_all(theirs).0.len();
        exchange(&mut client, &mut server);
        client.advance(100);
        server.advance(100);
    }
    assert_eq!((written, seen), (500, 500));
}

#[test]
fn reference_credit_grants_a_window_more_with_the_first_read() {
    let mut config = Config::reference();
    (config.window, config.limits.window) = (10, 10);
    let mut server = End::new(Side::Server, config);
    let key = server.opened_by_peer(1);
    server.feed(&Frame::data(1, vec![7; 10]));
    assert_eq!(read(&mut server, key, 3), 3);
    assert_eq!(grants(&mut server), [13]);
    server.feed(&Frame::data(1, vec![7; 13]));
    assert_eq!(read(&mut server, key, 4), 4);
    assert_eq!(grants(&mut server), []);
    assert_eq!(read(&mut server, key, 1), 1);
    assert_eq!(grants(&mut server), [5]);
}

#[test]
fn a_first_grant_of_a_window_and_more_is_taken() {
    let mut client = End::new(Side::Client, fixed(10));
    let key = client.open();
    assert_eq!(client.write(key, &[7; 40]), Sent::Accepted(10));
    assert_eq!(client.write(key, &[7; 30]), Sent::Blocked);
    client.frames();
    client.feed(&Frame::window_update(1, 13));
    assert_eq!(client.events(), [MuxEvent::Writable(key)]);
    assert_eq!(client.write(key, &[7; 30]), Sent::Accepted(13));
    assert_eq!(client.frames().iter().map(Frame::length).collect::<Vec<_>>(), [13]);
}

#[test]
fn credit_adds_up_without_a_bound_and_is_no_memory() {
    let mut client = End::client();
    let key = client.open();
    for _ in 0..5 {
        client.feed(&Frame::window_update(1, u32::MAX));
    }
    let window = client.machine.stream_stats(key).unwrap().send_window;
    assert_eq!(window, Some(262_144 + 5 * u64::from(u32::MAX)));
    let Sent::Accepted(count) = client.write(key, &vec![7; 10 << 20]) else { panic!("blocked") };
    assert!(count <= client.machine.config().limits.send_queue);
}

#[test]
fn a_write_becomes_no_more_frames_than_its_length_needs() {
    let mut client = End::client();
    let (key, other) = (client.open(), client.open());
    client.frames();
    client.feed(&Frame::window_update(1, 1 << 24));
    // Small pieces of another stream leave room that is no whole number of frames.
    client.write(other, &[1; 1_001]);
    let mut left = vec![7; 900_000];
    let mut sizes = Vec::new();
    while !left.is_empty() {
        if let Sent::Accepted(count) = client.write(key, &left) {
            left.drain(..count);
        }
        let Some(segment) = client.machine.poll_transmit(client.now) else { continue };
        let frame = Frame::decode(&mut segment.into_bytes()).unwrap().unwrap();
        sizes.extend((frame.stream == 1).then(|| frame.length()));
        client.events();
    }
    let rest = client.frames();
    sizes.extend(rest.iter().filter(|frame| frame.stream == 1).map(Frame::length));
    assert_eq!(sizes.len(), 900_000_usize.div_ceil(32_768), "{sizes:?}");
    assert_eq!(sizes.iter().sum::<usize>(), 900_000);
}

#[test]
fn two_writes_never_share_a_frame() {
    let mut client = End::client();
    let key = client.open();
    for write in [&b"length"[..], b"message", b"x"] {
        client.write(key, write);
    }
    let sizes: Vec<usize> = client.frames().iter().map(Frame::length).collect();
    assert_eq!(sizes, [0, 6, 7, 1]);
}

#[test]
fn data_beyond_the_grants_is_held_up_to_the_receive_limit() {
    let mut server = End::new(Side::Server, fixed(1_000));
    let key = server.opened_by_peer(1);
    for _ in 0..32 {
        server.feed(&Frame::data(1, vec![7; 32_768]));
    }
    assert_eq!(server.sent(), []);
    server.feed(&Frame::data(1, vec![7; 1]));
    let frames = server.frames();
    let error = frames[0].remote_error().unwrap();
    assert_eq!((frames.len(), error.code), (1, RemoteError::TOO_MUCH));
    let (bytes, end) = server.read_all(key);
    assert_eq!(bytes.len(), 1 << 20, "what was held is still there");
    assert!(matches!(end, Some(StreamEnd::Local(_))));
    assert_eq!((server.closed(), server.machine.stats().streams), (None, 0));
    server.opened_by_peer(3);
}

#[test]
fn a_strict_receiver_ends_a_stream_for_a_byte_too_much() {
    let mut config = fixed(1_000);
    config.excess = Excess::Strict;
    let mut server = End::new(Side::Server, config);
    server.opened_by_peer(1);
    server.feed(&Frame::data(1, vec![7; 1_000]));
    assert_eq!(server.sent(), []);
    server.feed(&Frame::data(1, vec![7; 1]));
    assert_eq!(server.sent(), [(FrameType::ERROR, 1)]);
    assert_eq!(server.closed(), None);
}

#[test]
fn reads_of_a_window_that_has_grown_are_within_the_receive_limit() {
    let mut config = quiet();
    assert_eq!(config.credit, Credit::Exact);
    config.recv_limit = Some(524_288);
    let (mut client, mut server) = (End::client(), End::new(Side::Server, config));
    let key = client.open();
    exchange(&mut client, &mut server);
    let theirs = server.accept().unwrap();
    let piece = vec![7; 65_536];
    let mut granted = 0;
    // A link of 20 ms each way, never held up by the reader.
    for _ in 0..400 {
        while let Sent::Accepted(_) = client.write(key, &piece) {
            // The send queue holds less than the window: it empties into the link.
            let mut link = Vec::new();
            while let Some(segment) = client.machine.poll_transmit(client.now) {
                link.push(segment.into_bytes());
            }
            server.now = client.now + Duration::from_millis(20);
            for bytes in link {
                server.machine.handle_input(server.now, bytes);
                server.read_all(theirs);
            }
        }
        client.now = client.now + Duration::from_millis(40);
        while let Some(segment) = server.machine.poll_transmit(server.now) {
            client.machine.handle_input(client.now, segment.into_bytes());
        }
        client.events();
        granted = granted.max(server.machine.stream_stats(theirs).unwrap().receive_window.unwrap());
    }
    assert_eq!((client.closed(), server.closed()), (None, None));
    assert!(granted > 1 << 20, "the window stayed at {granted}");
}
