//! What goes wrong between peers, and what the original does wrong: one test for each item of
//! `docs/protocols/yamux.md` sections 9 and 10.

use bytes::Bytes;
use trunkline_core::mux::{
    Mux as _, MuxEvent, OpenRefusal, Opened, Received, Sent, Side, StreamEnd,
};
use trunkline_core::yamux::{
    Acks, Config, ConfigError, Connection, Flags, FrameType, INITIAL_WINDOW,
};
use trunkline_core::{CloseReason, Machine as _, TimeoutKind};

use crate::pair::{End, Pair, data, go_away, head, ping, update};

const NONE: Flags = Flags::NONE;

#[test]
fn hazard_9_1_no_frame_sent_is_larger_than_16_kib_and_any_granted_frame_is_taken() {
    let mut client = End::client();
    let stream = client.open();
    client.write(stream, &vec![1; 100_000]);
    assert!(client.heads().iter().all(|head| head.length <= 16 << 10));
    let mut config = Config::default();
    config.frame_size = (1 << 20) + 1;
    assert_eq!(Connection::new(Side::Client, config).err(), Some(ConfigError::FrameSize));
    assert!(Config::reference().frame_size <= 1 << 20);

    // A frame beyond 1 MiB, within what was granted, comes out as it comes in.
    let mut config = Config::default();
    config.window = 3 << 20;
    let mut server = End::new(Side::Server, config);
    server.feed(update(Flags::SYN, 1, 0));
    let stream = server.accept();
    let more = (3 << 20) - INITIAL_WINDOW;
    assert_eq!(server.heads(), [head(FrameType::WindowUpdate, Flags::ACK, 1, more)]);
    server.feed(head(FrameType::Data, NONE, 1, 3 << 20).to_bytes());
    let mut read = 0;
    for _ in 0..3 {
        server.feed(vec![7; 1 << 20]);
        match server.read(stream, usize::MAX) {
            Received::Data(bytes) => read += bytes.len(),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(read, 3 << 20);
}

#[test]
fn hazard_9_2_an_accept_is_acknowledged_at_once_and_an_open_announced_at_once() {
    let mut server = End::server();
    server.feed(update(Flags::SYN, 1, 0));
    assert_eq!(server.heads(), []);
    server.accept();
    assert_eq!(server.heads(), [head(FrameType::WindowUpdate, Flags::ACK, 1, 0)]);
    // Also when the opener has finished: its credit comes back, whatever we do.
    server.feed([data(Flags::SYN, 3, b"x"), update(Flags::FIN, 3, 0)].concat());
    server.accept();
    assert_eq!(server.heads(), [head(FrameType::WindowUpdate, Flags::ACK, 3, 0)]);
    // An open leaves by itself, and writing waits for nothing.
    let mut client = End::client();
    let stream = client.open();
    assert_eq!(client.heads(), [head(FrameType::WindowUpdate, Flags::SYN, 1, 0)]);
    assert_eq!(client.write(stream, b"x"), Sent::Accepted(1));
}

#[test]
fn hazard_9_2_acknowledgements_can_be_eager_or_lazy() {
    let with = |acks| {
        let mut config = Config::default();
        config.acks = acks;
        let mut server = End::new(Side::Server, config);
        server.feed(update(Flags::SYN, 1, 0));
        server
    };
    let mut eager = with(Acks::OnOpen);
    assert_eq!(eager.heads(), [head(FrameType::WindowUpdate, Flags::ACK, 1, 0)]);
    eager.accept();
    assert_eq!(eager.heads(), []);
    let mut lazy = with(Acks::Lazy);
    let stream = lazy.accept();
    assert_eq!(lazy.heads(), []);
    lazy.write(stream, b"x");
    lazy.finish(stream);
    assert_eq!(
        lazy.heads(),
        [head(FrameType::Data, Flags::ACK, 1, 1), head(FrameType::WindowUpdate, Flags::FIN, 1, 0)]
    );
    let mut lazy = with(Acks::Lazy);
    let stream = lazy.accept();
    lazy.finish(stream);
    assert_eq!(lazy.heads(), [head(FrameType::WindowUpdate, Flags::ACK | Flags::FIN, 1, 0)]);
}

#[test]
fn hazard_9_3_a_go_away_is_sent_when_asked_for_and_never_else() {
    let mut pair = Pair::default();
    let stream = pair.client.open();
    pair.client.write(stream, b"x");
    pair.run();
    pair.client.machine.close(pair.client.now);
    assert!(pair.client.heads().iter().all(|head| head.kind != FrameType::GoAway));
    pair.server.machine.go_away(pair.server.now);
    pair.server.machine.go_away(pair.server.now);
    assert_eq!(pair.server.heads(), [head(FrameType::GoAway, NONE, 0, 0)]);
}

#[test]
fn hazard_9_4_only_requests_are_answered_and_only_answers_count() {
    let mut server = End::server();
    server.feed([ping(Flags::ACK, 4), ping(NONE, 5), ping(Flags::SYN | Flags::ACK, 6)].concat());
    assert_eq!(server.heads(), [head(FrameType::Ping, Flags::ACK, 0, 6)]);
    assert_eq!(server.machine.stats().useless, 2);
    // A request on a stream's id is answered on 0.
    server.feed(head(FrameType::Ping, Flags::SYN, 5, 9).to_bytes());
    assert_eq!(server.heads(), [head(FrameType::Ping, Flags::ACK, 0, 9)]);
}

#[test]
fn hazard_9_5_frames_for_unknown_streams_are_dropped_without_a_word() {
    let mut server = End::server();
    let stray = [
        data(NONE, 9, b"data"),
        update(NONE, 9, 100),
        update(Flags::ACK, 9, 0),
        update(Flags::FIN, 9, 0),
        update(Flags::RST, 9, 0),
        data(Flags::FIN, 9, b"end"),
    ];
    server.feed(stray.concat());
    assert_eq!(server.heads(), []);
    assert_eq!(server.machine.stats().useless, 6);
    assert!(!server.is_over());
}

#[test]
fn hazard_9_6_a_half_closed_stream_waits_for_the_peer_and_then_resets() {
    let mut client = End::client();
    let stream = client.open();
    client.finish(stream);
    client.feed(update(Flags::ACK, 1, 0));
    client.machine.forget(client.now, stream);
    client.sent();
    client.machine.forget(client.now, stream);
    assert_eq!(client.machine.stats().streams, 1);
    // Keep-alives are answered on the way.
    for _ in 0..59 {
        client.advance(5_000);
        let asked: Vec<_> = client.heads().into_iter().filter(|h| h.flags == Flags::SYN).collect();
        for question in asked {
            client.feed(ping(Flags::ACK, question.length));
        }
    }
    assert_eq!(client.machine.stats().streams, 1);
    client.advance(5_010);
    assert_eq!(client.heads().last(), Some(&head(FrameType::WindowUpdate, Flags::RST, 1, 0)));
    assert_eq!(client.machine.stats().streams, 0);
}

#[test]
fn hazard_9_7_a_stream_beyond_the_backlog_is_refused_and_its_data_skipped() {
    let mut config = Config::default();
    config.limits.backlog = 1;
    let mut server = End::new(Side::Server, config);
    server.feed(
        [
            update(Flags::SYN, 1, 0),
            data(Flags::SYN, 3, b"lost"),
            data(NONE, 3, b"too"),
            ping(Flags::SYN, 7),
        ]
        .concat(),
    );
    assert_eq!(
        server.heads(),
        [head(FrameType::WindowUpdate, Flags::RST, 3, 0), head(FrameType::Ping, Flags::ACK, 0, 7)]
    );
    assert_eq!(server.machine.stats().refused, 1);
    server.accept();
    assert_eq!(server.machine.accept(server.now), None);
}

#[test]
fn hazard_9_8_no_end_of_a_session_is_taken_for_the_end_of_a_stream() {
    for last in [vec![], go_away(0)] {
        let mut server = End::server();
        server.feed(
            [data(Flags::SYN, 1, b"part"), data(Flags::SYN | Flags::FIN, 3, b"all")].concat(),
        );
        let (cut, whole) = (server.accept(), server.accept());
        server.feed(last);
        server.machine.handle_eof(server.now);
        let lost = StreamEnd::Connection(CloseReason::Eof { mid_frame: false });
        assert_eq!(server.read_all(cut), (b"part".to_vec(), Some(lost)));
        assert_eq!(server.read_all(whole), (b"all".to_vec(), Some(StreamEnd::Finished)));
    }
}

#[test]
fn hazard_9_9_flags_are_taken_on_data_and_on_updates_with_any_length() {
    for (syn, fin) in [
        (data(Flags::SYN, 1, b"ab"), data(Flags::FIN, 1, b"c")),
        (data(Flags::SYN, 1, b""), data(Flags::FIN, 1, b"abc")),
        ([update(Flags::SYN, 1, 5), data(NONE, 1, b"abc")].concat(), update(Flags::FIN, 1, 7)),
    ] {
        let mut server = End::server();
        server.feed([syn, fin].concat());
        let stream = server.accept();
        assert_eq!(server.read_all(stream), (b"abc".to_vec(), Some(StreamEnd::Finished)));
        let mut client = End::client();
        let stream = client.open();
        client.sent();
        client.feed(data(Flags::ACK, 1, b"abc"));
        client.feed(data(Flags::RST, 1, b"skipped"));
        client.feed(ping(Flags::SYN, 1));
        assert_eq!(client.heads(), [head(FrameType::Ping, Flags::ACK, 0, 1)]);
        assert_eq!(client.read(stream, 9), Received::End(StreamEnd::Reset));
    }
    assert_eq!(INITIAL_WINDOW, 262_144);
}

#[test]
fn hazard_9_10_credit_on_a_syn_is_an_addition() {
    let mut server = End::server();
    server.feed(update(Flags::SYN, 1, 1_000));
    let stream = server.accept();
    let window = server.machine.stream_stats(stream).unwrap().send_window;
    assert_eq!(window, Some(u64::from(INITIAL_WINDOW) + 1_000));
}

#[test]
fn hazard_9_11_an_end_never_travels_on_data() {
    // The original wakes its reader for the end before it has read the payload.
    let mut client = End::client();
    let stream = client.open();
    client.write(stream, b"all");
    client.finish(stream);
    assert_eq!(
        client.heads(),
        [head(FrameType::Data, Flags::SYN, 1, 3), head(FrameType::WindowUpdate, Flags::FIN, 1, 0)]
    );
}

/// Something that a peer or a user does to a stream.
type Way<'a> = &'a dyn Fn(&mut End, u32);

#[test]
fn defect_10_1_credits_of_opens_come_back_however_a_stream_ends() {
    let mut config = Config::default();
    config.limits.opens_waiting = 1;
    let mut client = End::new(Side::Client, config);
    let ends: [Way<'_>; 6] = [
        &|client, id| client.feed(update(Flags::ACK, id, 0)),
        &|client, id| client.feed(update(Flags::RST, id, 0)),
        &|client, id| client.feed(update(Flags::FIN, id, 0)),
        &|client, id| client.feed([update(Flags::ACK, id, 0), update(Flags::FIN, id, 0)].concat()),
        &|client, _| {
            let stream = client.open();
            client.machine.reset(client.now, stream);
        },
        &|client, _| {
            let stream = client.open();
            client.sent();
            client.machine.forget(client.now, stream);
        },
    ];
    for round in 0..600 {
        let end = ends[round % ends.len()];
        if round % ends.len() < 4 {
            let stream = client.open();
            let id = client.machine.stream_stats(stream).unwrap().id;
            client.sent();
            assert_eq!(client.machine.open(client.now), Opened::Blocked);
            end(&mut client, id);
            assert_eq!(client.events(), [MuxEvent::Openable]);
            client.machine.forget(client.now, stream);
        } else {
            end(&mut client, 0);
        }
        client.sent();
    }
    assert_eq!(client.machine.stats().opened, 600);
}

#[test]
fn defect_10_2_receive_queues_hold_no_more_than_what_is_unread() {
    let mut server = End::server();
    server.feed(update(Flags::SYN, 1, 0));
    let stream = server.accept();
    let before = server.machine.stats().memory;
    server.feed(data(NONE, 1, &vec![1; 200_000]));
    assert!(server.machine.stats().memory >= before + 200_000);
    server.read_all(stream);
    assert_eq!(server.machine.stats().memory, before);
}

#[test]
fn defect_10_3_counters_are_true_after_the_end() {
    let mut pair = Pair::default();
    let stream = pair.client.open();
    pair.client.write(stream, b"12345");
    pair.run();
    pair.client.machine.abort(pair.client.now);
    let stats = pair.client.machine.stats();
    assert_eq!((stats.opened, stats.bytes_out), (1, 5));
    pair.client.machine.forget(pair.client.now, stream);
    assert_eq!(pair.client.read(stream, 1), Received::Unknown);
}

#[test]
fn defect_10_4_reading_stops_for_unsent_replies_and_goes_on_by_itself() {
    let mut server = End::server();
    let pings: Vec<u8> = (0..100).flat_map(|value| ping(Flags::SYN, value)).collect();
    server.feed(pings);
    assert!(!server.machine.wants_input());
    let values: Vec<_> = server.heads().into_iter().map(|head| head.length).collect();
    assert_eq!(values, (0..100).collect::<Vec<_>>());
    assert!(server.machine.wants_input());
}

#[test]
fn defect_10_5_a_write_timeout_ends_the_session_and_nothing_is_sent_afterwards() {
    let mut client = End::client();
    let stream = client.open();
    client.write(stream, &[1; 40_000]);
    // The transport has taken one frame, and takes no more.
    assert!(client.machine.poll_transmit(client.now).is_some());
    client.advance(9_999);
    assert!(!client.is_over());
    client.advance(2);
    let reason = CloseReason::Timeout(TimeoutKind::Write);
    assert_eq!(client.machine.closed(), Some(&reason));
    assert_eq!(client.sent(), b"");
    assert_eq!(client.write(stream, b"x"), Sent::End(StreamEnd::Connection(reason)));
}

#[test]
fn defect_10_6_the_last_ids_can_be_used_and_then_opens_fail_without_a_leak() {
    for (side, last) in [(Side::Client, 0xffff_fffd_u32), (Side::Server, 0xffff_fffc)] {
        let mut config = Config::default();
        config.first_id = Some(last - 2);
        config.limits.opens_waiting = 3;
        let mut end = End::new(side, config);
        for expected in [last - 2, last] {
            let stream = end.open();
            assert_eq!(end.machine.stream_stats(stream).unwrap().id, expected);
        }
        for _ in 0..300 {
            let opened = end.machine.open(end.now);
            assert_eq!(opened, Opened::Refused(OpenRefusal::IdsExhausted));
        }
    }
}

#[test]
fn defect_10_7_go_aways_of_both_sides_leave_streams_alone() {
    let mut pair = Pair::default();
    let ours = pair.client.open();
    pair.run();
    let theirs = pair.server.accept();
    pair.server.machine.go_away(pair.server.now);
    // It crosses an open, which is refused.
    let crossing = pair.client.open();
    pair.client.write(crossing, b"lost");
    pair.run();
    assert!(pair.client.events().contains(&MuxEvent::GoneAway));
    assert_eq!(pair.client.read_all(crossing).1, Some(StreamEnd::Reset));
    let refused = pair.client.machine.open(pair.client.now);
    assert_eq!(refused, Opened::Refused(OpenRefusal::GoneAway));
    // The one that said it may still open, and what lives goes on.
    let back = pair.server.open();
    pair.server.write(back, b"still");
    pair.client.write(ours, b"alive");
    pair.run();
    let accepted = pair.client.accept();
    assert_eq!(pair.client.read_all(accepted).0, b"still");
    assert_eq!(pair.server.read_all(theirs).0, b"alive");
}

#[test]
fn a_blocked_open_is_told_when_the_peer_goes_away() {
    let mut config = Config::default();
    config.limits.opens_waiting = 1;
    let mut client = End::new(Side::Client, config);
    client.open();
    assert_eq!(client.machine.open(client.now), Opened::Blocked);
    client.feed(go_away(0));
    assert_eq!(client.events(), [MuxEvent::GoneAway, MuxEvent::Openable]);
    let refused = client.machine.open(client.now);
    assert_eq!(refused, Opened::Refused(OpenRefusal::GoneAway));
}

#[test]
fn no_credit_is_given_once_the_peer_has_ended() {
    for flag in [Flags::FIN, Flags::RST] {
        let mut server = End::server();
        server.feed(data(Flags::SYN, 1, &vec![1; 200_000]));
        let stream = server.accept();
        server.sent();
        server.feed(update(flag, 1, 0));
        server.read_all(stream);
        while server.machine.drain(stream, 1 << 20).is_some() {}
        assert_eq!(server.heads(), []);
    }
}

#[test]
fn half_of_the_window_is_what_makes_an_update() {
    let mut server = End::server();
    server.feed(data(Flags::SYN, 1, &vec![1; 262_144]));
    let stream = server.accept();
    server.sent();
    let mut read = |count: usize| {
        let Received::Data(bytes) = server.read(stream, count) else { panic!() };
        assert_eq!(bytes.len(), count);
        server.heads().into_iter().filter(|head| head.kind == FrameType::WindowUpdate).collect()
    };
    let none: Vec<trunkline_core::yamux::Head> = read(131_071);
    assert_eq!(none, []);
    assert_eq!(read(1), [head(FrameType::WindowUpdate, NONE, 1, 131_072)]);
    assert_eq!(read(131_072), [head(FrameType::WindowUpdate, NONE, 1, 131_072)]);
}

#[test]
fn an_empty_write_sends_nothing() {
    let mut client = End::client();
    let stream = client.open();
    client.sent();
    let sent = client.machine.write(client.now, stream, &mut Bytes::new());
    assert_eq!((sent, client.heads()), (Sent::Accepted(0), vec![]));
}
