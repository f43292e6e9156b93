//! Section 6.3: DATA and CLOSE that overtook their HANDSHAKE.

use trunkline_core::Machine as _;
use trunkline_core::mux::{Mux as _, Side, StreamEnd};
use trunkline_core::wormhole::{EarlyFrames, Frame, FrameType};

use crate::pair::{End, quiet};

#[test]
fn data_in_front_of_its_handshake_is_delivered_behind_it() {
    let mut server = End::server();
    server.feed(&Frame::data(3, b"early ".to_vec()));
    server.feed(&Frame::data(3, b"bird".to_vec()));
    assert_eq!(server.accept(), None);
    server.feed(&Frame::open(3));
    let key = server.accept().unwrap();
    assert_eq!(server.read_all(key), (b"early bird".to_vec(), None));
    assert_eq!(server.useless(), 0);
}

#[test]
fn a_close_in_front_of_its_handshake_ends_the_stream_behind_it() {
    let mut server = End::server();
    server.feed(&Frame::data(1, b"x".to_vec()));
    server.feed(&Frame::close(1));
    server.feed(&Frame::open(1));
    let key = server.accept().unwrap();
    assert_eq!(server.read_all(key), (b"x".to_vec(), Some(StreamEnd::Finished)));
}

#[test]
fn handshakes_that_swap_are_both_new() {
    let mut server = End::server();
    server.feed(&Frame::open(3));
    server.feed(&Frame::data(1, b"one".to_vec()));
    server.feed(&Frame::open(1));
    let (three, one) = (server.accept().unwrap(), server.accept().unwrap());
    assert_eq!(server.read_all(three), (vec![], None));
    assert_eq!(server.read_all(one), (b"one".to_vec(), None));
}

#[test]
fn ids_that_were_opened_before_are_not_held() {
    let mut server = End::server();
    let key = server.opened_by_peer(1);
    server.feed(&Frame::close(1));
    server.finish(key);
    server.feed(&Frame::data(1, b"late".to_vec()));
    server.feed(&Frame::open(1));
    let key = server.accept().unwrap();
    assert_eq!(server.read_all(key), (vec![], None));
}

#[test]
fn what_waits_longer_than_a_second_is_dropped_and_counted() {
    let mut server = End::server();
    server.feed(&Frame::data(1, b"gone".to_vec()));
    server.advance(999);
    assert_eq!(server.useless(), 0);
    server.advance(1);
    assert_eq!((server.useless(), server.machine.poll_timeout()), (1, None));
    // Without its beginning it is no stream.
    server.feed(&Frame::open(1));
    assert_eq!((server.accept(), server.sent()), (None, vec![(FrameType::ERROR, 1)]));
}

#[test]
fn a_frame_that_takes_long_to_come_is_not_dropped_on_its_way() {
    let mut server = End::server();
    let frame = Frame::data(1, vec![7; 30]).encode().unwrap().into_bytes();
    for piece in frame.chunks(4) {
        let (now, piece) = (server.now, bytes::Bytes::copy_from_slice(piece));
        server.machine.handle_input(now, piece);
        server.advance(700);
    }
    server.feed(&Frame::open(1));
    let key = server.accept().unwrap();
    assert_eq!(server.read_all(key), (vec![7; 30], None));
    assert_eq!(server.useless(), 0);
}

#[test]
fn no_more_than_16_streams_and_64_kib_are_held() {
    let mut server = End::server();
    for id in 0..17 {
        server.feed(&Frame::data(2 * id + 1, b"x".to_vec()));
    }
    assert_eq!(server.useless(), 1);
    server.feed(&Frame::open(33));
    assert_eq!((server.accept(), server.sent()), (None, vec![(FrameType::ERROR, 33)]));
    let mut server = End::server();
    for _ in 0..3 {
        server.feed(&Frame::data(1, vec![7; 32_768]));
    }
    assert_eq!(server.useless(), 1);
}

#[test]
fn own_ids_and_zero_are_not_held() {
    let mut server = End::server();
    for id in [0, 2, 8] {
        server.feed(&Frame::data(id, b"x".to_vec()));
        server.feed(&Frame::close(id));
    }
    assert_eq!(server.useless(), 6);
}

#[test]
fn what_was_held_for_a_stream_that_is_refused_is_dropped() {
    let mut config = quiet();
    config.limits.streams = 0;
    let mut server = End::new(Side::Server, config);
    server.feed(&Frame::data(1, b"x".to_vec()));
    server.feed(&Frame::open(1));
    assert_eq!(server.sent(), [(FrameType::ERROR, 1)]);
    assert_eq!(server.machine.stats().memory, 0);
}

#[test]
fn the_original_drops_what_comes_early() {
    let mut config = quiet();
    config.early_frames = EarlyFrames::Drop;
    let mut server = End::new(Side::Server, config);
    server.feed(&Frame::data(1, b"x".to_vec()));
    server.feed(&Frame::open(1));
    let key = server.accept().unwrap();
    assert_eq!((server.read_all(key), server.useless()), ((vec![], None), 1));
}
