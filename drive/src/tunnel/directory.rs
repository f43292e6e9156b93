//! Which relay holds an agent, where there is more than one.

use std::error::Error;
use std::fmt;
use std::future::{pending, ready};
use std::pin::Pin;

use trunkline_core::tunnel::http::Dialect;

/// What a [`Directory`] promises to tell.
pub type Told<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where an agent can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which of the agent's tunnels this is: another number for each, at whatever relay.
    pub epoch: u64,
    /// What the relay that holds it is called.
    pub relay: String,
    /// Where other relays reach that one.
    pub url: String,
    /// What the tunnel speaks.
    pub dialect: Dialect,
    /// Since when, in milliseconds since 1970 by that relay's clock.
    pub since_ms: u64,
}

/// The directory cannot be asked, and has told nothing lately that would still do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreachable;

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the directory of agents cannot be asked")
    }
}

impl Error for Unreachable {}

/// Tells relays where each other's agents are: the [`Registry`](super::Registry) of many processes.
///
/// The rules are those of `docs/protocols/agent-tunnel.md` section 9: who comes last has the name,
/// and a late clean-up of one that was replaced changes nothing. A directory whose store is gone
/// must not stand in the way of what works without: its futures end in bounded time, and what was
/// announced is announced again by itself when the store is back. All futures may be dropped at any
/// time; what they began may happen or not.
pub trait Directory: fmt::Debug + Send + Sync {
    /// Says that an agent has joined here; it takes the place of any other with this id, and stands
    /// until it is [withdrawn](Self::withdraw) or [taken](Self::taken).
    fn announce<'a>(&'a self, id: &'a str, place: Place) -> Told<'a, ()>;

    /// Takes an agent out, if what is known of it is still this very tunnel.
    fn withdraw<'a>(&'a self, id: &'a str, epoch: u64) -> Told<'a, ()>;

    /// Where an agent is; also one of this process's own. While the store is gone this is where it
    /// was last seen, for a bounded time.
    fn find<'a>(&'a self, id: &'a str) -> Told<'a, Result<Option<Place>, Unreachable>>;

    /// All agents that are known, by id; as far as they are known while the store is gone.
    fn list(&self) -> Told<'_, Vec<(String, Place)>>;

    /// Waits for the next agent announced here that has since joined elsewhere: id and epoch of a
    /// tunnel that is of no use any more. One waits at a time; cancel safe.
    fn taken(&self) -> Told<'_, (String, u64)>;
}

/// The directory of a relay that is alone: it knows of no other.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDirectory;

impl Directory for NoDirectory {
    fn announce<'a>(&'a self, _: &'a str, _: Place) -> Told<'a, ()> {
        Box::pin(ready(()))
    }

    fn withdraw<'a>(&'a self, _: &'a str, _: u64) -> Told<'a, ()> {
        Box::pin(ready(()))
    }

    fn find<'a>(&'a self, _: &'a str) -> Told<'a, Result<Option<Place>, Unreachable>> {
        Box::pin(ready(Ok(None)))
    }

    fn list(&self) -> Told<'_, Vec<(String, Place)>> {
        Box::pin(ready(Vec::new()))
    }

    fn taken(&self) -> Told<'_, (String, u64)> {
        Box::pin(pending())
    }
}
