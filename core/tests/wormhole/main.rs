//! The wormhole machine, driven by hand: `docs/protocols/wormhole.md`.

mod credit;
mod early;
mod hazards;
mod hostile;
mod life;
mod model;
mod order;
mod pair;
mod states;
