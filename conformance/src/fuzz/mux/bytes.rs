//! Any bytes, in any pieces: no panic, bounded memory, and the same outcome however they were cut.

use bytes::Bytes;
use trunkline_core::mux::{Mux as _, Received, Side};
use trunkline_core::{CloseReason, Machine as _};

use super::{START, Wire, drain_events, drain_output, sound};

/// The first byte chooses the side and the settings, the second the cuts; the rest arrives.
pub(crate) fn run<W: Wire>(input: &[u8]) {
    let [how, cut, bytes @ ..] = input else { return };
    let whole = play::<W>(*how, bytes, usize::MAX);
    let pieces = play::<W>(*how, bytes, usize::from(*cut) + 1);
    assert!(whole == pieces, "cut into pieces of {}: {whole:?} {pieces:?}", usize::from(*cut) + 1);
}

/// What can be seen of a machine that was given bytes.
///
/// What it sends is no part of it: credit and acknowledgements leave when they are asked for.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    streams: Vec<(u32, Vec<u8>, String)>,
    closed: Option<CloseReason>,
}

fn play<W: Wire>(how: u8, bytes: &[u8], size: usize) -> Seen {
    let side = if how & 2 == 0 { Side::Server } else { Side::Client };
    let mut machine = W::machine(side, how);
    let mut keys = Vec::new();
    if how & 4 != 0 {
        for _ in 0..3 {
            if let trunkline_core::mux::Opened::Stream(key) = machine.open(START) {
                keys.push(key);
            }
        }
    }
    drain_output(&mut machine, START);
    for piece in bytes.chunks(size.min(bytes.len().max(1))) {
        machine.handle_input(START, Bytes::copy_from_slice(piece));
        drain_output(&mut machine, START);
        sound(&machine);
    }
    while let Some(key) = machine.accept(START) {
        keys.push(key);
    }
    machine.handle_eof(START);
    sound(&machine);
    let mut streams = Vec::new();
    for key in keys {
        let id = machine.stream_stats(key).map_or(0, |stats| stats.id);
        let mut bytes = Vec::new();
        let end = loop {
            match machine.read(START, key, 4_096) {
                Received::Data(piece) => bytes.extend(piece),
                other => break format!("{other:?}"),
            }
        };
        while let Some(piece) = machine.drain(key, 100) {
            bytes.extend(piece);
        }
        streams.push((id, bytes, end));
        machine.forget(START, key);
    }
    drain_output(&mut machine, START);
    drain_events(&mut machine);
    sound(&machine);
    assert!(machine.closed().is_some(), "input has ended, and it goes on");
    Seen { streams, closed: machine.closed().cloned() }
}
