//! Many streams over one transport, over every wire: the handles, their driver, and how they end.

mod basics;
pub(crate) mod wires;
