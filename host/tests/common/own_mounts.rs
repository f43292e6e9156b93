//! Tests that need mounts of their own, and therefore a process of their own.
#![allow(dead_code)]

use std::process::{Command, Stdio};

/// Whether this process may mount as it likes. The first process has another one run `test` and
/// says no.
pub(crate) fn in_own_mounts(test: &str) -> bool {
    if std::env::var_os("TRUNKLINE_OWN_MOUNTS").is_some() {
        return true;
    }
    let program = std::env::current_exe().unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(program)
        .args(["--exact", test, "--nocapture"])
        .env("TRUNKLINE_OWN_MOUNTS", "1")
        .stdin(Stdio::null())
        .output()
        .expect("this test needs unshare (util-linux)");
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "this test needs to be root, to mount: {text}");
    assert!(text.contains("1 passed"), "{text}");
    false
}

/// Mounts something, for this process alone.
pub(crate) fn mount(args: &[&str]) {
    let output = Command::new("mount").args(args).output().expect("mount");
    assert!(output.status.success(), "{args:?} {}", String::from_utf8_lossy(&output.stderr));
}
