//! Ends, and the bytes before them: the table of [`trunkline_core::mux`], row by row on every wire.

use bytes::Bytes;
use trunkline_core::mux::{
    Finished, LocalEnd, Mux, MuxEvent, Opened, Received, Sent, Side, StreamEnd, StreamKey,
};
use trunkline_core::{CloseReason, Direction, Instant, Limits, Machine as _, TimeoutKind};

use crate::wires::{Wire, each_wire};

each_wire! {
    what_arrived_whole_is_accepted_and_read_behind_any_end_that_came_over_the_link,
    whoever_waits_for_accept_is_told_before_the_connection_is_over,
    behind_an_end_of_its_own_a_connection_accepts_nothing,
    what_is_unread_behind_the_end_counts_until_it_is_read_or_forgotten,
    the_peers_finish_comes_behind_its_bytes_and_closes_the_other_way_where_it_must,
    the_peers_reset_is_told_at_once_where_the_wire_has_one,
    an_own_finish_is_finished_for_writing_and_keeps_what_came,
    an_own_reset_throws_away_what_came,
}

const NOW: Instant = Instant::ORIGIN;

/// Whether streams that waited can be accepted behind the end: on wormhole the answer is the error,
/// always (section 8 of its page).
pub(crate) fn hands_out(mux: &impl Mux) -> bool {
    mux.abilities().name != "wormhole"
}

struct Both<M> {
    client: M,
    server: M,
}

fn both<W: Wire>() -> Both<W::Mux> {
    let make = |side| W::make(side, Limits::default());
    Both { client: make(Side::Client), server: make(Side::Server) }
}

fn carry<M: Mux>(from: &mut M, to: &mut M) {
    while let Some(segment) = from.poll_transmit(NOW) {
        to.handle_input(NOW, segment.into_bytes());
    }
}

impl<M: Mux> Both<M> {
    /// Hands over all that either side has to send.
    fn pass(&mut self) {
        for _ in 0..4 {
            carry(&mut self.client, &mut self.server);
            carry(&mut self.server, &mut self.client);
        }
    }

    /// A stream of the client's that has carried this, and may have ended.
    fn written(&mut self, bytes: &'static [u8], finished: bool) -> StreamKey {
        let Opened::Stream(key) = self.client.open(NOW) else { panic!("no stream") };
        let mut data = Bytes::from_static(bytes);
        assert_eq!(self.client.write(NOW, key, &mut data), Sent::Accepted(bytes.len()));
        if finished {
            assert_eq!(self.client.finish(NOW, key), Finished::Queued);
        }
        self.pass();
        key
    }

    /// The same, accepted at the server.
    fn accepted(&mut self, bytes: &'static [u8], finished: bool) -> (StreamKey, StreamKey) {
        let ours = self.written(bytes, finished);
        let theirs = self.server.accept(NOW).unwrap();
        self.pass();
        (ours, theirs)
    }
}

/// All that can be read, and the end behind it; and what is left to drain.
fn read<M: Mux>(mux: &mut M, key: StreamKey) -> (Vec<u8>, Option<StreamEnd>, Vec<u8>) {
    let mut bytes = Vec::new();
    let end = loop {
        match mux.read(NOW, key, 3) {
            Received::Data(data) => bytes.extend_from_slice(&data),
            Received::Blocked => break None,
            Received::End(end) => break Some(end),
            Received::Unknown => panic!("{key:?} is unknown"),
        }
    };
    assert_eq!(mux.read_end(key), end);
    let mut left = Vec::new();
    while let Some(data) = mux.drain(key, 2) {
        left.extend_from_slice(&data);
    }
    (bytes, end, left)
}

/// How a connection ends from the outside.
#[derive(Clone, Copy, Debug)]
enum How {
    /// The peer closes it in order.
    Closed,
    /// The peer's end breaks off.
    Lost,
    /// The link fails for reading.
    ReadFails,
    /// It fails for writing, and what the peer sent still comes.
    WriteFails,
    /// The peer breaks a rule.
    Violated,
    /// The peer falls silent.
    Silent,
}

const HOWS: [How; 6] =
    [How::Closed, How::Lost, How::ReadFails, How::WriteFails, How::Violated, How::Silent];

impl How {
    /// Ends the server's connection, and says why it is over.
    fn end<M: Mux>(self, both: &mut Both<M>) -> CloseReason {
        let server = &mut both.server;
        match self {
            Self::Closed => {
                both.client.close(NOW);
                carry(&mut both.client, server);
                assert_eq!(both.client.closed(), Some(&CloseReason::Local));
                server.handle_eof(NOW);
            }
            Self::Lost => server.handle_eof(NOW),
            Self::ReadFails => server.handle_failure(NOW, Direction::Read, Some(104)),
            Self::WriteFails => {
                server.handle_failure(NOW, Direction::Write, Some(32));
                assert_eq!(server.closed(), None, "what was sent may still come");
                server.handle_eof(NOW);
            }
            Self::Violated => server.handle_input(NOW, Bytes::from_static(&[0xff; 24])),
            Self::Silent => {
                while let Some(at) = server.poll_timeout() {
                    server.handle_timeout(at);
                    while server.poll_transmit(at).is_some() {}
                }
            }
        }
        let reason = server.closed().cloned().unwrap();
        let expected = match self {
            Self::Closed | Self::Lost => matches!(reason, CloseReason::Eof { mid_frame: false }),
            Self::ReadFails => reason == CloseReason::Transport { os_error: Some(104) },
            Self::WriteFails => reason == CloseReason::Transport { os_error: Some(32) },
            Self::Violated => matches!(reason, CloseReason::Violation(_)),
            Self::Silent => reason == CloseReason::Timeout(TimeoutKind::KeepAlive),
        };
        assert!(expected, "{self:?}: {reason:?}");
        reason
    }
}

fn what_arrived_whole_is_accepted_and_read_behind_any_end_that_came_over_the_link<W: Wire>() {
    for how in HOWS {
        let mut both = both::<W>();
        let (_, met) = both.accepted(b"met, and whole", true);
        both.written(b"first", true);
        both.written(b"second, in part", false);
        both.written(b"third", true);
        let reason = how.end(&mut both);
        let server = &mut both.server;
        let whole = |bytes: &[u8]| (bytes.to_vec(), Some(StreamEnd::Finished), Vec::new());
        assert_eq!(read(server, met), whole(b"met, and whole"), "{how:?}");
        if !hands_out(server) {
            assert_eq!((server.accept(NOW), server.closed()), (None, Some(&reason)), "{how:?}");
            continue;
        }
        let first = server.accept(NOW).unwrap();
        let second = server.accept(NOW).unwrap();
        // In any order, like the streams of a connection that lives.
        let third = server.accept(NOW).unwrap();
        assert_eq!(read(server, third), whole(b"third"), "{how:?}");
        assert_eq!(read(server, first), whole(b"first"), "{how:?}");
        let cut = Some(StreamEnd::Connection(reason.clone()));
        assert_eq!(read(server, second), (b"second, in part".to_vec(), cut, Vec::new()), "{how:?}");
        assert_eq!(server.accept(NOW), None);
        assert_eq!((server.accept(NOW), server.closed()), (None, Some(&reason)));
        // Nothing is left to be done for a connection that is over.
        assert_eq!(server.poll_timeout(), None);
        for key in [met, first, second, third] {
            assert!(matches!(server.write(NOW, key, &mut Bytes::from_static(b"x")), Sent::End(_)));
            server.forget(NOW, key);
        }
        while server.poll_event().is_some() {}
        let stats = server.stats();
        assert_eq!((stats.waiting, stats.queued_in), (0, 0), "{how:?}");
    }
}

fn whoever_waits_for_accept_is_told_before_the_connection_is_over<W: Wire>() {
    let mut both = both::<W>();
    assert_eq!(both.server.accept(NOW), None);
    both.written(b"a", true);
    both.written(b"b", true);
    How::Closed.end(&mut both);
    let mut accepted = 0;
    let mut last = None;
    while let Some(event) = both.server.poll_event() {
        if event == MuxEvent::Acceptable {
            while both.server.accept(NOW).is_some() {
                accepted += 1;
            }
        }
        last = Some(event);
    }
    assert_eq!(accepted, if hands_out(&both.server) { 2 } else { 0 });
    assert!(matches!(last, Some(MuxEvent::Closed(_))), "{last:?}");
}

fn behind_an_end_of_its_own_a_connection_accepts_nothing<W: Wire>() {
    for abort in [false, true] {
        let mut both = both::<W>();
        both.written(b"unmet", true);
        if abort {
            both.server.abort(NOW);
        } else {
            both.server.close(NOW);
            assert_eq!(both.server.accept(NOW), None);
            // Also where the end comes over the link in the end.
            both.server.handle_failure(NOW, Direction::Read, None);
        }
        assert_eq!(both.server.accept(NOW), None);
        both.pass();
        assert!(both.server.closed().is_some());
        assert_eq!(both.server.accept(NOW), None);
    }
}

fn what_is_unread_behind_the_end_counts_until_it_is_read_or_forgotten<W: Wire>() {
    let mut both = both::<W>();
    let empty = both.server.stats().memory;
    for _ in 0..20 {
        both.written(&[7; 9_000], true);
    }
    How::Closed.end(&mut both);
    if !hands_out(&both.server) {
        return;
    }
    let stats = both.server.stats();
    assert_eq!((stats.waiting, stats.queued_in), (20, 180_000));
    assert!((180_000..Limits::default().connection_memory).contains(&stats.memory), "{stats:?}");
    let mut number = 0;
    while let Some(key) = both.server.accept(NOW) {
        number += 1;
        if number % 2 == 0 {
            assert_eq!(read(&mut both.server, key).0, [7; 9_000]);
        }
        both.server.forget(NOW, key);
    }
    let stats = both.server.stats();
    assert_eq!((number, stats.queued_in, stats.streams, stats.waiting), (20, 0, 0, 0));
    // What is left is the table.
    assert!(stats.memory < empty + 16_384, "{stats:?}");
}

fn the_peers_finish_comes_behind_its_bytes_and_closes_the_other_way_where_it_must<W: Wire>() {
    let mut both = both::<W>();
    let (_, theirs) = both.accepted(b"all of it", true);
    let server = &mut both.server;
    assert_eq!(server.read_end(theirs), None, "bytes come first");
    let all = (b"all of it".to_vec(), Some(StreamEnd::Finished), Vec::new());
    assert_eq!(read(server, theirs), all);
    let sent = server.write(NOW, theirs, &mut Bytes::from_static(b"x"));
    if server.abilities().half_close {
        assert_eq!((sent, server.write_end(theirs)), (Sent::Accepted(1), None));
    } else {
        assert_eq!(sent, Sent::End(StreamEnd::Reset));
        assert_eq!(server.write_end(theirs), Some(StreamEnd::Reset));
    }
}

fn the_peers_reset_is_told_at_once_where_the_wire_has_one<W: Wire>() {
    let mut both = both::<W>();
    let (ours, theirs) = both.accepted(b"some", false);
    both.client.reset(NOW, ours);
    both.pass();
    let server = &mut both.server;
    let seen = read(server, theirs);
    if server.abilities().reset {
        assert_eq!(seen, (Vec::new(), Some(StreamEnd::Reset), b"some".to_vec()));
        assert_eq!(server.write_end(theirs), Some(StreamEnd::Reset));
    } else {
        // It cannot be told from the end.
        assert_eq!(seen, (b"some".to_vec(), Some(StreamEnd::Finished), Vec::new()));
    }
}

fn an_own_finish_is_finished_for_writing_and_keeps_what_came<W: Wire>() {
    for peer_first in [false, true] {
        let mut both = both::<W>();
        let (ours, theirs) = both.accepted(b"question", peer_first);
        let half_close = both.server.abilities().half_close;
        assert_eq!(both.server.finish(NOW, theirs), Finished::Queued);
        assert_eq!(both.server.finish(NOW, theirs), Finished::Already);
        both.pass();
        assert_eq!(both.server.write_end(theirs), Some(StreamEnd::Finished));
        let seen = read(&mut both.server, theirs);
        let end = match (peer_first, half_close) {
            (true, _) => Some(StreamEnd::Finished),
            (false, true) => None,
            (false, false) => Some(StreamEnd::Local(LocalEnd::Asked)),
        };
        assert_eq!(seen, (b"question".to_vec(), end, Vec::new()));
        if half_close && !peer_first {
            both.client.write(NOW, ours, &mut Bytes::from_static(b"more"));
            both.client.finish(NOW, ours);
            both.pass();
            let more = (b"more".to_vec(), Some(StreamEnd::Finished), Vec::new());
            assert_eq!(read(&mut both.server, theirs), more);
        }
        // The end of the connection changes neither.
        let ends = (both.server.read_end(theirs), both.server.write_end(theirs));
        How::Lost.end(&mut both);
        assert_eq!((both.server.read_end(theirs), both.server.write_end(theirs)), ends);
    }
}

fn an_own_reset_throws_away_what_came<W: Wire>() {
    let mut both = both::<W>();
    let (_, theirs) = both.accepted(b"unread", false);
    both.server.reset(NOW, theirs);
    let asked = StreamEnd::Local(LocalEnd::Asked);
    let seen = read(&mut both.server, theirs);
    assert_eq!(seen, (Vec::new(), Some(asked.clone()), Vec::new()));
    assert_eq!(both.server.write_end(theirs), Some(asked));
    assert_eq!(both.server.stats().queued_in, 0);
}
