//! The Go peers are held to their own checks: format, vet and tests, vectors included.

use std::path::Path;
use std::process::Command;

fn go(peer: &str, program: &str, args: &[&str]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(peer);
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
    assert!(output.status.success(), "{program} {args:?} in {peer}: {text}");
    text
}

#[test]
fn they_are_formatted_and_pass_vet_and_their_tests() {
    for peer in ["agentproto", "scenario", "smux", "yamux"] {
        assert_eq!(go(peer, "gofmt", &["-l", "."]), "", "files of {peer} that gofmt would change");
        go(peer, "go", &["vet", "."]);
        go(peer, "go", &["test", "."]);
    }
}
