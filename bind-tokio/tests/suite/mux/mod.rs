//! Many streams over one transport, over every wire: the handles, their driver, and how they end.

mod basics;
pub(super) mod cancel;
mod closed;
mod drops;
mod ends;
mod load;
mod losses;
mod rough;
mod seeds;
pub(crate) mod wires;
