//! What is spoken on terminal streams: `docs/protocols/agent-tunnel.md` sections 7 and 12.

mod messages;
mod own;

pub use messages::{Boundaries, Joiner, MAX_MESSAGE, Message, Splitter, Towards};
pub use own::{OwnExit, OwnFrame, OwnFrameError, OwnFrames};
