//! Settings of a connection: `docs/protocols/wormhole.md` sections 2.3, 5.4 and 13.

use core::fmt;
use core::time::Duration;

use super::DATA_CHUNK;
use crate::Limits;

/// When a reader grants its peer new credit (section 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credit {
    /// What was read, once it is half a window; windows grow with the link. The loan never exceeds
    /// the window in force.
    #[default]
    Exact,
    /// As the original counts: the first read grants a whole window on top, windows never grow, and
    /// bytes are granted even where the stream has been closed.
    Reference,
}

/// What becomes of a stream with more unread bytes than this side holds (section 5.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Excess {
    /// Bytes beyond the window are tolerated up to [`Config::recv_limit`]; beyond that the stream
    /// ends with ERROR 413, and the connection lives.
    #[default]
    ResetStream,
    /// As `ResetStream`, and already for a byte more than the peer was granted. Only for peers that
    /// are known to start with a window that is no larger than this side's.
    Strict,
    /// The connection ends at 16 times [`Config::read_buffer`], as in the original.
    EndConnection,
}

/// Which ids a peer's streams may have (section 2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerIds {
    /// Those of the peer's side; any other ends the connection.
    #[default]
    Checked,
    /// Any that does not live, 0 and this side's own included, as in the original.
    Any,
}

/// What becomes of DATA and CLOSE that overtook the HANDSHAKE of their stream (section 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EarlyFrames {
    /// Held for a while, within narrow bounds, and delivered behind the HANDSHAKE.
    #[default]
    Hold,
    /// Dropped, as in the original: the beginning of the stream is missing.
    Drop,
}

/// What becomes of DATA that the peer sends behind its own CLOSE (section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LateData {
    /// Dropped and counted: an end is an end.
    #[default]
    Drop,
    /// Delivered, even to a reader that has seen the end, as in the original.
    Deliver,
}

/// What becomes of an ERROR that comes behind a CLOSE (section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LateError {
    /// Ignored and counted.
    #[default]
    Ignore,
    /// It takes the end's place, as in the original.
    Replace,
}

/// What becomes of writes once the peer has closed or failed the stream (section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LateWrites {
    /// They fail, those that wait at once.
    #[default]
    Fail,
    /// They are sent for the peer to drop, and wait for ever once the credit is gone, as in the
    /// original.
    Send,
}

/// Which PONG answers a PING of the keep-alive (section 7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pongs {
    /// Only the one with its number.
    #[default]
    Matching,
    /// Any, and up to four that came before the question, as in the original.
    Any,
}

/// What a reader is told of an end that is not its peer's (sections 4 and 8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ends {
    /// What it was: the connection's end with its reason, or this side's own close.
    #[default]
    Distinct,
    /// The same as of a peer's CLOSE, as in the original.
    Alike,
}

/// What [`close`](crate::mux::Mux::close) does with what is queued (section 8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Closing {
    /// It is sent, within [`Limits::close_drain`].
    #[default]
    Flush,
    /// It is dropped, as in the original.
    Discard,
}

/// In which order streams send their DATA (section 6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameOrder {
    /// Streams take turns, one frame each; control frames go first.
    #[default]
    Fair,
    /// In the order of the writes, as in the original; control frames go first.
    Written,
}

/// Settings of a [`Connection`](super::Connection).
///
/// Plain data. `Default` is what Trunkline requires; [`reference`](Self::reference) behaves like the
/// original wherever the two differ, and is meant for replaying the original's sessions. Neither is
/// negotiated: each end starts with its own, so both ends want the same windows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Sizes and counts a peer cannot exceed. [`Limits::backlog`] is the original's `AcceptBacklog`,
    /// [`Limits::window`] its `MaxWindowSize` (which there has no effect): windows grow up to it.
    pub limits: Limits,
    /// A random number, so that a peer cannot choose ids that collide in the stream table. 0,
    /// the default: the bindings draw one for each connection ([`Mux::seed`](crate::mux::Mux::seed)).
    pub hash_seed: u64,
    /// What each side may send on a new stream before the other grants more: the original's
    /// `WindowSize`, in bytes. 262,144.
    pub window: u32,
    /// The original's `ReadBufferSize`, in bytes. Nothing is allocated by it here; it is the basis of
    /// [`recv_limit`](Self::recv_limit). 65,536.
    pub read_buffer: usize,
    /// The most unread bytes of one stream, whatever the peer was granted. `None`, the default: 16
    /// times `read_buffer`, or twice the window where that is more.
    pub recv_limit: Option<usize>,
    /// The largest payload taken in, for every type: the original's `MaxFrameSize`, in bytes. Peers
    /// send up to 32,768, whatever this says, so less is for tests. 32,768.
    pub frame_size: usize,
    /// The original's `EnableFlowControl`. It has no effect, there nor here: flow control is always
    /// on, for without it an original would end the connection. True.
    pub flow_control: bool,
    /// How often the peer is asked for a sign of life; zero never asks. 30 s.
    pub keep_alive_interval: Duration,
    /// How long an answer may take, from the moment the question was due; zero does not wait for
    /// one. 10 s.
    pub keep_alive_timeout: Duration,
    /// When credit is granted.
    pub credit: Credit,
    /// How long a stream may be silent, with all it sent read and not yet granted anew, before that is
    /// granted below the threshold; zero never does. It keeps a peer going whose initial window is
    /// smaller than half of this side's. Only in [`Credit::Exact`]. 1 s.
    pub stall_guard: Duration,
    /// Unread bytes beyond what this side holds.
    pub excess: Excess,
    /// Ids of the peer's streams.
    pub peer_ids: PeerIds,
    /// Frames in front of their stream's HANDSHAKE.
    pub early_frames: EarlyFrames,
    /// How long such frames are held. 1 s.
    pub early_hold: Duration,
    /// DATA behind CLOSE.
    pub late_data: LateData,
    /// ERROR behind CLOSE.
    pub late_error: LateError,
    /// Writes behind the peer's CLOSE or ERROR.
    pub late_writes: LateWrites,
    /// Answers to the keep-alive.
    pub pongs: Pongs,
    /// Ends that are not the peer's.
    pub ends: Ends,
    /// What is queued when the connection is closed.
    pub closing: Closing,
    /// The order of frames.
    pub frame_order: FrameOrder,
    /// The first id that this side gives out, for tests of what becomes of the last ones; one of the
    /// other side's is rounded to this side's. `None`, the default: 1 or 2.
    pub first_id: Option<u32>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            hash_seed: 0,
            window: 262_144,
            read_buffer: 65_536,
            recv_limit: None,
            frame_size: DATA_CHUNK,
            flow_control: true,
            keep_alive_interval: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(10),
            credit: Credit::default(),
            stall_guard: Duration::from_secs(1),
            excess: Excess::default(),
            peer_ids: PeerIds::default(),
            early_frames: EarlyFrames::default(),
            early_hold: Duration::from_secs(1),
            late_data: LateData::default(),
            late_error: LateError::default(),
            late_writes: LateWrites::default(),
            pongs: Pongs::default(),
            ends: Ends::default(),
            closing: Closing::default(),
            frame_order: FrameOrder::default(),
            first_id: None,
        }
    }
}

impl Config {
    /// The original's behaviour (v0.6.11 and later) in every setting where Trunkline's differs.
    ///
    /// Limits stay Trunkline's, and so do the rules that section 13 lists as not reproduced.
    #[must_use]
    pub fn reference() -> Self {
        Self {
            credit: Credit::Reference,
            excess: Excess::EndConnection,
            peer_ids: PeerIds::Any,
            early_frames: EarlyFrames::Drop,
            late_data: LateData::Deliver,
            late_error: LateError::Replace,
            late_writes: LateWrites::Send,
            pongs: Pongs::Any,
            ends: Ends::Alike,
            closing: Closing::Discard,
            frame_order: FrameOrder::Written,
            ..Self::default()
        }
    }

    /// The most unread bytes of one stream that are held (section 5.4).
    #[must_use]
    pub fn effective_recv_limit(&self) -> usize {
        let ring = self.read_buffer.saturating_mul(16);
        match self.excess {
            Excess::EndConnection => ring,
            Excess::ResetStream | Excess::Strict => {
                self.recv_limit.unwrap_or_else(|| ring.max(self.two_windows()))
            }
        }
    }

    /// Refuses settings with which no connection could live (section 5.4).
    ///
    /// # Errors
    ///
    /// The first setting that cannot be.
    pub fn check(&self) -> Result<(), ConfigError> {
        let window = usize::try_from(self.window).unwrap_or(usize::MAX);
        if window == 0 {
            return Err(ConfigError::NoWindow);
        }
        if window > self.limits.window {
            return Err(ConfigError::Window { window, limit: self.limits.window });
        }
        if self.read_buffer == 0 {
            return Err(ConfigError::NoReadBuffer);
        }
        if self.frame_size < 4 {
            return Err(ConfigError::FrameSize { size: self.frame_size });
        }
        let limit = self.effective_recv_limit();
        if self.excess != Excess::EndConnection && limit < self.two_windows() {
            return Err(ConfigError::RecvLimit { limit, least: self.two_windows() });
        }
        Ok(())
    }

    fn two_windows(&self) -> usize {
        usize::try_from(self.window).unwrap_or(usize::MAX).saturating_mul(2)
    }
}

/// Why a connection cannot be made with a [`Config`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// `window` is 0: nobody could ever send.
    NoWindow,
    /// `window` is larger than windows may grow.
    Window {
        /// The window in bytes.
        window: usize,
        /// [`Limits::window`].
        limit: usize,
    },
    /// `read_buffer` is 0: the original dies on the first byte.
    NoReadBuffer,
    /// `frame_size` is below the four bytes that most frames have.
    FrameSize {
        /// What it is.
        size: usize,
    },
    /// `recv_limit` has no room for what a peer may be granted.
    RecvLimit {
        /// What it is.
        limit: usize,
        /// The least it may be: two windows.
        least: usize,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoWindow => f.write_str("a window of 0 bytes: nobody could ever send"),
            Self::Window { window, limit } => {
                write!(f, "a window of {window} bytes, above the largest of {limit}")
            }
            Self::NoReadBuffer => f.write_str("a read buffer of 0 bytes"),
            Self::FrameSize { size } => {
                write!(f, "frames of at most {size} bytes: 4 at least are needed")
            }
            Self::RecvLimit { limit, least } => write!(
                f,
                "a receive limit of {limit} bytes, below the two windows ({least}) that a peer may \
                 be granted"
            ),
        }
    }
}

impl core::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_with_which_no_connection_could_live_are_refused() {
        let check = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.check()
        };
        assert_eq!(check(|_| ()), Ok(()));
        assert_eq!(Config::reference().check(), Ok(()));
        assert_eq!(check(|config| config.window = 0), Err(ConfigError::NoWindow));
        assert_eq!(check(|config| config.read_buffer = 0), Err(ConfigError::NoReadBuffer));
        for size in [0, 3] {
            let mut config = Config { frame_size: size, ..Config::default() };
            assert_eq!(config.check(), Err(ConfigError::FrameSize { size }));
            config.frame_size = 4;
            assert_eq!(config.check(), Ok(()));
        }
        let expected = ConfigError::Window { window: (16 << 20) + 1, limit: 16 << 20 };
        assert_eq!(check(|config| config.window = (16 << 20) + 1), Err(expected));
        let expected = ConfigError::RecvLimit { limit: 524_287, least: 524_288 };
        assert_eq!(check(|config| config.recv_limit = Some(524_287)), Err(expected));
        assert_eq!(check(|config| config.recv_limit = Some(524_288)), Ok(()));
    }

    #[test]
    fn the_receive_limit_follows_the_larger_of_ring_and_windows() {
        let mut config = Config::default();
        assert_eq!(config.effective_recv_limit(), 1 << 20);
        config.window = 1 << 20;
        assert_eq!(config.effective_recv_limit(), 2 << 20);
        config.excess = Excess::EndConnection;
        assert_eq!(config.effective_recv_limit(), 1 << 20);
    }
}
