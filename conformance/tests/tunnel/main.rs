//! The message seam: a multiplexer inside WebSocket messages keeps its promises over any link, and
//! under every fault.

mod link;
mod messages;
mod promises;
