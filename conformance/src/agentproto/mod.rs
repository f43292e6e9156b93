//! What runs the vectors of agentproto, file by file: `docs/protocols/agentproto.md`.

pub mod decode;
pub mod envfilter;
pub mod frames;
pub mod lenient;
pub mod modes;
pub mod recordings;
pub mod rejects;
pub mod replay_agent;
pub mod replay_local;
pub mod transcripts;
