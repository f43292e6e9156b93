//! What runs the vectors of yamux, file by file: `docs/protocols/yamux.md`.

pub mod end;
pub mod frames;
pub mod outcome;
pub mod rejects;
pub mod replay;
pub mod transcripts;
