//! Boundaries of data frames, kept for a reader: `Config::frame_marks`.

use trunkline_core::mux::{Mux, Received, Side, StreamKey};
use trunkline_core::yamux::{Config, Flags, FrameType};

use crate::pair::{End, data, head};

fn marking() -> End {
    let mut config = Config::agent_tunnel();
    config.frame_marks = true;
    End::new(Side::Server, config)
}

/// Opens stream 1 from the peer's side with a first frame.
fn begun(end: &mut End, payload: &[u8]) -> StreamKey {
    end.feed(data(Flags::SYN, 1, payload));
    end.machine.accept(end.now).unwrap()
}

fn read(end: &mut End, key: StreamKey, max: usize) -> Vec<u8> {
    match end.machine.read(end.now, key, max) {
        Received::Data(bytes) => bytes.to_vec(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_read_never_goes_beyond_the_frame_and_knows_what_is_left_of_it() {
    let mut end = marking();
    let key = begun(&mut end, b"abc");
    end.feed(data(Flags::NONE, 1, b""));
    // Small pieces of an earlier turn lie joined in memory; the boundaries are kept all the same.
    end.feed([data(Flags::NONE, 1, b"d"), data(Flags::NONE, 1, b"efgh")].concat());
    end.feed(data(Flags::NONE, 1, b"ij"));
    assert_eq!(end.machine.frame_left(key), Some(3));
    assert_eq!(read(&mut end, key, usize::MAX), b"abc");
    assert_eq!(end.machine.frame_left(key), Some(1));
    assert_eq!(read(&mut end, key, usize::MAX), b"d");
    assert_eq!(read(&mut end, key, 3), b"efg");
    assert_eq!(end.machine.frame_left(key), Some(1));
    assert_eq!(read(&mut end, key, usize::MAX), b"h");
    assert_eq!(read(&mut end, key, usize::MAX), b"ij");
    assert_eq!(end.machine.frame_left(key), None);
}

#[test]
fn a_frame_that_arrives_in_pieces_is_one_frame() {
    let mut end = marking();
    let key = begun(&mut end, b"x");
    assert_eq!(read(&mut end, key, 9), b"x");
    let frame = data(Flags::NONE, 1, b"abcdef");
    end.feed(&frame[..14]);
    assert_eq!(end.machine.frame_left(key), Some(6));
    assert_eq!(read(&mut end, key, usize::MAX), b"ab");
    assert_eq!(end.machine.frame_left(key), Some(4), "not arrived yet");
    end.feed([&frame[14..], &data(Flags::NONE, 1, b"next")].concat());
    let mut rest = Vec::new();
    while rest.len() < 4 {
        rest.extend(read(&mut end, key, usize::MAX));
    }
    assert_eq!(rest, b"cdef");
    assert_eq!(end.machine.frame_left(key), Some(4));
}

#[test]
fn without_the_setting_there_are_no_boundaries() {
    let mut end = End::server();
    let key = begun(&mut end, b"abc");
    assert_eq!(end.machine.frame_left(key), None);
}

#[test]
fn boundaries_are_counted_and_go_with_what_they_are_of() {
    let mut end = marking();
    let key = begun(&mut end, b"x");
    let before = end.machine.stats().memory;
    end.feed(data(Flags::NONE, 1, b"x").repeat(10_000));
    let with = end.machine.stats().memory;
    assert!(with >= before + 10_000 + 4 * 10_000, "{before} {with}");
    while end.machine.frame_left(key).is_some() {
        assert_eq!(read(&mut end, key, usize::MAX), b"x");
    }
    end.feed(data(Flags::NONE, 1, b"x"));
    assert!(end.machine.stats().memory <= before + 1024, "{}", end.machine.stats().memory);

    // The next stream in the slot of one that was given up has boundaries of its own.
    end.machine.forget(end.now, key);
    end.feed(data(Flags::SYN, 3, b"abcde"));
    let key = end.machine.accept(end.now).unwrap();
    assert_eq!(end.machine.frame_left(key), Some(5));
    end.feed(head(FrameType::Data, Flags::RST, 3, 0).to_bytes());
    assert_eq!(end.machine.drain(key, usize::MAX).unwrap(), "abcde");
    assert_eq!(end.machine.frame_left(key), None);
    end.machine.reset(end.now, key);
    assert_eq!(end.machine.frame_left(key), None);
}
