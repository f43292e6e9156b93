//! What runs the vectors of smux, file by file: `docs/protocols/smux.md`.

pub mod decode;
pub mod frames;
