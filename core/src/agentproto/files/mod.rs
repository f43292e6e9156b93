//! Files: what both sides decide without a file system. `docs/protocols/agentproto.md` section 8.
//!
//! For whoever reads and writes files of an agent, planners: which request comes next, and what its
//! answer means. They hold no session: offsets and answers go in, offsets and bytes come out, in
//! any order of answers. For whoever serves them, [`FileServer`]: which request runs when.

mod range;
mod refusal;
mod server;

pub use range::{Piece, RangePlan, Stalled};
pub use server::{FileServer, Job};
