//! Building the peers in Go.

use std::fs::{self, File};
use std::path::Path;
use std::process::{self, Command, Stdio};

use super::program::folder;

/// Builds a peer beside the programs of this build, and says where it is. Others may do the same at
/// this moment or run what they built: one builds at a time, and what it built takes its place in one
/// step.
///
/// # Panics
///
/// When `go` is missing or fails.
pub(super) fn build(name: &str) -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(name);
    let folder = folder().join("peers");
    fs::create_dir_all(&folder).expect("the target folder takes folders");
    let lock = File::create(folder.join(".lock")).expect("the target folder takes files");
    lock.lock().expect("a lock");
    let program = folder.join(name);
    let fresh = folder.join(format!("{name}.{}", process::id()));
    let output = Command::new("go")
        .args(["build", "-o"])
        .args([&fresh, Path::new(".")])
        .current_dir(&source)
        .env("CGO_ENABLED", "0")
        .stdin(Stdio::null())
        .output();
    let shown = source.display();
    match output {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            panic!("the peer in {shown}: {}", String::from_utf8_lossy(&output.stderr))
        }
        Err(error) => panic!("the peer in {shown} needs Go (https://go.dev/dl): {error}"),
    }
    fs::rename(&fresh, &program).expect("the target folder takes files");
    program.to_string_lossy().into_owned()
}
