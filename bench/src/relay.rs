//! A link between two pipes: so many bytes a second each way, so late at the other end.
//!
//! `trunkline-bench relay DELAY_MS BYTES_PER_SECOND COMMAND..` starts a command and stands between
//! it and whoever started this: for `--via`, for `sftp -D`, for `rsync -e`.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::Failure;

/// What one read takes at most.
const CHUNK: usize = 256 << 10;

/// How far a sender may be ahead of the link before it is made to wait: its socket's buffer.
const AHEAD: Duration = Duration::from_millis(20);

/// What the link holds while its receiver takes nothing.
const HELD: usize = 64 << 20;

/// The properties of a link, the same both ways.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    /// From one end to the other.
    pub(crate) delay: Duration,
    pub(crate) bytes_per_second: u64,
}

impl Link {
    /// How a shell starts this program as such a link, in front of a command.
    pub(crate) fn command(self) -> Result<String, Failure> {
        let own = std::env::current_exe()
            .map_err(|error| Failure::new(format!("this program is nowhere: {error}")))?;
        let (own, delay) = (own.display(), self.delay.as_millis());
        Ok(format!("'{own}' relay {delay} {}", self.bytes_per_second))
    }
}

/// Starts the command, carries bytes both ways, and ends as it does.
pub(crate) fn run(link: Link, command: &[&str]) -> Result<(), Failure> {
    let [program, args @ ..] = command else { return Err(Failure::new("relay to nothing")) };
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| Failure::new(format!("{program} did not start: {error}")))?;
    let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(Failure::new("a child without pipes"));
    };
    thread::spawn(move || carry(link, std::io::stdin(), to));
    carry(link, from, std::io::stdout());
    let status = child.wait().map_err(|error| Failure::new(error.to_string()))?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("{program}: {status}"))) }
}

/// Bytes under way, each chunk with the moment of its arrival; `None` ends them.
#[derive(Debug, Default)]
struct Line {
    chunks: VecDeque<(Instant, Option<Vec<u8>>)>,
    bytes: usize,
}

/// Carries one direction to its end.
fn carry(link: Link, mut from: impl Read + Send + 'static, mut to: impl Write) {
    let line = Arc::new((Mutex::new(Line::default()), Condvar::new()));
    let sending = Arc::clone(&line);
    thread::spawn(move || {
        let mut free = Instant::now();
        loop {
            let mut chunk = vec![0; CHUNK];
            let count = from.read(&mut chunk).unwrap_or_default();
            chunk.truncate(count);
            // One chunk after the other occupies the link for as long as its bytes take.
            let takes = count as u128 * 1_000_000_000 / u128::from(link.bytes_per_second);
            free = free.max(Instant::now()) + Duration::from_nanos(takes as u64);
            let (lock, changed) = &*sending;
            let full = |line: &mut Line| line.bytes > HELD;
            let mut line = changed.wait_while(lock.lock().expect("a lock"), full).expect("a lock");
            line.bytes += count;
            line.chunks.push_back((free + link.delay, (count > 0).then_some(chunk)));
            drop(line);
            changed.notify_all();
            if count == 0 {
                return;
            }
            thread::sleep((free - AHEAD).saturating_duration_since(Instant::now()));
        }
    });
    let (lock, changed) = &*line;
    loop {
        let empty = |line: &mut Line| line.chunks.is_empty();
        let mut held = changed.wait_while(lock.lock().expect("a lock"), empty).expect("a lock");
        let Some((due, chunk)) = held.chunks.pop_front() else { continue };
        held.bytes -= chunk.as_ref().map_or(0, Vec::len);
        drop(held);
        changed.notify_all();
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let Some(chunk) = chunk else { return };
        if to.write_all(&chunk).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Taken(Arc<Mutex<Vec<u8>>>);

    impl Write for Taken {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("a lock").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn everything_arrives_whole_late_and_no_faster_than_the_link() {
        let link = Link { delay: Duration::from_millis(50), bytes_per_second: 10_000_000 };
        let sent: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
        let (taken, begun) = (Taken::default(), Instant::now());
        carry(link, std::io::Cursor::new(sent.clone()), taken.clone());
        assert!(begun.elapsed() >= Duration::from_millis(150));
        assert!(*taken.0.lock().unwrap() == sent);
    }
}
