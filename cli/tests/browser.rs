//! The relay's page in a real browser: starts the tests in `cli/tests/browser`, which start the real
//! relay, real agents and Debian's Chromium.

#![cfg(unix)]

use std::path::Path;
use std::process::{Command, Stdio};

/// `TRUNKLINE_SCREENSHOT=1` writes the picture of the documentation as well, in a minute more.
#[test]
fn the_relays_page_does_in_a_browser_what_it_shows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("tests/browser");
    assert!(
        folder.join("node_modules/playwright-core").is_dir(),
        "the packages of cli/tests/browser are missing: npm --prefix cli/tests/browser ci installs them"
    );
    let mut command = Command::new("node");
    command.args(["--test-reporter=spec", "page.test.mjs"]).current_dir(&folder);
    command.env("TRUNKLINE", env!("CARGO_BIN_EXE_trunkline"));
    if std::env::var_os("TRUNKLINE_SCREENSHOT").is_some() {
        command.env("TRUNKLINE_SCREENSHOT", root.join("../docs/figures/relay.png"));
    }
    // The input is held open: its end tells the tests that nobody waits for them any more.
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("node runs; Debian's package is nodejs");
    let input = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    drop(input);
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{errors}");
    // A run that found no test to run would be a success too.
    let passed =
        told.lines().find_map(|line| line.rsplit_once("pass ")?.1.trim().parse::<u32>().ok());
    assert!(passed.is_some_and(|n| n >= 17), "{told}\n{errors}");
}
