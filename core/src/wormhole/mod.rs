//! Streams over one byte transport with ten-byte heads: the wire of `wormhole`'s tunnels.
//!
//! The rules stand in `docs/protocols/wormhole.md`; section numbers in this module's comments are
//! that page's. A [`Connection`] speaks the wire, on either side. For looking at frames [`Decoder`]
//! turns bytes into [`Frame`]s, and [`Frame::encode`] turns frames into
//! [`Segment`](crate::Segment)s.

mod config;
mod connection;
mod early;
mod error;
mod frame;
mod head;
mod ids;
mod late;
#[cfg(feature = "serde")]
mod notation;
mod pings;
mod stream;
mod violation;

pub use config::{
    Closing, Config, ConfigError, Credit, EarlyFrames, Ends, Excess, FrameOrder, LateData,
    LateError, LateWrites, PeerIds, Pongs,
};
pub use connection::Connection;
pub use error::{ErrorKind, RemoteError};
pub use frame::Frame;
pub use head::{FrameType, Head};
pub use violation::Violation;

/// Turns bytes, cut anywhere, into [`Frame`]s; made with a limit of payload, [`MAX_PAYLOAD`] in the
/// original's codec. 0 means no payload at all.
pub type Decoder = crate::fixed::FrameDecoder<Frame>;

/// The only version of a frame (section 2): the original's `FrameVersion`.
pub const VERSION: u8 = 1;

/// The length of a frame's head in bytes (section 2): the original's `FrameHeaderSize`.
pub const HEAD_SIZE: usize = 10;

/// The largest payload that is ever encoded, and the codec's limit when it decodes, in bytes
/// (section 2.3): the original's `MaxFramePayloadSize`.
pub const MAX_PAYLOAD: usize = 16 << 20;

/// The largest payload of a frame that a connection sends, and by default the largest it takes, in
/// bytes (section 2.3): the original's `DefaultFramePayloadSize`.
pub const DATA_CHUNK: usize = 32_768;
