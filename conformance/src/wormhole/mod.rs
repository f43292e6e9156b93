//! What runs the vectors of wormhole, file by file: `docs/protocols/wormhole.md`.

pub mod decode;
pub mod end;
pub mod frames;
pub mod grants;
pub mod mux_rejects;
pub mod rejects;
pub mod settings;
pub mod transcripts;
