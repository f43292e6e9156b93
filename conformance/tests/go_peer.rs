//! The Go peer is held to its own checks: its format, its vet and its tests, vectors included.

use std::path::Path;
use std::process::Command;

fn go(program: &str, args: &[&str]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/agentproto");
    let output = Command::new(program)
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap_or_else(|error| panic!("this test needs Go 1.25 or later: {program}: {error}"));
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{program} {args:?}: {text}");
    text
}

#[test]
fn it_is_formatted_and_passes_vet_and_its_tests() {
    assert_eq!(go("gofmt", &["-l", "."]), "", "files that gofmt would change");
    go("go", &["vet", "."]);
    go("go", &["test", "."]);
}
