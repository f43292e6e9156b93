//! Processes found by an argument that nobody else has.

use std::fs;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::job::{SOON, within};

/// A number that stands in the command line of every process a test wants to find again.
///
/// As seconds for `sleep` it is longer than any test. What still has it when the value goes is killed.
pub(crate) struct Marker(String);

impl Marker {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(format!("77{:07}{count:04}", process::id()))
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Every process with the marker in its command line; zombies have none.
    pub(crate) fn all(&self) -> Vec<Pid> {
        let entries = fs::read_dir("/proc").expect("/proc").flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let marked = pids.filter(|pid| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
                line.windows(self.0.len()).any(|window| window == self.0.as_bytes())
            })
        });
        marked.filter_map(Pid::from_raw).collect()
    }

    /// Command lines of what is left.
    fn left(&self) -> Vec<String> {
        let line = |pid: &Pid| {
            let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero()));
            String::from_utf8_lossy(&line.unwrap_or_default()).replace('\0', " ")
        };
        self.all().iter().map(line).collect()
    }

    /// Waits until a `sleep` with the marker runs, wherever else the marker stands.
    #[track_caller]
    pub(crate) fn sleeps(&self) {
        let sleeps = || self.left().iter().any(|line| line.starts_with("sleep "));
        assert!(within(SOON, sleeps), "only this runs: {:?}", self.left());
    }

    /// Asserts that nothing with the marker runs, or will run in a moment.
    #[track_caller]
    pub(crate) fn gone(&self) {
        assert!(within(SOON, || self.all().is_empty()), "left running: {:?}", self.left());
    }
}

impl Drop for Marker {
    fn drop(&mut self) {
        for pid in self.all() {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
}

/// The state letter of a process and the processor time it has used; `None` when there is none.
pub(crate) fn stat(pid: Pid) -> Option<(char, Duration)> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let fields: Vec<_> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    // The clock tick of this file is 100 a second on every Linux.
    let used = Duration::from_millis((ticks(11)? + ticks(12)?) * 10);
    Some((fields.first()?.chars().next()?, used))
}
