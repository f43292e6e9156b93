//! The runner's exit codes and what it prints.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn last_line(&self) -> &str {
        self.stdout.lines().next_back().unwrap_or_default()
    }

    /// Nothing was run: one line on stderr, nothing else.
    fn refused(&self) -> &str {
        assert_eq!((self.code, self.stdout.as_str()), (Some(2), ""), "{}", self.stderr);
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        self.stderr.strip_prefix("trunkline-conformance: ").unwrap()
    }
}

fn runner(arguments: &[&str]) -> Ran {
    let output =
        Command::new(env!("CARGO_BIN_EXE_trunkline-conformance")).args(arguments).output().unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A folder of vectors for one test.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn with(self, file: &str, text: impl AsRef<[u8]>) -> Self {
        let path = self.0.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn run(&self, options: &[&str]) -> Ran {
        runner(&[&["vectors", self.0.to_str().unwrap()], options].concat())
    }
}

fn modes(m: u32) -> String {
    let case =
        |name: &str, m: u32| json!({"name": name, "kind": "stat", "st_mode": 0o100_644, "m": m});
    json!({"cases": [case("good", 0o644), case("changed", m)]}).to_string()
}

const TWO_CASES: &str = r#"{"cases": [{"name": "a"}, {"name": "b"}]}"#;

#[test]
fn all_passed_is_0_and_wires_not_built_are_named() {
    let folder = Folder::new("all-passed")
        .with("agentproto/modes.json", modes(0o644))
        .with("telegraph/frames.json", TWO_CASES)
        .with("telegraph/notes.txt", "")
        .with("README.md", "")
        .with(".hidden/frames.json", "{");
    let ran = folder.run(&[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(ran.last_line(), "2 passed, 0 failed, 2 skipped");
    assert!(
        ran.stdout.contains("telegraph   frames.json      2       0       0        2\n"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains("not run: telegraph: 2 cases: the wire is not built yet\n"),
        "{}",
        ran.stdout
    );

    let ran = folder.run(&["--wire", "agentproto"]);
    assert_eq!((ran.code, ran.last_line()), (Some(0), "2 passed, 0 failed, 0 skipped"));
}

#[test]
fn a_failure_is_1_and_one_line() {
    let folder = Folder::new("a-failure").with("agentproto/modes.json", modes(0o645));
    let ran = folder.run(&[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), ""));
    let line = "FAIL agentproto/modes/changed: mode 0o100644: expected 0o645, seen 0o644\n";
    assert!(ran.stdout.starts_with(line), "{}", ran.stdout);
    assert_eq!(ran.stdout.matches("FAIL").count(), 1);
    assert_eq!(ran.last_line(), "1 passed, 1 failed, 0 skipped");
}

#[test]
fn json_tells_the_same_with_the_same_code() {
    let folder = Folder::new("json")
        .with("agentproto/modes.json", modes(0o645))
        .with("telegraph/frames.json", TWO_CASES);
    let ran = folder.run(&["--json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), ""));
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!([&report["passed"], &report["failed"], &report["skipped"]], [1, 1, 2]);
    assert_eq!(report["wires_not_built"], json!(["telegraph"]));
    assert_eq!(report["files"][0]["failures"][0]["case"], "agentproto/modes/changed");
}

#[test]
fn files_that_nothing_runs_are_named_and_never_passed() {
    let folder = Folder::new("extra-files")
        .with("agentproto/modes.json", modes(0o644))
        .with("agentproto/songs.json", TWO_CASES)
        .with("agentproto/index.json", "{}")
        .with("agentproto/notes.txt", "");
    let ran = folder.run(&[]);
    assert_eq!((ran.code, ran.last_line()), (Some(0), "2 passed, 0 failed, 4 skipped"));
    for line in [
        "not run: agentproto/songs.json: a, b: nothing runs files of this name\n",
        "not run: agentproto/index.json: -: it has no list `cases`\n",
        "not run: agentproto/notes.txt: -: it is not a JSON file\n",
    ] {
        assert!(ran.stdout.contains(line), "{}", ran.stdout);
    }
}

#[test]
fn a_case_that_cannot_be_read_is_named_and_never_passed() {
    let file = json!({"cases": [{"name": "odd", "kind": "stat"}, 7, {"kind": "stat", "st_mode": 0, "m": 0}]});
    let folder = Folder::new("odd-cases").with("agentproto/modes.json", file.to_string());
    let ran = folder.run(&[]);
    assert_eq!((ran.code, ran.last_line()), (Some(1), "0 passed, 1 failed, 2 skipped"));
    assert!(ran.stdout.contains("FAIL agentproto/modes/#3: "), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("modes.json: odd: the case cannot be read: missing field"),
        "{}",
        ran.stdout
    );
}

#[test]
fn nothing_to_run_is_2_and_one_line() {
    let missing = runner(&["vectors", "/nonexistent/vectors"]);
    assert!(missing.refused().starts_with("/nonexistent/vectors cannot be read: "));

    let empty = Folder::new("empty");
    assert!(empty.run(&[]).refused().starts_with("no case in "));
    let flat = Folder::new("flat").with("modes.json", modes(0o644));
    assert!(flat.run(&[]).refused().contains("one folder for each wire"));
    let no_case = Folder::new("no-case").with("agentproto/modes.json", r#"{"cases": []}"#);
    assert!(no_case.run(&[]).refused().starts_with("no case in "));

    let folder = Folder::new("other-wire").with("agentproto/modes.json", modes(0o644));
    assert!(
        folder
            .run(&["--wire", "telegraph"])
            .refused()
            .ends_with("no folder telegraph; it has agentproto\n")
    );
    let file = folder.0.join("agentproto/modes.json");
    assert!(runner(&["vectors", file.to_str().unwrap()]).refused().contains("cannot be read"));

    let broken = Folder::new("broken").with("agentproto/modes.json", "{\"cases\": [");
    assert!(broken.run(&[]).refused().contains("modes.json is not JSON: EOF"));
    let no_list = Folder::new("no-list").with("agentproto/modes.json", "{}");
    assert!(no_list.run(&[]).refused().contains("modes.json has no list `cases`"));

    let not_built = Folder::new("not-built").with("telegraph/frames.json", TWO_CASES).run(&[]);
    assert_eq!((not_built.code, not_built.last_line()), (Some(2), "0 passed, 0 failed, 2 skipped"));
    assert!(not_built.stderr.contains("nothing in "), "{}", not_built.stderr);
}

#[test]
fn wrong_usage_is_2_and_one_line() {
    assert!(runner(&[]).refused().starts_with("no command given"));
    assert!(runner(&["sing"]).refused().starts_with("unrecognized subcommand 'sing'"));
    assert!(runner(&["vectors"]).refused().contains("required arguments were not provided: <DIR>"));
    assert!(runner(&["vectors", "a", "--loud"]).refused().contains("unexpected argument '--loud'"));
    let help = runner(&["vectors", "--help"]);
    assert_eq!(help.code, Some(0));
    assert!(help.stdout.contains("--wire <WIRE>"));
}
