//! What runs the vectors of wormhole, file by file: `docs/protocols/wormhole.md`.

pub mod decode;
pub mod frames;
pub mod rejects;
