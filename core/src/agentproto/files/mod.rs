//! Planners for whoever reads and writes files of an agent: which request comes next, and what its
//! answer means. `docs/protocols/agentproto.md` section 8.
//!
//! They hold no session: offsets and answers go in, offsets and bytes come out, in any order of
//! answers.

mod range;

pub use range::{Piece, RangePlan, Stalled};
