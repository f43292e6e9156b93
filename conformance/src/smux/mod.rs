//! What runs the vectors of smux, file by file: `docs/protocols/smux.md`.

pub mod decode;
pub mod frames;
pub mod outcome;
pub mod rejects;
pub mod replay;
pub mod settings;
pub mod transcripts;
