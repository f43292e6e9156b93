//! Builds the Go peer of a wire, for the tests that run against it.
//!
//! No crate can hold this for the bindings and the command alike without a circle of dependencies, so
//! their tests include the file: `#[path = "../../../conformance/peers/go_peer.rs"] mod go_peer;`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::OnceLock;

/// The program of the peer in `conformance/peers/agentproto`, built by the first who asks.
pub(crate) fn agentproto() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("agentproto"))
}

/// The program of the peer in `conformance/peers/tunnel`, built by the first who asks.
#[allow(dead_code, reason = "not every test that includes this file has tunnels")]
pub(crate) fn tunnel() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("tunnel"))
}

/// Builds a peer into the target folder. Other tests may do the same at this moment or run what they
/// built: one builds at a time, and what it built takes its place in one step.
fn build(wire: &str) -> PathBuf {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate of the workspace");
    let source = top.join("conformance/peers").join(wire);
    let test = std::env::current_exe().expect("a test is a program");
    let profile = test.parent().and_then(Path::parent).expect("a target folder");
    let folder = profile.join("peers");
    fs::create_dir_all(&folder).expect("the target folder takes folders");
    let lock = File::create(folder.join(".lock")).expect("the target folder takes files");
    lock.lock().expect("a lock");
    let program = folder.join(wire);
    let fresh = folder.join(format!("{wire}.{}", process::id()));
    let output = Command::new("go")
        .args(["build", "-o"])
        .args([&fresh, Path::new(".")])
        .current_dir(&source)
        .env("CGO_ENABLED", "0")
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!(
            "the Go peer in {} cannot be built: {}",
            source.display(),
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => panic!(
            "this test needs Go (https://go.dev/dl) for the peer in {}, and `go` cannot be run: {error}",
            source.display()
        ),
    }
    fs::rename(&fresh, &program).expect("the target folder takes files");
    program
}
