//! The suite that runs over both bindings, each of which brings its runtime as `crate::rt`.
//!
//! The agent is the real one, served in the test's own process over a wire that the test controls,
//! and its commands are real processes. Where a test is about what an agent could say and ours never
//! does, a [`peer`] plays it, frame by frame.

mod bounds;
mod cancel;
mod drops;
mod echo;
mod exit;
mod file;
mod files;
mod files_given_up;
mod files_peer;
mod given_up;
mod halves;
mod interop;
mod interop_files;
mod logs;
mod lost;
mod many;
mod mux;
mod paths;
mod pool;
mod pool_fake;
mod pool_given_up;
mod pool_mux;
mod recording;
mod rough;
mod serving;
mod serving_files;
mod signals;
mod streams;
mod transfer;
mod tunnel;
mod via;
mod websocket;

pub(crate) mod examples;
pub(crate) mod peer;
pub(crate) mod support;
pub(crate) mod wire;
