//! File operations on real files, on the whole machine and below a root.
#![cfg(unix)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/own_mounts.rs"]
mod own_mounts;
#[path = "../common/served.rs"]
mod served;

mod operations;
mod original;
mod policy;
mod rough;
