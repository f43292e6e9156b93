//! What arrives in messages, however it is grouped and wherever it ends.

use std::collections::BTreeMap;

use bytes::Bytes;
use trunkline_conformance::laws::{Broken, hold};
use trunkline_conformance::sim::{Rng, seeds};
use trunkline_core::carrier::{Config, Grouping, OverMessages};
use trunkline_core::mux::{Mux as _, MuxEvent, Opened, Received, Side, StreamEnd, StreamKey};
use trunkline_core::{CloseFrame, CloseReason, Direction, Instant, Machine as _, Message, yamux};

const NOW: Instant = Instant::from_millis(5);

type End = OverMessages<yamux::Connection>;

fn end(side: Side) -> End {
    let machine = yamux::Connection::new(side, yamux::Config::agent_tunnel()).unwrap();
    OverMessages::new(machine, Config::default())
}

/// What one end says by itself: a few streams, some of them finished.
fn recorded(rng: &mut Rng, grouping: Grouping) -> Vec<Message> {
    let mut config = Config::default();
    config.grouping = grouping;
    let machine = yamux::Connection::new(Side::Client, yamux::Config::agent_tunnel()).unwrap();
    let mut client = OverMessages::new(machine, config);
    let mut keys = Vec::new();
    let mut said = Vec::new();
    for _ in 0..6 + rng.below(20) {
        let mux = client.machine_mut();
        if let (true, Opened::Stream(key)) = (keys.len() < 4, mux.open(NOW)) {
            keys.push(key);
        }
        let key = *rng.pick(&keys).unwrap();
        match rng.below(6) {
            0 => drop(mux.finish(NOW, key)),
            _ => drop(mux.write(NOW, key, &mut {
                let count = rng.up_to(700);
                rng.bytes(count).into()
            })),
        }
        if rng.once_in(2) {
            said.extend(std::iter::from_fn(|| client.poll_transmit(NOW)));
        }
    }
    said.extend(std::iter::from_fn(|| client.poll_transmit(NOW)));
    said
}

/// What a user sees: bytes and ends by stream, the events but for wake-ups, and the reason.
#[derive(Debug, PartialEq)]
struct Seen {
    streams: BTreeMap<StreamKey, (Vec<u8>, Option<StreamEnd>)>,
    events: Vec<MuxEvent>,
    closed: Option<CloseReason>,
}

/// How the transport ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Over {
    No,
    Eof,
    Failure,
    Close(u16),
}

fn seen(messages: impl IntoIterator<Item = Message>, over: Over) -> Seen {
    let mut server = end(Side::Server);
    for message in messages {
        server.handle_input(NOW, message);
        while server.poll_transmit(NOW).is_some() {}
    }
    match over {
        Over::No => {}
        Over::Eof => server.handle_eof(NOW),
        Over::Failure => server.handle_failure(NOW, Direction::Read, Some(104)),
        Over::Close(code) => {
            let frame = CloseFrame { code, reason: String::new() };
            server.handle_input(NOW, Message::Close(Some(frame)));
        }
    }
    while server.poll_transmit(NOW).is_some() {}
    let mut streams = BTreeMap::new();
    while let Some(key) = server.machine_mut().accept(NOW) {
        let (mut bytes, mut ended) = (Vec::new(), None);
        loop {
            match server.machine_mut().read(NOW, key, usize::MAX) {
                Received::Data(piece) => bytes.extend(piece),
                Received::End(end) => break ended = Some(end),
                _ => break,
            }
        }
        streams.insert(key, (bytes, ended));
    }
    let wakes = |event: &MuxEvent| {
        matches!(event, MuxEvent::Acceptable | MuxEvent::Readable(_) | MuxEvent::Writable(_))
    };
    let events = std::iter::from_fn(|| server.poll_event()).filter(|event| !wakes(event)).collect();
    Seen { streams, events, closed: server.closed().cloned() }
}

fn bytes_of(messages: &[Message]) -> Vec<u8> {
    let data = messages.iter().map(|message| match message {
        Message::Binary(bytes) => bytes.clone(),
        other => panic!("{other:?}"),
    });
    data.collect::<Vec<_>>().concat()
}

/// The same bytes in other messages, with empty ones, pings and stray pongs between them.
fn regrouped(bytes: &[u8], most: usize, rng: &mut Rng) -> Vec<Message> {
    let mut left = bytes;
    let mut messages = Vec::new();
    while !left.is_empty() {
        let (piece, rest) = left.split_at(rng.up_to(most).min(left.len()));
        left = rest;
        messages.push(Message::Binary(Bytes::copy_from_slice(piece)));
        match rng.below(8) {
            0 => messages.push(Message::Binary(Bytes::new())),
            1 => messages.push(Message::Ping(Bytes::from_static(b"are you there"))),
            2 => messages.push(Message::Pong(Bytes::from_static(b"7"))),
            _ => {}
        }
    }
    messages
}

#[test]
fn any_grouping_of_messages_gives_the_same() {
    seeds(14, |rng| {
        for grouping in [Grouping::Flush, Grouping::HeadAndPayload] {
            let said = recorded(rng, grouping);
            let bytes = bytes_of(&said);
            let over = [Over::No, Over::Eof, Over::Failure, Over::Close(1000)];
            let over = *rng.pick(&over).unwrap();
            let as_sent = seen(said, over);
            for most in [1, 5, 12, 13, 700, bytes.len()] {
                let other = seen(regrouped(&bytes, most, rng), over);
                hold("P-SAME", other == as_sent, || {
                    format!("in messages of up to {most}:\n{as_sent:?}\n{other:?}")
                })?;
            }
        }
        Ok::<(), Broken>(())
    })
    .unwrap();
}

#[test]
fn a_cut_behind_any_message_is_a_loss_and_keeps_what_came() {
    seeds(10, |rng| {
        let said = recorded(rng, Grouping::HeadAndPayload);
        let whole = seen(said.clone(), Over::No);
        for count in 0..=said.len() {
            for over in [Over::Eof, Over::Failure, Over::Close(1000), Over::Close(1011)] {
                let cut = seen(said[..count].to_vec(), over);
                told(&cut, &whole, over).map_err(|broken| {
                    broken.at(format_args!("{over:?} behind {count} of {} messages", said.len()))
                })?;
            }
        }
        Ok::<(), Broken>(())
    })
    .unwrap();
}

fn told(cut: &Seen, whole: &Seen, over: Over) -> Result<(), Broken> {
    for (key, (bytes, ended)) in &cut.streams {
        let (all, end) = whole.streams.get(key).cloned().unwrap_or_default();
        hold("P-LOSS", all.starts_with(bytes), || format!("{key:?}: other bytes"))?;
        match ended {
            Some(StreamEnd::Finished) => {
                let orderly = end == Some(StreamEnd::Finished) && all == *bytes;
                hold("P-ERR", orderly, || format!("{key:?}: an end that nobody wrote"))?;
            }
            Some(StreamEnd::Connection(_)) => {}
            other => return Err(Broken::new("P-ERR", format!("{key:?} ends with {other:?}"))),
        }
    }
    let closes = matches!(cut.events[..], [MuxEvent::Closed(_)]);
    hold("P-ERR", closes, || format!("told {:?}", cut.events))?;
    // Within a frame it is a torn one, whatever the peer says last.
    let holds = match (over, &cut.closed) {
        (Over::Eof | Over::Close(_), Some(CloseReason::Eof { mid_frame: true })) => true,
        (Over::Eof, Some(CloseReason::Eof { .. })) => true,
        (Over::Failure, Some(CloseReason::Transport { os_error: Some(104) })) => true,
        (Over::Close(code), Some(CloseReason::Peer { code: seen, .. })) => *seen == i64::from(code),
        _ => false,
    };
    hold("P-ERR", holds, || format!("over for {:?}", cut.closed))
}
