//! What the original offers, row by row of `docs/protocols/yamux.md` section 12.

use core::time::Duration;

use trunkline_core::mux::{Mux as _, OpenRefusal, Opened, Pinged, Received, Sent, Side, StreamEnd};
use trunkline_core::yamux::{Config, ConfigError, Connection, Flags, FrameType, WindowGrowth};
use trunkline_core::{CloseReason, Machine as _};

use crate::pair::{End, Pair, data, head};

/// A change of the settings, and how it is refused.
type Refused = (fn(&mut Config), ConfigError, &'static str);

#[test]
fn settings_have_the_originals_defaults_and_are_verified_in_its_words() {
    let config = Config::default();
    assert_eq!((config.limits.backlog, config.limits.opens_waiting), (256, 256));
    assert_eq!(config.keep_alive, Some(Duration::from_secs(30)));
    assert_eq!(config.write_timeout, Some(Duration::from_secs(10)));
    assert_eq!(config.window, 262_144);
    assert_eq!(config.open_timeout, Some(Duration::from_secs(75)));
    assert_eq!(config.close_timeout, Some(Duration::from_secs(300)));
    let changes: [Refused; 6] = [
        (|c| c.limits.backlog = 0, ConfigError::Backlog, "backlog must be positive"),
        (|c| c.limits.opens_waiting = 0, ConfigError::Backlog, "backlog must be positive"),
        (
            |c| c.keep_alive = Some(Duration::ZERO),
            ConfigError::KeepAlive,
            "keep-alive interval must be positive",
        ),
        (
            |c| c.window = 262_143,
            ConfigError::Window,
            "MaxStreamWindowSize must be larger than 262144",
        ),
        (|c| c.frame_size = 0, ConfigError::FrameSize, "frame_size must be from 1 to 1048576"),
        (
            |c| c.first_id = Some(2),
            ConfigError::FirstId,
            "first_id must be one that this side may give out",
        ),
    ];
    for (change, error, text) in changes {
        let mut config = Config::default();
        change(&mut config);
        let refused = Connection::new(Side::Client, config).err();
        assert_eq!(refused, Some(error));
        assert_eq!(error.to_string(), text);
    }
    for config in [Config::default(), Config::reference()] {
        assert_eq!(config.verify(), Ok(()));
    }
    assert_eq!(Config::reference().growth, WindowGrowth::Fixed);
}

#[test]
fn each_side_gives_out_its_own_ids_in_order() {
    for (side, ids) in [(Side::Client, [1, 3, 5]), (Side::Server, [2, 4, 6])] {
        let mut end = End::new(side, Config::default());
        for id in ids {
            let stream = end.open();
            let stats = end.machine.stream_stats(stream).unwrap();
            assert_eq!((stats.id, stats.ours), (id, true));
        }
        assert_eq!(end.machine.side(), side);
    }
}

#[test]
fn errors_of_an_open_come_in_the_originals_order() {
    // Closed before gone away before a missing credit before used up ids.
    let mut config = Config::default();
    config.first_id = Some(u32::MAX - 2);
    config.limits.opens_waiting = 1;
    let mut client = End::new(Side::Client, config);
    client.open();
    assert_eq!(client.machine.open(client.now), Opened::Blocked);
    client.feed(crate::pair::go_away(0));
    let refused = |client: &mut End, why| {
        assert_eq!(client.machine.open(client.now), Opened::Refused(why));
    };
    refused(&mut client, OpenRefusal::GoneAway);
    client.machine.abort(client.now);
    refused(&mut client, OpenRefusal::Closed);
}

#[test]
fn close_is_idempotent_and_its_reason_sticks() {
    let mut client = End::client();
    client.machine.close(client.now);
    client.machine.close(client.now);
    client.machine.abort(client.now);
    client.machine.handle_eof(client.now);
    assert_eq!(client.machine.closed(), Some(&CloseReason::Local));
    assert_eq!(client.events().len(), 1);
    assert_eq!(client.machine.ping(client.now), Pinged::Closed);
}

#[test]
fn streams_are_counted_while_they_are_opened_waiting_or_half_closed() {
    let mut pair = Pair::default();
    let count =
        |pair: &Pair| (pair.client.machine.stats().streams, pair.server.machine.stats().streams);
    let ours = pair.client.open();
    pair.run();
    assert_eq!(count(&pair), (1, 1));
    assert_eq!(pair.server.machine.stats().waiting, 1);
    let theirs = pair.server.accept();
    pair.client.finish(ours);
    pair.run();
    assert_eq!(count(&pair), (1, 1));
    pair.server.finish(theirs);
    pair.run();
    assert_eq!(count(&pair), (0, 0));
}

#[test]
fn a_read_gives_what_is_there_and_of_nothing_nothing() {
    let mut server = End::server();
    server.feed(data(Flags::SYN, 1, b"abcdef"));
    let stream = server.accept();
    assert_eq!(server.read(stream, 0), Received::Data(vec![].into()));
    assert_eq!(server.read(stream, 4), Received::Data("abcd".into()));
    assert_eq!(server.read(stream, 4), Received::Data("ef".into()));
    assert_eq!(server.read(stream, 4), Received::Blocked);
}

#[test]
fn what_the_original_lacks_is_here() {
    // A stream can be reset, and its end tells which of three it was.
    let mut pair = Pair::default();
    let streams = [pair.client.open(), pair.client.open(), pair.client.open()];
    pair.run();
    let theirs = [pair.server.accept(), pair.server.accept(), pair.server.accept()];
    pair.client.finish(streams[0]);
    pair.client.machine.reset(pair.client.now, streams[1]);
    pair.run();
    pair.server.machine.handle_eof(pair.server.now);
    let ends = theirs.map(|stream| pair.server.read_all(stream).1.unwrap());
    let lost = StreamEnd::Connection(CloseReason::Eof { mid_frame: false });
    assert_eq!(ends, [StreamEnd::Finished, StreamEnd::Reset, lost]);
    // The size of frames can be chosen.
    let mut config = Config::default();
    config.frame_size = 10;
    let mut client = End::new(Side::Client, config);
    let stream = client.open();
    assert_eq!(client.write(stream, &[1; 25]), Sent::Accepted(25));
    let lengths: Vec<_> = client.heads().iter().map(|head| head.length).collect();
    assert_eq!(lengths, [10, 10, 5]);
}

#[test]
fn data_frames_of_two_writes_are_never_joined_and_streams_take_turns() {
    let mut client = End::client();
    let (one, two) = (client.open(), client.open());
    client.sent();
    client.write(one, b"aaa");
    client.write(one, b"bb");
    client.write(two, b"c");
    client.machine.ping(client.now);
    assert_eq!(
        client.heads(),
        [
            head(FrameType::Ping, Flags::SYN, 0, 0),
            head(FrameType::Data, Flags::NONE, 1, 3),
            head(FrameType::Data, Flags::NONE, 3, 1),
            head(FrameType::Data, Flags::NONE, 1, 2),
        ]
    );
}
