//! Transfers that are cut in the middle, and those that go on with what is left.

use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, chown};
use std::path::PathBuf;

use rustix::process::Signal;

use crate::fs::{SERVERS, Server};
use crate::job::{Ended, Job, eventually, run, trunkline};
use crate::temp::Temp;
use crate::transfer::{Way, all, as_nobody, no_parts, pattern, summary, tree};

const MIB: usize = 1 << 20;

/// What put takes up again of what is there, at most.
const AGAIN: u64 = 26 << 20;

/// A line that loses the link after so many bytes: from the agent when getting, to it when putting.
fn cut(server: Server, way: Way, after: usize) -> String {
    // What comes is passed on at once.
    let some = format!("stdbuf -o0 head -c {after}");
    match way {
        // The shell in the middle must not hold the output open.
        Way::Get => {
            format!("exec 3<&0; {} <&3 | {some} & exec >&- <&- 3<&-; wait", server.via())
        }
        Way::Put => format!("{some} | {}", server.via()),
    }
}

fn through(via: &str, args: &[&str]) -> Ended {
    run(trunkline(["fs"]).args(args).env("TRUNKLINE_VIA", via))
}

/// The one file that is not whole.
fn part(dir: &Temp) -> PathBuf {
    let is_part = |path: &PathBuf| path.to_str().is_some_and(|path| path.ends_with(".part"));
    let found = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let parts: Vec<_> = found.filter(is_part).collect();
    assert_eq!(parts.len(), 1, "{parts:?}");
    parts[0].clone()
}

/// Cuts a transfer of a file of so many MiB, and says what is left.
fn cut_file(temp: &Temp, (server, way): (Server, Way), size: usize, after: usize) -> PathBuf {
    let (source, target) = (temp.file("source"), temp.file("target"));
    let ended = through(&cut(server, way, after), &[way.name(), &source, &target]);
    assert_eq!(ended.code, Some(255), "{ended:?}");
    let left = part(temp);
    // The line tells what is left and what to do.
    assert!(ended.line().contains(left.to_str().unwrap()), "{ended:?}");
    assert!(ended.line().contains("resume") && ended.line().contains("lost"), "{ended:?}");
    assert!(!fs::exists(&target).unwrap());
    assert!(fs::metadata(&left).unwrap().len() <= size as u64);
    left
}

/// Goes on, and says how many bytes that took.
fn resumed(temp: &Temp, (server, way): (Server, Way), more: &[&str]) -> u64 {
    let (source, target) = (temp.file("source"), temp.file("target"));
    let args = [&[way.name(), "--resume", "--json"], more, &[&source, &target]].concat();
    let ended = server.run(args);
    assert_eq!((ended.code, &*ended.err), (Some(0), ""), "{ended:?}");
    assert!(fs::read(&target).unwrap() == fs::read(&source).unwrap(), "{way:?}");
    no_parts(temp.text());
    fs::remove_file(target).unwrap();
    summary(&ended)["bytes"].as_u64().unwrap()
}

#[test]
fn a_transfer_that_was_cut_goes_on_where_it_stopped() {
    let (size, after) = (36 * MIB, 32 * MIB);
    for case in all() {
        let temp = Temp::new();
        temp.write("source", pattern(size));
        let left = cut_file(&temp, case, size, after);
        let there = fs::metadata(&left).unwrap().len();
        assert!(there > if case.1 == Way::Get { 0 } else { AGAIN }, "{there}");
        let again = if case.1 == Way::Get { 0 } else { AGAIN };
        assert_eq!(resumed(&temp, case, &[]), size as u64 - there + again, "{case:?}");
    }
}

/// Whatever the agent wrote out of order before it died is not trusted.
#[test]
fn gaps_at_the_end_of_what_was_put_are_filled() {
    let (size, after) = (36 * MIB, 32 * MIB);
    for server in SERVERS {
        let case = (server, Way::Put);
        let temp = Temp::new();
        temp.write("source", pattern(size));
        let left =
            fs::File::options().write(true).open(cut_file(&temp, case, size, after)).unwrap();
        let there = left.metadata().unwrap().len();
        left.write_all_at(&vec![0; AGAIN as usize], there - AGAIN).unwrap();
        assert_eq!(resumed(&temp, case, &[]), size as u64 - there + AGAIN);
    }
}

#[test]
fn what_does_not_agree_is_transferred_anew() {
    let (size, after) = (36 * MIB, 32 * MIB);
    for case in all() {
        // Within the last MiB that counts, without more ado; anywhere, if it is to be verified.
        for verify in [false, true] {
            let temp = Temp::new();
            temp.write("source", pattern(size));
            let left = cut_file(&temp, case, size, after);
            let left = fs::File::options().write(true).open(left).unwrap();
            let there = left.metadata().unwrap().len();
            let trusted = if case.1 == Way::Get { there } else { there - AGAIN };
            let at = if verify { 3 } else { trusted - (1 << 20) };
            left.write_all_at(b"other", at).unwrap();
            let more: &[&str] = if verify { &["--verify"] } else { &[] };
            assert_eq!(resumed(&temp, case, more), size as u64, "{case:?} {verify}");
        }
    }
}

/// The session ended between the mode and the name of the file. Root may write it all the same.
#[test]
fn a_part_that_is_read_only_is_begun_anew() {
    for case in all() {
        let temp = Temp::new();
        let source = temp.write("source", pattern(12 * MIB));
        let left = cut_file(&temp, case, 12 * MIB, 9 * MIB);
        for (path, mode) in [(&*left, 0o444), (source.as_ref(), 0o444), (temp.path(), 0o777)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let target = temp.file("target");
        if rustix::process::geteuid().is_root() {
            chown(&left, Some(65534), Some(65534)).unwrap();
        }
        let mut transfer = case.0.fs([case.1.name(), "--resume", &source, &target]);
        let ended = run(as_nobody(&mut transfer).env("TRUNKLINE_VIA", case.0.via()));
        assert_eq!((ended.code, &*ended.err), (Some(0), ""), "{case:?}");
        assert!(fs::read(&target).unwrap() == pattern(12 * MIB));
        no_parts(temp.text());
    }
}

#[test]
fn what_is_left_of_another_version_is_left_alone() {
    for case in all() {
        let temp = Temp::new();
        temp.write("source", pattern(12 * MIB));
        let left = cut_file(&temp, case, 12 * MIB, 9 * MIB);
        let other: Vec<u8> = pattern(12 * MIB).into_iter().rev().collect();
        temp.write("source", other);
        let (source, target) = (temp.file("source"), temp.file("target"));
        let ended = case.0.run([case.1.name(), "--resume", "--json", &source, &target]);
        assert_eq!(summary(&ended)["bytes"], 12 * MIB, "{ended:?}");
        assert!(fs::read(&target).unwrap() == fs::read(&source).unwrap());
        assert!(fs::exists(left).unwrap());
    }
}

#[test]
fn what_is_there_already_is_left_alone() {
    let temp = Temp::new();
    fs::create_dir(temp.file("source")).unwrap();
    for number in 0..20 {
        temp.write(&format!("source/{number}"), pattern(number * 50_000));
    }
    for (server, way) in all() {
        let (source, target) = (temp.file("source"), temp.file(&format!("{way:?}{server:?}")));
        let go = |more: &[&str]| {
            let args = [&[way.name(), "-r", "-p", "--json"], more, &[&source, &target]].concat();
            let ended = server.run(args);
            assert_eq!((ended.code, &*ended.err), (Some(0), ""), "{ended:?}");
            let told = summary(&ended);
            (told["files"].as_u64().unwrap(), told["unchanged"].as_u64().unwrap())
        };
        assert_eq!(go(&[]), (20, 0));
        // The directory is there now, and what is put into it would stand below its name.
        let (below, target) = (format!("{target}/source"), target.clone());
        fs::rename(&target, temp.file("moved")).unwrap();
        fs::create_dir(&target).unwrap();
        fs::rename(temp.file("moved"), &below).unwrap();
        assert_eq!(go(&["--resume"]), (0, 20), "{way:?}");
        assert_eq!(go(&["--resume", "--verify"]), (0, 20), "{way:?}");
        let seven = fs::File::options().write(true).open(format!("{below}/7")).unwrap();
        let times = fs::metadata(temp.file("source/7")).unwrap().modified().unwrap();
        seven.write_all_at(b"other", 77).unwrap();
        seven.set_modified(times).unwrap();
        assert_eq!(go(&["--resume", "--verify"]), (1, 19), "{way:?}");
        assert_eq!(go(&[]), (20, 0));
    }
}

/// The link is lost behind every number of bytes, or nearly: what has its name is whole.
#[test]
fn wherever_the_link_is_lost_no_half_file_has_its_name() {
    let temp = Temp::new();
    fs::create_dir(temp.file("source")).unwrap();
    for number in 0..12 {
        temp.write(&format!("source/{number}"), pattern(number * number * 3_000));
    }
    let source = temp.file("source");
    for (server, way) in all() {
        let mut after = 20;
        for round in 0.. {
            let target = temp.file(&format!("{way:?}{server:?}{round}"));
            let ended = through(&cut(server, way, after), &[way.name(), "-r", &source, &target]);
            if fs::exists(&target).unwrap() {
                for name in tree(&target, "%P").lines().filter(|name| !name.is_empty()) {
                    if !name.ends_with(".part") {
                        let [there, whole] = [&target, &source]
                            .map(|dir| fs::read(format!("{dir}/{name}")).unwrap());
                        assert!(there == whole, "{way:?} {after} {name}");
                    }
                }
            }
            if ended.code == Some(0) {
                break;
            }
            assert_eq!((ended.code, ended.lines().len()), (Some(255), 1), "{ended:?}");
            let mut rest = server.fs([way.name(), "-r", "--resume"]);
            run(rest.args([format!("{source}/."), target.clone()])).is(0, "", "");
            run(crate::job::clean("diff").args(["-r", "-x", "*.part", &source, &target]))
                .is(0, "", "");
            after += after / 2;
        }
    }
}

#[test]
fn one_that_is_interrupted_says_how_to_go_on() {
    for (server, way) in all() {
        let temp = Temp::new();
        let source = temp.file("source");
        temp.write("source", pattern(36 * MIB));
        // It stops in the middle, without an end.
        let some = "stdbuf -o0 head -c 32000000";
        let stall = format!("sh -c '{some}; exec sleep 60'");
        let via = match way {
            Way::Get => format!("{} | {stall}", server.via()),
            Way::Put => format!("{stall} | {}", server.via()),
        };
        let mut command = trunkline(["fs", way.name(), &source, &temp.file("target")]);
        let job = Job::start(command.env("TRUNKLINE_VIA", via));
        eventually("most of it is there", || {
            let all = fs::read_dir(temp.path()).unwrap().map(|entry| entry.unwrap());
            let size = all
                .filter(|entry| entry.file_name() != "source")
                .map(|entry| entry.metadata().map_or(0, |metadata| metadata.len()));
            size.sum::<u64>() > 29_000_000
        });
        job.signal(Signal::INT);
        let ended = job.end();
        assert_eq!(ended.code, Some(130), "{ended:?}");
        assert!(ended.line().contains("--resume"), "{ended:?}");
        assert!(resumed(&temp, (server, way), &[]) < 36 * MIB as u64);
    }
}
