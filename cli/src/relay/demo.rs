//! `trunkline relay --demo`: everything on one machine, to try.

use super::RelayArgs;
use crate::report::{Failure, Outcome};

pub(super) async fn run(_: RelayArgs) -> Outcome {
    Err(Failure::usage("not yet"))
}
