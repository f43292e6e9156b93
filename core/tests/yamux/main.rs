//! The yamux machine, driven by hand: `docs/protocols/yamux.md`.

mod hazards;
mod hostile;
mod marks;
mod model;
mod offers;
mod pair;
mod streams;
mod timers;
