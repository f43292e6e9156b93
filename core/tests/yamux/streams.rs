//! Streams as they should be: opened, used, half-closed, reset, forgotten.

use bytes::Bytes;
use trunkline_core::mux::{
    Finished, LocalEnd, Mux as _, MuxEvent, Opened, Received, Sent, StreamEnd,
};
use trunkline_core::yamux::{Config, Flags, FrameType, INITIAL_WINDOW, Opens};
use trunkline_core::{CloseReason, Machine as _};

use crate::pair::{End, Pair, data, head, update};

#[test]
fn a_stream_is_echoed_and_half_closed() {
    let mut pair = Pair::default();
    let ours = pair.client.open();
    assert_eq!(pair.client.write(ours, b"hello"), Sent::Accepted(5));
    pair.run();
    let theirs = pair.server.accept();
    assert_eq!(pair.server.read_all(theirs), (b"hello".to_vec(), None));
    assert_eq!(pair.server.write(theirs, b"HELLO"), Sent::Accepted(5));
    pair.client.finish(ours);
    pair.run();
    assert_eq!(pair.client.read_all(ours), (b"HELLO".to_vec(), None));
    assert_eq!(pair.server.read_all(theirs), (vec![], Some(StreamEnd::Finished)));
    assert_eq!(pair.server.write(theirs, b"more"), Sent::Accepted(4));
    pair.server.finish(theirs);
    pair.run();
    assert_eq!(pair.client.read_all(ours), (b"more".to_vec(), Some(StreamEnd::Finished)));
    for end in [&pair.client, &pair.server] {
        let stats = end.machine.stats();
        assert_eq!((stats.streams, stats.granted, stats.queued_out), (0, 0, 0), "{stats:?}");
    }
}

#[test]
fn an_open_travels_on_the_first_data_of_its_turn() {
    let mut client = End::client();
    let first = client.open();
    client.write(first, b"one");
    let second = client.open();
    let heads = client.heads();
    assert_eq!(
        heads,
        [head(FrameType::Data, Flags::SYN, 1, 3), head(FrameType::WindowUpdate, Flags::SYN, 3, 0)]
    );
    client.write(second, b"two");
    assert_eq!(client.heads(), [head(FrameType::Data, Flags::NONE, 3, 3)]);
}

#[test]
fn a_window_beyond_the_first_is_announced_before_any_data() {
    let mut config = Config::default();
    config.window = 1 << 20;
    let mut client = End::new(trunkline_core::mux::Side::Client, config);
    let stream = client.open();
    client.write(stream, b"x");
    let more = (1 << 20) - INITIAL_WINDOW;
    assert_eq!(
        client.heads(),
        [
            head(FrameType::WindowUpdate, Flags::SYN, 1, more),
            head(FrameType::Data, Flags::NONE, 1, 1)
        ]
    );
}

#[test]
fn a_lazy_open_waits_for_the_first_frame() {
    let mut config = Config::default();
    config.opens = Opens::Lazy;
    let mut client = End::new(trunkline_core::mux::Side::Client, config);
    let stream = client.open();
    assert_eq!(client.heads(), []);
    client.finish(stream);
    assert_eq!(
        client.heads(),
        [
            head(FrameType::WindowUpdate, Flags::SYN, 1, 0),
            head(FrameType::WindowUpdate, Flags::FIN, 1, 0)
        ]
    );
}

#[test]
fn nothing_is_sent_of_a_stream_that_is_reset_before_it_was_announced() {
    let mut client = End::client();
    let stream = client.open();
    client.write(stream, b"never mind");
    client.machine.reset(client.now, stream);
    assert_eq!(client.sent(), b"");
    let end = StreamEnd::Local(LocalEnd::Asked);
    assert_eq!(client.read(stream, 10), Received::End(end.clone()));
    assert_eq!(client.write(stream, b"x"), Sent::End(end));
    assert_eq!(client.machine.stats().queued_out, 0);
}

#[test]
fn a_writer_stops_at_the_window_and_goes_on_with_credit() {
    let mut config = Config::default();
    config.limits.send_queue = 1 << 20;
    let mut client = End::new(trunkline_core::mux::Side::Client, config);
    let stream = client.open();
    let window = INITIAL_WINDOW as usize;
    let (mut data, mut sent) = (Bytes::from(vec![7; window + 5_000]), 0);
    loop {
        match client.machine.write(client.now, stream, &mut data) {
            Sent::Accepted(count) => sent += count,
            Sent::Blocked => {
                if client.sent().is_empty() {
                    break;
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(sent, window);
    client.events();
    client.feed(update(Flags::NONE, 1, 4_000));
    assert_eq!(client.events(), [MuxEvent::Writable(stream)]);
    assert_eq!(client.machine.write(client.now, stream, &mut data), Sent::Accepted(4_000));
    assert_eq!(client.machine.write(client.now, stream, &mut data), Sent::Blocked);
}

#[test]
fn bytes_come_before_a_reset_only_through_drain() {
    let mut server = End::server();
    server.feed([update(Flags::SYN, 1, 0), data(Flags::NONE, 1, b"last words")].concat());
    let stream = server.accept();
    server.feed(update(Flags::RST, 1, 0));
    assert_eq!(server.read(stream, 100), Received::End(StreamEnd::Reset));
    assert_eq!(server.write(stream, b"x"), Sent::End(StreamEnd::Reset));
    assert_eq!(server.machine.drain(stream, 4).unwrap(), "last");
    assert_eq!(server.machine.drain(stream, 100).unwrap(), " words");
    assert_eq!(server.machine.drain(stream, 100), None);
}

#[test]
fn bytes_come_before_the_loss_of_the_connection() {
    let mut server = End::server();
    server.feed([update(Flags::SYN, 1, 0), data(Flags::NONE, 1, b"kept")].concat());
    let stream = server.accept();
    server.machine.handle_eof(server.now);
    let lost = CloseReason::Eof { mid_frame: false };
    assert_eq!(server.read_all(stream), (b"kept".to_vec(), Some(StreamEnd::Connection(lost))));
}

#[test]
fn a_finished_stream_can_be_forgotten_and_its_end_is_waited_for() {
    let mut pair = Pair::default();
    let ours = pair.client.open();
    pair.client.write(ours, b"all of it");
    pair.client.finish(ours);
    pair.client.machine.forget(pair.client.now, ours);
    assert_eq!(pair.client.read(ours, 1), Received::Unknown);
    pair.run();
    let theirs = pair.server.accept();
    let (all, end) = pair.server.read_all(theirs);
    assert_eq!((all.as_slice(), end), (&b"all of it"[..], Some(StreamEnd::Finished)));
    pair.server.finish(theirs);
    pair.run();
    assert_eq!(pair.client.machine.stats().streams, 0);
    // One that still gets data is reset: nobody reads it.
    let ours = pair.client.open();
    pair.client.finish(ours);
    pair.client.machine.forget(pair.client.now, ours);
    pair.run();
    let theirs = pair.server.accept();
    pair.server.write(theirs, b"unwanted");
    pair.run();
    assert_eq!(pair.server.read_all(theirs).1, Some(StreamEnd::Reset));
}

#[test]
fn a_stream_that_is_dropped_with_bytes_to_come_is_reset() {
    let mut pair = Pair::default();
    let ours = pair.client.open();
    pair.client.write(ours, b"x");
    pair.run();
    let theirs = pair.server.accept();
    pair.server.machine.forget(pair.server.now, theirs);
    pair.run();
    assert_eq!(pair.client.read_all(ours).1, Some(StreamEnd::Reset));
    assert_eq!(pair.client.machine.stats().streams, 0);
}

#[test]
fn a_stream_that_was_read_to_its_end_is_finished_when_it_is_dropped() {
    let mut pair = Pair::default();
    let ours = pair.client.open();
    pair.client.write(ours, b"question");
    pair.client.finish(ours);
    pair.run();
    let theirs = pair.server.accept();
    pair.server.read_all(theirs);
    pair.server.write(theirs, b"answer");
    pair.server.machine.forget(pair.server.now, theirs);
    pair.run();
    assert_eq!(pair.client.read_all(ours), (b"answer".to_vec(), Some(StreamEnd::Finished)));
}

#[test]
fn misuse_is_an_answer() {
    let mut pair = Pair::default();
    let ours = pair.client.open();
    pair.client.finish(ours);
    assert_eq!(pair.client.machine.finish(pair.client.now, ours), Finished::Already);
    assert_eq!(pair.client.write(ours, b"x"), Sent::End(StreamEnd::Finished));
    pair.client.machine.forget(pair.client.now, ours);
    assert_eq!(pair.client.machine.finish(pair.client.now, ours), Finished::Unknown);
    assert_eq!(pair.client.write(ours, b""), Sent::Unknown);
    pair.client.machine.reset(pair.client.now, ours);
    pair.client.machine.forget(pair.client.now, ours);
    assert_eq!(pair.client.machine.stream_stats(ours), None);
}

#[test]
fn close_sends_what_is_queued_and_nothing_else() {
    let mut pair = Pair::default();
    let ours = pair.client.open();
    pair.client.write(ours, b"queued");
    pair.client.machine.close(pair.client.now);
    assert!(!pair.client.is_over());
    assert!(matches!(pair.client.machine.open(pair.client.now), Opened::Refused(_)));
    pair.run();
    assert_eq!(pair.client.machine.closed(), Some(&CloseReason::Local));
    let theirs = pair.server.accept();
    assert_eq!(pair.server.read_all(theirs).0, b"queued");
}

#[test]
fn reserve_gives_the_head_of_the_next_frame_when_nothing_waits() {
    let mut client = End::client();
    let stream = client.open();
    assert!(client.machine.reserve(client.now, stream, 10).is_none(), "the SYN waits");
    client.sent();
    let reserved = client.machine.reserve(client.now, stream, 100_000).unwrap();
    assert_eq!(reserved.len, 16 << 10);
    let expected = head(FrameType::Data, Flags::NONE, 1, 16 << 10).to_bytes();
    assert_eq!(reserved.head.slices().concat(), expected);
    let stats = client.machine.stream_stats(stream).unwrap();
    assert_eq!(stats.send_window, Some(u64::from(INITIAL_WINDOW) - (16 << 10)));
    client.write(stream, b"queued");
    assert!(client.machine.reserve(client.now, stream, 10).is_none());
}
