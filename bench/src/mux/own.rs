//! The subjects that need no dependency of others: the bare transports, and ours.

use std::io;

use super::alone;
use super::ours::{OnSmol, OnTokio, Owned};
use super::raw::{Bounded, RawSmol, RawTokio};
use super::runtime::{Smol, Still, Tokio};
use super::scenario::run;
use super::spec::{Sample, Scenario, Spec};
use super::websocket::{self, Bare};
use super::wires::{Use, with_wire};
use trunkline_core::mux::{Mux, Side};

/// Lets a subject do as the specification says; `None` when it is not known here.
#[must_use]
pub fn play(spec: &Spec) -> Option<io::Result<Sample>> {
    let kind = spec.transport;
    if let Some(words) = spec.subject.strip_prefix("trunkline ") {
        let (words, inside) = without(words, "@websocket");
        let (words, smol) = without(words, "@smol");
        let (wire, owned) = without(words, " owned");
        if spec.scenario == Scenario::Core {
            return alone::play(wire, spec);
        }
        let ours = Ours { spec: spec.clone(), owned, smol, inside };
        return with_wire(wire, spec.scenario.is_crowded(), ours);
    }
    Some(match spec.subject.as_str() {
        "websocket" => run::<Tokio, _>(spec, Bare::pair(kind, false)),
        "websocket 16k" => run::<Tokio, _>(spec, Bare::pair(kind, true)),
        "raw" => run::<Tokio, _>(spec, RawTokio::pair(kind)),
        "raw-fc" => {
            run::<Tokio, _>(spec, async move { RawTokio::pair(kind).await.map(Bounded::around) })
        }
        "raw@smol" => run::<Smol, _>(spec, RawSmol::pair(kind)),
        "raw-fc@smol" => {
            run::<Smol, _>(spec, async move { RawSmol::pair(kind).await.map(Bounded::around) })
        }
        _ => return None,
    })
}

/// Lets one of our wires do it while the clock stands still, so that its counts are always the
/// same; `None` when there is no such wire.
#[must_use]
pub fn count(wire: &str, spec: &Spec) -> Option<io::Result<Sample>> {
    with_wire(wire, spec.scenario.is_crowded(), Counted(spec.clone()))
}

fn without<'a>(words: &'a str, end: &str) -> (&'a str, bool) {
    words.strip_suffix(end).map_or((words, false), |rest| (rest, true))
}

struct Ours {
    spec: Spec,
    owned: bool,
    smol: bool,
    /// Inside a WebSocket.
    inside: bool,
}

impl Use for Ours {
    type Output = io::Result<Sample>;

    fn with<M>(self, make: impl Fn(Side) -> M + Copy + Send + 'static) -> Self::Output
    where
        M: Mux + Send + 'static,
    {
        let (spec, kind) = (&self.spec, self.spec.transport);
        let owned = |(client, server)| (Owned(client), Owned(server));
        if self.inside && self.owned {
            return run::<Tokio, _>(
                spec,
                async move { websocket::ours(kind, make).await.map(owned) },
            );
        }
        if self.inside {
            return run::<Tokio, _>(spec, websocket::ours(kind, make));
        }
        match (self.smol, self.owned) {
            (false, false) => run::<Tokio, _>(spec, OnTokio::pair(kind, make)),
            (false, true) => {
                run::<Tokio, _>(spec, async move { OnTokio::pair(kind, make).await.map(owned) })
            }
            (true, false) => run::<Smol, _>(spec, OnSmol::pair(kind, make)),
            (true, true) => {
                let owned = |(client, server)| (Owned(client), Owned(server));
                run::<Smol, _>(spec, async move { OnSmol::pair(kind, make).await.map(owned) })
            }
        }
    }
}

struct Counted(Spec);

impl Use for Counted {
    type Output = io::Result<Sample>;

    fn with<M>(self, make: impl Fn(Side) -> M + Copy + Send + 'static) -> Self::Output
    where
        M: Mux + Send + 'static,
    {
        run::<Still, _>(&self.0, OnTokio::pair(self.0.transport, make))
    }
}
