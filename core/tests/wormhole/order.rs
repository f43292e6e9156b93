//! Section 6: what goes before what.

use trunkline_core::mux::{Mux as _, Side};
use trunkline_core::wormhole::{Frame, FrameOrder, FrameType};

use crate::pair::{End, quiet};

const DATA: FrameType = FrameType::DATA;
const CLOSE: FrameType = FrameType::CLOSE;
const OPEN: FrameType = FrameType::HANDSHAKE;

#[test]
fn control_overtakes_data_and_close_and_close_stays_behind_its_data() {
    let mut client = End::client();
    let key = client.open();
    client.frames();
    client.write(key, b"one");
    client.write(key, b"two");
    client.finish(key);
    client.feed(&Frame::ping(9));
    client.open();
    let expected = [(FrameType::PONG, 0), (OPEN, 3), (DATA, 1), (DATA, 1), (CLOSE, 1)];
    assert_eq!(client.sent(), expected);
}

#[test]
fn streams_take_turns_one_frame_each() {
    let mut client = End::client();
    let (one, two) = (client.open(), client.open());
    client.frames();
    client.write(one, &vec![1; 100_000]);
    client.write(two, &vec![2; 40_000]);
    client.finish(two);
    let ids: Vec<u32> = client.frames().iter().map(|frame| frame.stream).collect();
    assert_eq!(ids, [1, 3, 1, 3, 1, 3, 1]);
}

#[test]
fn the_original_sends_in_the_order_of_the_writes() {
    let mut config = quiet();
    config.frame_order = FrameOrder::Written;
    let mut client = End::new(Side::Client, config);
    let (one, two) = (client.open(), client.open());
    client.frames();
    client.write(one, &[1; 40_000]);
    client.write(two, &[2; 10]);
    client.finish(two);
    client.write(one, &[1; 10]);
    client.machine.reset(client.now, two);
    let frames = client.frames();
    let seen: Vec<(u32, usize)> = frames.iter().map(|f| (f.stream, f.length())).collect();
    assert_eq!(seen, [(1, 32_768), (1, 7_232), (3, 10), (3, 0), (1, 10)]);
}

#[test]
fn a_stalled_stream_delays_no_other() {
    let mut config = quiet();
    config.window = 1_000;
    let mut client = End::new(Side::Client, config);
    let (stalled, other) = (client.open(), client.open());
    client.frames();
    client.write(stalled, &[1; 5_000]);
    assert_eq!(client.sent(), [(DATA, 1)]);
    for _ in 0..100 {
        client.write(stalled, &[1; 5_000]);
        client.write(other, &[2; 100]);
        assert_eq!(client.sent(), [(DATA, 3)]);
        client.feed(&Frame::window_update(3, 100));
    }
}

#[test]
fn a_frame_can_be_reserved_only_when_nothing_waits_before_it() {
    let mut client = End::client();
    let key = client.open();
    assert!(client.machine.reserve(client.now, key, 10).is_none(), "the HANDSHAKE waits");
    client.frames();
    let reserved = client.machine.reserve(client.now, key, 100_000).unwrap();
    assert_eq!(reserved.len, 32_768);
    let head = reserved.head.into_bytes();
    assert_eq!(&*head, [1, 1, 0, 0, 0, 1, 0, 0, 0x80, 0]);
    client.write(key, b"x");
    assert!(client.machine.reserve(client.now, key, 10).is_none(), "data waits");
    client.frames();
    let window = client.machine.stream_stats(key).unwrap().send_window;
    assert_eq!(window, Some(262_144 - 32_768 - 1));
    client.finish(key);
    assert!(client.machine.reserve(client.now, key, 10).is_none(), "it is finished");
}
