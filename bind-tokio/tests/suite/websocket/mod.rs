//! WebSockets: dialled and accepted over real sockets, and against a peer that speaks its frames by
//! hand. What every wire must hold runs inside them as well: see [`mux`](super::mux).

pub(crate) mod cancel;
mod dial;
mod ends;
mod frames;
mod messages;
mod sockets;
mod time;

pub(crate) mod raw;
