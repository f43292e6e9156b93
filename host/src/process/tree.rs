//! What a process has started, and what that has started.

use std::fs;

use crate::sys;

/// The most descendants that are looked for: a tree that grows as fast as it is walked must end.
const MOST: usize = 10_000;

/// A process, and when it was started: numbers come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pid: u32,
    started: u64,
}

impl Found {
    fn new(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        let state = fields.next()?;
        let started = fields.nth(18)?.parse().ok()?;
        (state != "Z" && state != "X").then_some(Self { pid, started })
    }

    /// Whether it still runs; one that has ended and was not reaped does not.
    pub(crate) fn runs(&self) -> bool {
        Self::new(self.pid) == Some(*self)
    }
}

/// A process of a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) process: Found,
    /// Its process group.
    pub(crate) group: u32,
}

/// What runs in the session that `leader` leads, as far as the system tells that (Linux).
pub(crate) fn session(leader: u32) -> Vec<Member> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let member = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_whitespace().skip(2);
        let (group, session) = (fields.next()?.parse().ok()?, fields.next()?.parse::<u32>().ok()?);
        (session == leader).then_some(Member { process: Found::new(pid)?, group })
    };
    numbers.filter_map(member).collect()
}

/// Sends a signal to each of these processes; one that has ended is passed over.
pub(crate) fn signal_all(processes: &[Found], signal: i32) {
    for process in processes.iter().filter(|process| process.runs()) {
        if let Ok(number) = i32::try_from(process.pid) {
            let _ = sys::kill_process(number, signal);
        }
    }
}

/// Everything below a process, from the top down, as far as the system tells what that is (Linux).
///
/// Meant for a shell that leads to an agent: ending the shell alone would leave what it runs. A
/// process that leaves the tree meanwhile is missed; nothing outside of it is named unless a number
/// is given away between the look and what is done with it.
pub(crate) fn descendants(pid: u32) -> Vec<Found> {
    let mut found = children(pid);
    let mut looked = 0;
    while let Some(next) = found.get(looked).copied().filter(|_| found.len() < MOST) {
        looked += 1;
        found.extend(children(next));
    }
    found.into_iter().filter_map(Found::new).collect()
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = threads.flatten().map(|thread| fs::read_to_string(thread.path().join("children")));
    let numbers = |list: String| {
        list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()
    };
    lists.flatten().flat_map(numbers).collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};

    #[test]
    fn all_that_a_shell_started_is_reached() {
        let script = "sleep 1000 & (sleep 1000 & echo; wait)";
        let mut shell =
            Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let below = descendants(shell.id());
        assert!(below.len() >= 3, "{below:?}");
        let _ = shell.kill();
        signal_all(&below, 9);
        shell.wait().unwrap();
        assert!(descendants(shell.id()).is_empty());
    }
}
