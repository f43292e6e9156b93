//! What a stream is and how it ended: `docs/protocols/wormhole.md` section 4.
//!
//! The page's states are two halves, which end in either order:
//!
//! | state of the page | `peer` | `own` |
//! |---|---|---|
//! | open | `Open` | `Open` |
//! | closed by the peer | `Closed`, `Failed` | `Open` |
//! | gone | any | `Finished`, `Reset`, `TooMuch` |
//!
//! A stream whose CLOSE is not sent yet is gone, but its id is still taken.

use super::{Config, Ends, LateWrites, RemoteError};
use crate::CloseReason;
use crate::mux::parts::Window;
use crate::mux::{LocalEnd, StreamEnd};

/// What the peer said of its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum PeerEnd {
    /// Nothing yet.
    #[default]
    Open,
    /// CLOSE.
    Closed,
    /// ERROR; what it said stands in the connection's table of errors.
    Failed,
}

/// What this side did to a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum OwnEnd {
    /// Nothing yet.
    #[default]
    Open,
    /// Closed it behind what was written.
    Finished,
    /// Closed it at once.
    Reset,
    /// Failed it, since the peer sent too much.
    TooMuch,
}

/// This wire's part of a stream.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Bytes that may still be written.
    pub(super) credit: u64,
    pub(super) window: Window,
    /// Exact credit: granted and not announced. Reference credit: the page's r.
    pub(super) due: u32,
    pub(super) peer: PeerEnd,
    pub(super) own: OwnEnd,
    /// A CLOSE goes out behind what is queued.
    pub(super) close_due: bool,
    /// For the stall guard: how many ticks without data have passed.
    pub(super) quiet: u8,
}

// An idle stream has to stay small.
const _: () = assert!(size_of::<State>() <= 40);

impl State {
    /// Whether this side still holds the stream: it counts, and its id cannot be opened again.
    pub(super) const fn is_live(&self) -> bool {
        matches!(self.own, OwnEnd::Open)
    }

    /// Whether neither end has ended it.
    pub(super) const fn is_open(&self) -> bool {
        self.is_live() && matches!(self.peer, PeerEnd::Open)
    }

    /// Why nothing more will be read once what is buffered is gone; `None` while more may come. The
    /// one place that looks at [`Config::ends`].
    pub(super) fn read_end(
        &self,
        config: &Config,
        error: Option<&RemoteError>,
        over: Option<&CloseReason>,
    ) -> Option<StreamEnd> {
        let alike = config.ends == Ends::Alike;
        let end = match (self.peer, self.own, over) {
            (PeerEnd::Failed, ..) => remote(error),
            // What had come and was not read is gone with it.
            (_, OwnEnd::TooMuch, _) => StreamEnd::Local(LocalEnd::TooMuch),
            (PeerEnd::Closed, ..) => StreamEnd::Finished,
            (_, OwnEnd::Finished | OwnEnd::Reset, _) if alike => StreamEnd::Finished,
            (_, OwnEnd::Finished | OwnEnd::Reset, _) => StreamEnd::Local(LocalEnd::Asked),
            (_, OwnEnd::Open, Some(_)) if alike => StreamEnd::Finished,
            (_, OwnEnd::Open, Some(reason)) => StreamEnd::Connection(reason.clone()),
            (_, OwnEnd::Open, None) => return None,
        };
        Some(end)
    }

    /// Why nothing more can be written; `None` while something can. The one place that looks at
    /// [`Config::late_writes`].
    pub(super) fn write_end(
        &self,
        config: &Config,
        error: Option<&RemoteError>,
        over: Option<&CloseReason>,
    ) -> Option<StreamEnd> {
        let sends = config.late_writes == LateWrites::Send;
        let end = match (self.own, self.peer, over) {
            (OwnEnd::Finished, ..) => StreamEnd::Finished,
            (OwnEnd::Reset, ..) => StreamEnd::Local(LocalEnd::Asked),
            (OwnEnd::TooMuch, ..) => StreamEnd::Local(LocalEnd::TooMuch),
            (_, PeerEnd::Failed, _) if !sends => remote(error),
            (_, PeerEnd::Closed, _) if !sends => StreamEnd::Reset,
            (_, _, Some(reason)) => StreamEnd::Connection(reason.clone()),
            (_, _, None) => return None,
        };
        Some(end)
    }
}

fn remote(error: Option<&RemoteError>) -> StreamEnd {
    error.map_or(StreamEnd::Reset, |error| StreamEnd::Remote {
        code: error.code,
        text: error.message.clone(),
    })
}
