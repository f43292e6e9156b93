//! Attacks on the confinement below a root, over both resolvers. Outside lies a canary.
#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/own_mounts.rs"]
mod own_mounts;
#[path = "../common/served.rs"]
mod served;

mod escapes;
mod handles;
mod mounts;
mod odd_paths;
mod races;
mod scene;
