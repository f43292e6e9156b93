//! Files: what both sides decide without a file system. `docs/protocols/agentproto.md` section 8.
//!
//! For whoever reads and writes files of an agent, planners: which request comes next, and what its
//! answer means. They hold no session: offsets and answers go in, offsets and bytes come out, in
//! any order of answers. For whoever serves them, [`FileServer`]: which request runs when.

mod range;
mod read_ahead;
mod refusal;
mod server;
mod write_behind;

pub use range::{Piece, RangePlan, Stalled};
pub use read_ahead::{AheadRead, ReadAhead};
pub use server::{FileServer, Job};
pub use write_behind::WriteBehind;
