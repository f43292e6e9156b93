//! The subjects that need no dependency of others: the bare transports, and ours.

use std::io;

use super::raw::{Bounded, RawSmol, RawTokio};
use super::runtime::{Smol, Tokio};
use super::scenario::run;
use super::spec::{Sample, Spec};

/// Our wires, by the names that subjects have: `trunkline yamux`, `trunkline yamux owned`, and the
/// same with `@smol` behind it.
pub const WIRES: [&str; 0] = [];

/// Lets a subject do as the specification says; `None` when it is not known here.
#[must_use]
pub fn play(spec: &Spec) -> Option<io::Result<Sample>> {
    let kind = spec.transport;
    Some(match spec.subject.as_str() {
        "raw" => run::<Tokio, _>(spec, RawTokio::pair(kind)),
        "raw-fc" => {
            run::<Tokio, _>(spec, async move { RawTokio::pair(kind).await.map(Bounded::around) })
        }
        "raw@smol" => run::<Smol, _>(spec, RawSmol::pair()),
        "raw-fc@smol" => run::<Smol, _>(spec, async { RawSmol::pair().await.map(Bounded::around) }),
        _ => return None,
    })
}
