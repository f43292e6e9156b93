//! What any bytes at all must not do to this implementation: the bodies of the fuzz targets.
//!
//! Each body is a plain function of bytes that panics when a promise is broken, so that one and the
//! same code is a fuzz target (`fuzz/` holds one line for each), a test over the seeds under any
//! toolchain (`conformance/tests/fuzz.rs`), and a way to look at a crash file. [`seeds`] makes the
//! inputs to start from out of the golden vectors.
//!
//! The first bytes of an input choose settings and the cuts; the rest is what arrives, or a list of
//! operations: each body says which.

mod agent;
mod carrier;
mod cbor;
mod codec;
mod file_server;
#[cfg(target_os = "linux")]
mod files;
mod frames;
mod local;
mod mux;
mod ops;
mod pair;
mod recording;
mod schema;
pub mod seeds;
mod smux;
mod tunnel_header;
mod tunnel_http;
mod tunnel_meta;
mod tunnel_seeds;
mod watch;
mod weight;
mod wormhole_frame;
mod wormhole_pair;
mod wormhole_seeds;
mod wormhole_session;
mod wormhole_watch;
mod yamux;

pub use agent::agentproto_agent;
pub use carrier::carrier;
pub use cbor::agentproto_cbor;
pub use codec::{agentproto_frame, agentproto_record};
#[cfg(target_os = "linux")]
pub use files::agentproto_files;
pub use local::agentproto_local;
pub use pair::agentproto_pair;
pub use smux::{smux_bytes, smux_ops, smux_pair};
pub use tunnel_header::tunnel_header;
pub use tunnel_http::tunnel_http;
pub use tunnel_meta::tunnel_meta;
pub use wormhole_frame::wormhole_frame;
pub use wormhole_pair::wormhole_pair;
pub use wormhole_session::wormhole_session;
pub use yamux::{yamux_bytes, yamux_ops, yamux_pair};

/// One fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is that of its file in `fuzz/fuzz_targets` too.
    pub name: &'static str,
    /// What it does with an input.
    pub run: fn(&[u8]),
}

/// Every fuzz target.
pub const TARGETS: [Target; 20] = [
    Target { name: "agentproto_frame", run: agentproto_frame },
    Target { name: "agentproto_record", run: agentproto_record },
    Target { name: "agentproto_cbor", run: agentproto_cbor },
    Target { name: "agentproto_local", run: agentproto_local },
    Target { name: "agentproto_agent", run: agentproto_agent },
    Target { name: "agentproto_pair", run: agentproto_pair },
    Target { name: "agentproto_files", run: agentproto_files },
    Target { name: "smux_bytes", run: smux_bytes },
    Target { name: "smux_ops", run: smux_ops },
    Target { name: "smux_pair", run: smux_pair },
    Target { name: "yamux_bytes", run: yamux_bytes },
    Target { name: "yamux_ops", run: yamux_ops },
    Target { name: "yamux_pair", run: yamux_pair },
    Target { name: "wormhole_frame", run: wormhole_frame },
    Target { name: "wormhole_session", run: wormhole_session },
    Target { name: "wormhole_pair", run: wormhole_pair },
    Target { name: "carrier", run: carrier },
    Target { name: "tunnel_header", run: tunnel_header },
    Target { name: "tunnel_http", run: tunnel_http },
    Target { name: "tunnel_meta", run: tunnel_meta },
];

/// Directories are confined on Linux only.
#[cfg(not(target_os = "linux"))]
pub fn agentproto_files(_: &[u8]) {}
