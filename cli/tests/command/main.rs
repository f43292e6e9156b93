//! The command as its users meet it: real processes, real pipes, nothing pretended.
//!
//! Everything here starts the built `trunkline`, looks at what comes out of it and at what it leaves
//! behind. It needs `/proc` and the tools of a plain Linux.
#![cfg(target_os = "linux")]

mod agent;
mod background;
mod codec;
mod codec_smux;
mod codec_wormhole;
mod codec_yamux;
mod codes;
mod crafted;
mod descriptors;
mod endurance;
mod environment;
mod extras;
mod fs;
mod fs_changes;
mod fs_listing;
mod fs_modes;
mod fs_rough;
mod hostile;
mod hostile_files;
mod interop;
mod interop_files;
mod interop_hazards;
mod interop_tunnel;
mod job;
mod lost;
mod marker;
mod outputs;
mod paths;
mod record;
mod recording;
mod relay_cluster;
mod relay_doors;
mod relay_http;
mod relay_login;
mod relay_use;
mod sessions;
mod signals;
mod ssh;
mod sshd;
mod stdin;
mod temp;
mod terminal;
mod transfer;
mod transfer_cut;
mod transfer_ssh;
mod tunnel_chain;
mod usage;
