//! The yamux machine, driven by hand: `docs/protocols/yamux.md`.

mod pair;
mod streams;
