//! The table of section 4, row by row.

use bytes::Bytes;
use trunkline_core::CloseReason;
use trunkline_core::Machine as _;
use trunkline_core::mux::{
    Finished, LocalEnd, Mux as _, MuxEvent, OpenRefusal, Opened, Received, Sent, Side, StreamEnd,
};
use trunkline_core::wormhole::{
    Config, Ends, Frame, FrameType, LateData, LateError, LateWrites, RemoteError,
};

use crate::pair::{End, exchange, quiet};

#[test]
fn a_stream_is_used_before_anybody_answers() {
    let mut client = End::client();
    let key = client.open();
    assert_eq!(client.write(key, b"hello"), Sent::Accepted(5));
    let expected = [Frame::open(1), Frame::data(1, b"hello".to_vec())];
    assert_eq!(client.frames(), expected);
}

#[test]
fn a_stream_opened_written_and_closed_before_it_is_accepted_can_be_read() {
    let (mut client, mut server) = (End::client(), End::server());
    let key = client.open();
    client.write(key, b"fire and forget");
    client.finish(key);
    exchange(&mut client, &mut server);
    let key = server.accept().unwrap();
    assert_eq!(server.read_all(key), (b"fire and forget".to_vec(), Some(StreamEnd::Finished)));
    server.finish(key);
    assert_eq!(server.sent(), [], "who closes second says nothing");
    assert_eq!((client.machine.stats().streams, server.machine.stats().streams), (0, 0));
}

#[test]
fn a_close_of_the_peer_wakes_reader_and_writer_and_drops_what_was_queued() {
    let mut client = End::new(Side::Client, {
        let mut c = quiet();
        c.window = 5;
        c
    });
    let key = client.open();
    assert_eq!(client.write(key, b"0123456789"), Sent::Accepted(5));
    assert_eq!(client.write(key, b"56789"), Sent::Blocked);
    assert_eq!(client.read(key), Received::Blocked);
    client.feed(&Frame::close(1));
    assert_eq!(client.events(), [MuxEvent::Writable(key), MuxEvent::Readable(key)]);
    assert_eq!(client.write(key, b"5"), Sent::End(StreamEnd::Reset));
    assert_eq!(client.read(key), Received::End(StreamEnd::Finished));
    assert_eq!(client.sent(), [(FrameType::HANDSHAKE, 1)], "the peer would drop the data");
}

#[test]
fn an_error_of_the_peer_is_what_reads_and_writes_fail_with() {
    let mut client = End::client();
    let key = client.open();
    client.feed(&Frame::data(1, b"rest".to_vec()));
    client.feed(&Frame::error(1, 503, b"accept queue full"));
    let end = StreamEnd::Remote { code: 503, text: Bytes::from_static(b"accept queue full") };
    assert_eq!(client.write(key, b"x"), Sent::End(end.clone()));
    assert_eq!(client.read_all(key), (b"rest".to_vec(), Some(end.clone())));
    assert_eq!(RemoteError::of(&end).unwrap().to_string(), "accept queue full");
    assert_eq!(client.machine.stats().streams, 1, "it counts until it is closed here");
    client.finish(key);
    assert_eq!(client.sent(), [(FrameType::HANDSHAKE, 1)], "no CLOSE behind the peer's error");
    assert_eq!(client.machine.stats().streams, 0);
}

#[test]
fn behind_the_peers_close_data_errors_and_credit_have_no_effect() {
    let mut server = End::server();
    let key = server.opened_by_peer(1);
    server.feed(&Frame::close(1));
    for frame in [
        Frame::data(1, b"late".to_vec()),
        Frame::error(1, 1, b"late"),
        Frame::window_update(1, 9),
        Frame::close(1),
    ] {
        server.feed(&frame);
    }
    assert_eq!(server.read(key), Received::End(StreamEnd::Finished));
    assert_eq!((server.useless(), server.closed()), (4, None));
}

#[test]
fn the_original_delivers_late_data_and_lets_a_late_error_replace_the_end() {
    let mut config = quiet();
    (config.late_data, config.late_error) = (LateData::Deliver, LateError::Replace);
    let mut server = End::new(Side::Server, config);
    let key = server.opened_by_peer(1);
    server.feed(&Frame::close(1));
    assert_eq!(server.read(key), Received::End(StreamEnd::Finished));
    server.feed(&Frame::data(1, b"late".to_vec()));
    assert_eq!(server.read(key), Received::Data(Bytes::from_static(b"late")));
    server.feed(&Frame::error(1, 7, b"oops"));
    assert!(matches!(server.read(key), Received::End(StreamEnd::Remote { code: 7, .. })));
}

#[test]
fn the_original_still_writes_to_a_stream_that_the_peer_closed() {
    let mut config = quiet();
    config.late_writes = LateWrites::Send;
    let mut server = End::new(Side::Server, config);
    let key = server.opened_by_peer(1);
    server.feed(&Frame::close(1));
    assert_eq!(server.write(key, b"into the void"), Sent::Accepted(13));
    assert_eq!(server.sent(), [(FrameType::DATA, 1)]);
    server.finish(key);
    assert_eq!((server.sent(), server.machine.stats().streams), (vec![], 0));
}

#[test]
fn what_is_buffered_can_be_read_behind_the_own_close_and_grants_nothing() {
    for (ends, expected) in
        [(Ends::Distinct, StreamEnd::Local(LocalEnd::Asked)), (Ends::Alike, StreamEnd::Finished)]
    {
        let mut config = quiet();
        (config.ends, config.window) = (ends, 4);
        let mut client = End::new(Side::Client, config);
        let key = client.open();
        client.feed(&Frame::data(1, b"kept".to_vec()));
        client.finish(key);
        client.feed(&Frame::data(1, b"drop".to_vec()));
        assert_eq!(client.read_all(key), (b"kept".to_vec(), Some(expected)));
        assert_eq!(client.write(key, b"x"), Sent::End(StreamEnd::Finished));
        assert_eq!(client.machine.finish(client.now, key), Finished::Already);
        assert_eq!(client.sent(), [(FrameType::HANDSHAKE, 1), (FrameType::CLOSE, 1)]);
    }
}

#[test]
fn closes_that_cross_leave_nothing_behind() {
    let (mut client, mut server) = (End::client(), End::server());
    let ours = client.open();
    exchange(&mut client, &mut server);
    let theirs = server.accept().unwrap();
    client.finish(ours);
    server.finish(theirs);
    exchange(&mut client, &mut server);
    for end in [&mut client, &mut server] {
        assert_eq!((end.machine.stats().streams, end.closed()), (0, None));
    }
    client.machine.forget(client.now, ours);
    assert_eq!(client.read(ours), Received::Unknown);
}

#[test]
fn a_reset_drops_what_was_queued_and_looks_like_a_close() {
    let mut client = End::client();
    let key = client.open();
    client.sent();
    client.write(key, b"never sent");
    client.feed(&Frame::data(1, b"never read".to_vec()));
    client.machine.reset(client.now, key);
    assert_eq!(client.sent(), [(FrameType::CLOSE, 1)]);
    assert_eq!(client.read(key), Received::End(StreamEnd::Local(LocalEnd::Asked)));
    assert_eq!(client.machine.stats().reset, 1);
}

#[test]
fn forgetting_a_stream_still_sends_what_was_written() {
    let mut client = End::client();
    let key = client.open();
    client.write(key, b"last words");
    client.machine.forget(client.now, key);
    assert_eq!(client.machine.stream_stats(key), None);
    let expected = [Frame::open(1), Frame::data(1, b"last words".to_vec()), Frame::close(1)];
    assert_eq!(client.frames(), expected);
}

#[test]
fn a_refused_open_comes_back_as_an_error_and_its_id_is_not_used_again() {
    let mut config = quiet();
    config.limits.backlog = 1;
    let (mut client, mut server) = (End::client(), End::new(Side::Server, config));
    let (taken, refused) = (client.open(), client.open());
    exchange(&mut client, &mut server);
    assert!(matches!(
        client.read(refused),
        Received::End(StreamEnd::Remote { code: RemoteError::REFUSED, .. })
    ));
    assert_eq!(client.read(taken), Received::Blocked);
    client.finish(refused);
    client.open();
    assert_eq!(client.sent(), [(FrameType::HANDSHAKE, 5)]);
    assert_eq!(server.machine.stats().refused, 1);
}

#[test]
fn without_a_backlog_a_stream_is_taken_only_while_somebody_waits_for_it() {
    let mut config = quiet();
    config.limits.backlog = 0;
    let mut server = End::new(Side::Server, config);
    server.feed(&Frame::open(1));
    assert_eq!(server.sent(), [(FrameType::ERROR, 1)]);
    assert_eq!(server.accept(), None);
    server.feed(&Frame::open(3));
    server.feed(&Frame::open(5));
    assert_eq!(server.sent(), [(FrameType::ERROR, 5)]);
    assert_eq!(server.events(), [MuxEvent::Acceptable]);
    assert!(server.accept().is_some());
}

#[test]
fn opening_fails_once_the_ids_are_used_up() {
    let mut config = quiet();
    config.first_id = Some(u32::MAX);
    let mut client = End::new(Side::Client, config);
    client.open();
    assert_eq!(client.sent(), [(FrameType::HANDSHAKE, u32::MAX)]);
    let refused = Opened::Refused(OpenRefusal::IdsExhausted);
    assert_eq!(client.machine.open(client.now), refused);
}

#[test]
fn a_connection_that_ends_tells_its_streams_why_unless_it_is_to_be_like_the_original() {
    for (config, expected) in [
        (quiet(), StreamEnd::Connection(CloseReason::Eof { mid_frame: false })),
        (Config::reference(), StreamEnd::Finished),
    ] {
        let mut server = End::new(Side::Server, config);
        let key = server.opened_by_peer(1);
        server.feed(&Frame::data(1, b"partial".to_vec()));
        server.machine.handle_eof(server.now);
        assert_eq!(server.read_all(key), (b"partial".to_vec(), Some(expected)));
        let reason = CloseReason::Eof { mid_frame: false };
        assert_eq!(server.write(key, b"x"), Sent::End(StreamEnd::Connection(reason)));
        assert_eq!(server.accept(), None);
        let closed = Opened::Refused(OpenRefusal::Closed);
        assert_eq!(server.machine.open(server.now), closed);
    }
}

#[test]
fn an_empty_write_is_no_frame_and_an_empty_read_takes_nothing() {
    let mut client = End::client();
    let key = client.open();
    client.sent();
    assert_eq!(client.write(key, b""), Sent::Accepted(0));
    assert_eq!(client.sent(), []);
    client.feed(&Frame::data(1, b"abc".to_vec()));
    assert_eq!(client.machine.read(client.now, key, 0), Received::Data(Bytes::new()));
    assert_eq!(client.machine.read(client.now, key, 2), Received::Data(Bytes::from_static(b"ab")));
    assert_eq!(client.machine.read(client.now, key, 2), Received::Data(Bytes::from_static(b"c")));
}
