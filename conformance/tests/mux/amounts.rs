//! Amounts: what is reserved and what is written, more bytes than 32 bits count, all ids, and both
//! ends that write before either reads.

use bytes::Bytes;
use trunkline_conformance::laws::{Broken, hold};
use trunkline_conformance::sim::{Rng, seeds};
use trunkline_core::mux::{
    Mux, MuxStats, OpenRefusal, Opened, Received, Sent, Side, StreamKey, StreamStats,
};
use trunkline_core::{Instant, Limits, Machine as _};

use crate::wires::{Wire, each_wire};

each_wire! {
    what_is_reserved_is_what_would_be_written,
    f12_both_ends_may_write_100_mib_before_either_reads,
    f13_four_gib_and_a_byte_pass_through_one_stream,
    f13_ids_that_are_used_up_refuse_and_never_come_back,
}

const NOW: Instant = Instant::ORIGIN;

static ZEROS: [u8; 1 << 20] = [0; 1 << 20];

/// Two machines, and whatever else the bytes between them have to be.
struct Both<M> {
    client: M,
    server: M,
}

fn both<W: Wire>() -> Both<W::Mux> {
    let make = |side| W::make(side, Limits::default());
    Both { client: make(Side::Client), server: make(Side::Server) }
}

/// Hands on what `from` has to say while `to` wants it; says whether there was anything.
fn carry<M: Mux>(from: &mut M, to: &mut M) -> bool {
    let mut moved = false;
    while to.wants_input()
        && let Some(segment) = from.poll_transmit(NOW)
    {
        to.handle_input(NOW, segment.into_bytes());
        moved = true;
    }
    moved
}

impl<M: Mux> Both<M> {
    fn pass(&mut self) -> bool {
        let there = carry(&mut self.client, &mut self.server);
        carry(&mut self.server, &mut self.client) || there
    }

    /// A stream that both ends know.
    fn stream(&mut self) -> (StreamKey, StreamKey) {
        let Opened::Stream(ours) = self.client.open(NOW) else { panic!("no stream") };
        // The first frames of a stream may have to carry more than data.
        self.client.write(NOW, ours, &mut Bytes::from_static(b"!"));
        self.pass();
        let theirs = self.server.accept(NOW).unwrap();
        self.pass();
        assert_eq!(read(&mut self.server, theirs, usize::MAX), 1);
        self.pass();
        (ours, theirs)
    }
}

/// Reads what is there; says how many bytes that were.
fn read<M: Mux>(mux: &mut M, key: StreamKey, most: usize) -> u64 {
    let mut count = 0;
    while let Received::Data(bytes) = mux.read(NOW, key, most) {
        count += bytes.len() as u64;
    }
    count
}

type State = (MuxStats, Option<StreamStats>, Option<Instant>);

/// What can be seen of a machine, and of one stream of it.
fn state<M: Mux>(mux: &M, key: StreamKey) -> State {
    (mux.stats(), mux.stream_stats(key), mux.poll_timeout())
}

/// Sends `data` on a stream, by reserving or by writing; what went out, how much of it was taken,
/// and how often a reserved head was had.
fn send<M: Mux>(mux: &mut M, key: StreamKey, data: &[u8], reserving: bool) -> (Vec<u8>, u64, u64) {
    let (mut out, mut taken, mut reserved) = (Vec::new(), 0, 0);
    loop {
        let left = &data[taken..];
        if reserving && let Some(given) = mux.reserve(NOW, key, left.len()) {
            out.extend_from_slice(&given.head.into_bytes());
            out.extend_from_slice(&left[..given.len]);
            taken += given.len;
            reserved += 1;
            continue;
        }
        let mut bytes = Bytes::copy_from_slice(left);
        let sent = mux.write(NOW, key, &mut bytes);
        while let Some(segment) = mux.poll_transmit(NOW) {
            out.extend_from_slice(&segment.into_bytes());
        }
        match sent {
            Sent::Accepted(count) if count > 0 => taken += count,
            _ => return (out, taken as u64, reserved),
        }
    }
}

fn what_is_reserved_is_what_would_be_written<W: Wire>() {
    let mut reserved = 0;
    seeds(30, |rng: &mut Rng| {
        let (mut one, mut two) = (both::<W>(), both::<W>());
        let (keys, same) = (one.stream(), two.stream());
        hold("P-SAME", keys == same, || format!("{keys:?} {same:?}"))?;
        let (ours, theirs) = keys;
        for step in 0..12 {
            let place = |what: &str| format!("{what} in step {step}");
            let count = rng.up_to(60_000);
            let data = rng.bytes(count);
            let written = send(&mut one.client, ours, &data, false);
            let passed = send(&mut two.client, ours, &data, true);
            reserved += passed.2;
            hold("P-SAME", written.1 == passed.1, || {
                place(&format!("{} were written, {} reserved", written.1, passed.1))
            })?;
            hold("P-SAME", written.0 == passed.0, || place("other bytes"))?;
            let states = (state(&one.client, ours), state(&two.client, ours));
            hold("P-SAME", states.0 == states.1, || place(&format!("{states:#?}")))?;
            for (both, out) in [(&mut one, written.0), (&mut two, passed.0)] {
                both.server.handle_input(NOW, out.into());
            }
            if rng.once_in(2) {
                let most = rng.up_to(9_000);
                let counts =
                    (read(&mut one.server, theirs, most), read(&mut two.server, theirs, most));
                hold("P-SAME", counts.0 == counts.1, || place(&format!("{counts:?}")))?;
            }
            one.pass();
            two.pass();
            let states = (state(&one.server, theirs), state(&two.server, theirs));
            hold("P-SAME", states.0 == states.1, || place(&format!("{states:#?}")))?;
        }
        Ok::<(), Broken>(())
    })
    .unwrap();
    assert!(reserved > 100, "only {reserved} heads were reserved");
}

fn f12_both_ends_may_write_100_mib_before_either_reads<W: Wire>() {
    const ALL: u64 = 100 << 20;
    let mut both = both::<W>();
    let (ours, theirs) = both.stream();
    let mut left = [ALL; 2];
    let mut got = [0; 2];
    let block = Bytes::from_static(&ZEROS);
    // Nobody reads until nothing moves any more; then both do.
    for reading in [false, true] {
        loop {
            let mut moved = both.pass();
            for (end, key) in [(0, ours), (1, theirs)] {
                let mux = if end == 0 { &mut both.client } else { &mut both.server };
                let most = usize::try_from(left[end]).unwrap().min(block.len());
                if most > 0
                    && let Sent::Accepted(count) = mux.write(NOW, key, &mut block.slice(..most))
                {
                    left[end] -= count as u64;
                    moved = true;
                }
                if reading {
                    let count = read(mux, key, usize::MAX);
                    got[end] += count;
                    moved |= count > 0;
                }
                while mux.poll_event().is_some() {}
            }
            if !moved {
                break;
            }
        }
        for mux in [&both.client, &both.server] {
            assert_eq!(mux.closed(), None);
            assert!(mux.stats().memory < Limits::default().connection_memory / 4);
        }
        if !reading {
            // Both wait, for a window or for the one buffer of smux 1, with little under way.
            assert!(left.iter().all(|left| *left > ALL / 2), "{left:?}");
        }
    }
    assert_eq!((left, got), ([0; 2], [ALL; 2]));
}

fn f13_four_gib_and_a_byte_pass_through_one_stream<W: Wire>() {
    const ALL: usize = (4 << 30) + 1;
    let mut both = both::<W>();
    let (ours, theirs) = both.stream();
    let (mut left, mut got) = (ALL, 0);
    while left > 0 {
        // As a driver has it that writes a caller's slice through: all of it is offered.
        let Some(reserved) = both.client.reserve(NOW, ours, left) else {
            assert!(both.pass(), "stuck with {left} left: {:?}", state(&both.client, ours));
            continue;
        };
        assert!(reserved.len > 0 && reserved.len <= ZEROS.len(), "{}", reserved.len);
        left -= reserved.len;
        both.server.handle_input(NOW, reserved.head.into_bytes());
        both.server.handle_input(NOW, Bytes::from_static(&ZEROS[..reserved.len]));
        got += read(&mut both.server, theirs, usize::MAX);
    }
    both.client.finish(NOW, ours);
    both.pass();
    assert_eq!(got, ALL as u64);
    assert_eq!(both.client.stats().bytes_out, got + 1);
    assert_eq!(both.server.stats().bytes_in, got + 1);
    assert_eq!(both.server.read_end(theirs), Some(trunkline_core::mux::StreamEnd::Finished));
    assert_eq!((both.client.closed(), both.server.closed()), (None, None));
}

fn f13_ids_that_are_used_up_refuse_and_never_come_back<W: Wire>() {
    for side in [Side::Client, Side::Server] {
        let peer = if side == Side::Client { Side::Server } else { Side::Client };
        let mut both =
            Both { client: W::at_the_last_ids(side), server: W::make(peer, Limits::default()) };
        let mut keys = Vec::new();
        let refusal = loop {
            match both.client.open(NOW) {
                Opened::Stream(key) => keys.push(key),
                other => break other,
            }
            assert!(keys.len() < 10, "ids do not end");
        };
        assert_eq!(refusal, Opened::Refused(OpenRefusal::IdsExhausted));
        let ids: Vec<u32> =
            keys.iter().map(|key| both.client.stream_stats(*key).unwrap().id).collect();
        assert!(!ids.is_empty() && ids.is_sorted(), "{ids:?}");
        assert!(ids.iter().all(|id| *id > u32::MAX - 12), "{ids:?}");
        // Those that live go on, to their ends.
        for key in &keys {
            both.client.write(NOW, *key, &mut Bytes::from_static(b"last"));
            both.client.finish(NOW, *key);
        }
        both.pass();
        for key in keys {
            let theirs = both.server.accept(NOW).unwrap();
            assert_eq!(read(&mut both.server, theirs, 9), 4);
            both.server.finish(NOW, theirs);
            both.server.forget(NOW, theirs);
            both.pass();
            both.client.forget(NOW, key);
            both.pass();
        }
        assert_eq!((both.client.stats().streams, both.server.stats().streams), (0, 0));
        assert_eq!(both.client.open(NOW), Opened::Refused(OpenRefusal::IdsExhausted));
        assert_eq!((both.client.closed(), both.server.closed()), (None, None));
    }
}
