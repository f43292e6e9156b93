//! `trunkline paths`.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::crafted::{Crafted, bytes_of};
use crate::job::{Job, run, shell, trunkline};
use crate::marker::Marker;
use crate::temp::Temp;

fn put(path: impl AsRef<Path>, mode: u32) {
    fs::write(&path, "12345").unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
}

/// Two folders: `one` with what is to be found and what is not, `two` with a name twice.
fn folders() -> Temp {
    let temp = Temp::new();
    for folder in ["one", "two"] {
        fs::create_dir(temp.file(folder)).unwrap();
    }
    put(temp.file("one/zeta"), 0o755);
    put(temp.file("one/alpha"), 0o4711);
    put(temp.file("one/plain"), 0o644);
    put(temp.file("one/with space\tand\nmore"), 0o700);
    put(temp.path().join("one").join(OsStr::from_bytes(b"bad\xff")), 0o755);
    fs::create_dir(temp.file("one/folder")).unwrap();
    symlink("zeta", temp.file("one/link")).unwrap();
    symlink("nowhere", temp.file("one/dangling")).unwrap();
    put(temp.file("two/zeta"), 0o755);
    put(temp.file("two/plain"), 0o755);
    temp
}

#[test]
fn programs_of_folders_are_listed_in_order() {
    let temp = folders();
    let (one, two) = (temp.file("one"), temp.file("two"));
    let ended = run(&mut trunkline(["paths", &format!("{one}/"), "/no/such/dir", &two, &one]));
    let names = ["one/alpha", "one/link", "one/with space\\tand\\nmore", "one/zeta", "two/plain"];
    let expected: String = names.map(|name| format!("{}\n", temp.file(name))).concat();
    assert_eq!((ended.code, ended.text()), (Some(0), expected.as_str()), "{ended:?}");
}

#[test]
fn json_holds_everything_and_nothing_else() {
    let temp = folders();
    let ended = run(&mut trunkline(["paths", "--json", &temp.file("one")]));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let entries: Vec<Value> =
        ended.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = entries.iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["alpha", "link", "with space\tand\nmore", "zeta"]);
    let zeta = &entries[3];
    assert_eq!(zeta["path"], temp.file("one/zeta"));
    assert_eq!((&zeta["mode"], &zeta["size"]), (&json!(0o755), &json!(5)));
    assert!(zeta["mtime"].as_i64().unwrap() > 1_600_000_000_000_000_000, "{zeta}");
    assert_eq!(entries[0]["mode"], 0o711, "permission bits only");
}

#[test]
fn without_folders_it_is_the_agents_path() {
    let temp = folders();
    let listed = |path: &str| run(trunkline(["paths"]).env("PATH", path)).text().lines().count();
    assert_eq!(listed(&temp.file("two")), 2);
    assert_eq!(listed(&format!("{}::{}:/no", temp.file("one"), temp.file("two"))), 5);
    assert_eq!(listed(""), 0);
    let ended = run(&mut trunkline(["paths"]));
    assert!(ended.text().lines().any(|line| line.ends_with("/sh")), "{ended:?}");
}

#[test]
fn folders_that_are_not_there_are_an_empty_list() {
    run(&mut trunkline(["paths", "/no/such/dir", "/etc/passwd", ""])).is(0, "", "");
    run(&mut trunkline(["paths", "--json", "/no/such/dir"])).is(0, "", "");
}

#[test]
fn the_list_of_a_strange_agent_is_harmless() {
    let entry = |name: &str| json!({"name": name, "path": name, "mode": 493, "size": 1});
    let frames = [json!({"t": 10, "i": {"entries": [entry("a\x1b[2J\nb"), entry("/x/ü")]}})];
    let crafted = Crafted::frames(&frames);
    let ended = run(&mut trunkline(["paths", "--via", &crafted.via()]));
    assert_eq!((ended.code, ended.text().lines().count()), (Some(0), 2), "{ended:?}");
    assert!(!ended.text().contains('\x1b') && ended.text().ends_with("/x/ü\n"), "{ended:?}");
    for nothing in [json!({"t": 10}), json!({"t": 10, "i": {"entries": null}})] {
        let frames = [json!({"t": 7, "l": {"lvl": 0, "msg": "hello"}}), json!({"t": 2}), nothing];
        let crafted = Crafted::frames(&frames);
        run(&mut trunkline(["paths", "--via", &crafted.via()])).is(0, "", "");
    }
}

#[test]
fn an_error_frame_is_told_in_its_own_words() {
    let crafted = Crafted::frames(&[json!({"t": 6, "e": "no \x1b[31mPATH\nhere"})]);
    for via in [crafted.via(), crafted.says()] {
        let ended = run(&mut trunkline(["paths", "--via", &via]));
        assert_eq!((ended.code, ended.text()), (Some(255), ""), "{ended:?}");
        assert!(ended.line().contains("agent error: no \\u{1b}[31mPATH\\nhere"), "{ended:?}");
    }
}

#[test]
fn an_agent_that_is_lost_is_255_and_a_line() {
    let cut = Crafted::bytes(&bytes_of(&[json!({"t": 10, "i": {"entries": null}})])[..6]);
    let exit = Crafted::frames(&[json!({"t": 5})]);
    for (via, text) in [
        ("true".to_owned(), "ended"),
        ("no-such-program".to_owned(), "ended"),
        ("echo Welcome to host".to_owned(), "Welcome to host"),
        ("echo '=== Welcome'".to_owned(), "=== Welcome"),
        ("echo Élysée".to_owned(), "Élysée"),
        (cut.says(), "middle of a frame"),
        (exit.says(), "ended"),
    ] {
        let ended = run(&mut trunkline(["paths", "--via", &via]));
        assert_eq!((ended.code, ended.text()), (Some(255), ""), "{ended:?}");
        assert!(ended.line().contains(text), "{ended:?}");
    }
}

#[test]
fn a_silent_agent_is_given_up_at_the_timeout() {
    let marker = Marker::new();
    let via = format!("sleep {}", marker.text());
    let ended = run(&mut trunkline(["paths", "--answer-timeout", "1", "--via", &via]));
    assert_eq!((ended.code, ended.line().contains("no answer")), (Some(255), true), "{ended:?}");
    marker.gone();
}

/// What leads to the agent ignores interrupts: somebody must end it.
#[test]
fn an_interrupt_leaves_nothing_running() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let marker = Marker::new();
        let via = format!("sleep {}", marker.text());
        let mut job = Job::start(&mut trunkline(["paths", "--via", &via]));
        marker.sleeps();
        job.signal_group(signal);
        assert_ne!(job.wait().code(), Some(0));
        marker.gone();
    }
}

#[test]
fn output_that_cannot_be_written_is_told_and_one_not_wanted_is_not() {
    let ended = run(&mut shell(r#"exec "$T" paths >/dev/full"#));
    assert_ne!(ended.code, Some(0));
    assert!(ended.line().contains("No space left on device"), "{ended:?}");
    let ended = run(&mut shell(r#"{ "$T" paths; echo $? >&2; } | true"#));
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), "0\n"));
}
