//! Transfers over a real OpenSSH server: a gigabyte, ten thousand files, a session that is cut.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::job::{Ended, Job, LONG, clean, eventually, run, trunkline};
use crate::sshd::Sshd;
use crate::temp::Temp;
use crate::transfer::{WAYS, Way, no_parts, pattern, summary};

const GIB: u64 = 1 << 30;

/// Memory that either side may have, in KiB.
const RESIDENT: u64 = 32 << 10;

/// Runs a transfer to its end, and says how much memory it had at most, in KiB.
fn watched(via: &str, args: &[&str]) -> (Ended, u64) {
    let mut job = Job::start(trunkline(["fs"]).args(args).env("TRUNKLINE_VIA", via));
    let status = format!("/proc/{}/status", job.pid().as_raw_nonzero());
    let mut most = 0;
    eventually("the transfer is over", || {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        most = most.max(now.unwrap_or(0));
        job.is_over()
    });
    (job.end(), most)
}

/// A file of a gigabyte, all of it data, and most of it zeros.
fn gigabyte(temp: &Temp, name: &str) -> String {
    let path = temp.file(name);
    let file = fs::File::create(&path).unwrap();
    file.set_len(GIB).unwrap();
    let block = pattern(3 << 20);
    for part in 0..16 {
        file.write_all_at(&block, part * (GIB / 16) + part * 4_099).unwrap();
    }
    path
}

#[test]
fn a_gigabyte_arrives_and_takes_little_memory() {
    let (sshd, temp) = (Sshd::start(), Temp::new());
    let source = gigabyte(&temp, "source");
    for way in WAYS {
        let target = temp.file("target");
        // All of it goes over the link when getting; putting leaves the holes out.
        let args = [way.name(), "--json", &source, &target];
        let args =
            if way == Way::Get { [&["get", "--sparse"], &args[1..]].concat() } else { args.into() };
        let (ended, most) = watched(&sshd.agent(), &args);
        assert_eq!((ended.code, &*ended.err), (Some(0), ""), "{ended:?}");
        let bytes = summary(&ended)["bytes"].as_u64().unwrap();
        assert!(bytes == GIB || way == Way::Put && bytes >= 48 << 20, "{ended:?}");
        assert!(most > 0 && most < RESIDENT, "{most} KiB for {way:?}");
        run(clean("cmp").args([&source, &target])).is(0, "", "");
        fs::remove_file(target).unwrap();
    }
}

#[test]
fn ten_thousand_files_arrive_and_take_little_memory() {
    let (sshd, temp) = (Sshd::start(), Temp::new());
    let content = pattern(4_096);
    for folder in 0..100 {
        fs::create_dir_all(temp.file(&format!("source/{folder}"))).unwrap();
        for number in 0..100 {
            let bytes = &content[..4_096 - folder - number];
            temp.write(&format!("source/{folder}/{number}"), bytes);
        }
    }
    let source = temp.file("source");
    for way in WAYS {
        let target = temp.file("target");
        let args = [way.name(), "-r", "--json", &source, &target];
        let (ended, most) = watched(&sshd.agent(), &args);
        assert_eq!((ended.code, &*ended.err), (Some(0), ""), "{ended:?}");
        assert_eq!(summary(&ended)["files"], 10_000);
        assert!(most > 0 && most < RESIDENT, "{most} KiB for {way:?}");
        run(clean("diff").args(["-r", &source, &target])).is(0, "", "");
        no_parts(&target);
        fs::remove_dir_all(target).unwrap();
    }
}

#[test]
fn a_session_cut_in_the_middle_is_gone_on_with() {
    for way in WAYS {
        let (sshd, temp) = (Sshd::start(), Temp::new());
        let source = temp.write("source", pattern(300 << 20));
        let target = temp.file("target");
        let args = ["fs", way.name(), &source, &target];
        let mut job = Job::start(trunkline(args).env("TRUNKLINE_VIA", sshd.agent()));
        eventually("a good deal of it is there", || {
            assert!(!job.is_over(), "it ended before it was cut");
            let there = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());
            let all = fs::read_dir(temp.path()).unwrap().map(|entry| entry.unwrap().path());
            all.filter(|path| path.to_str().unwrap().ends_with(".part"))
                .any(|part| there(&part) > 40 << 20)
        });
        sshd.kill_sessions();
        let ended = job.end();
        assert_eq!(ended.code, Some(255), "{ended:?}");
        assert!(ended.line().contains("target") && ended.line().contains("resume"), "{ended:?}");
        assert!(ended.took < LONG && !fs::exists(&target).unwrap());
        let args = ["fs", way.name(), "--resume", "--verify", "--json", &source, &target];
        let ended = run(trunkline(args).env("TRUNKLINE_VIA", sshd.agent()));
        assert_eq!((ended.code, &*ended.err), (Some(0), ""), "{ended:?}");
        assert!(summary(&ended)["bytes"].as_u64().unwrap() < 300 << 20, "{ended:?}");
        run(clean("cmp").args([&source, &target])).is(0, "", "");
        no_parts(temp.text());
    }
}
