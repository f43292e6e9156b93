//! What runs the vectors of the agent tunnel, file by file: `docs/protocols/agent-tunnel.md`.

mod agent;
mod control;
mod end;
pub mod headers;
mod opener;
mod outcome;
pub mod rejects;
mod replay;
mod streams;
pub mod transcripts;
