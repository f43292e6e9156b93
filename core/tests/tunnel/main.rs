//! The agent tunnel's machines, driven by hand: `docs/protocols/agent-tunnel.md`.

mod control;
mod exchange;
mod hazards;
mod header;
mod hostile;
mod metadata;
mod own;
mod parts;
mod terminal;
