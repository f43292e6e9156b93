//! How far a transfer is: one line on a terminal, drawn a few times a second.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use trunkline_core::agentproto::escape;
use trunkline_tokio::{TransferEvent, TransferProgress};

use super::sizes::human;
use crate::report::say;

/// How often the line is drawn.
const EVERY: Duration = Duration::from_millis(200);

/// What the rate is measured over.
const RATE_OVER: Duration = Duration::from_secs(4);

/// Shows what a transfer tells.
pub(crate) struct Progress {
    command: &'static str,
    shown: bool,
    drawn: Option<Instant>,
    /// The line is on the screen, without an end.
    there: bool,
    rate: Rate,
    /// What the sources before this one had.
    before: TransferProgress,
    now: TransferProgress,
}

/// Bytes a second, over the last few seconds.
#[derive(Default)]
struct Rate {
    /// When, and how many bytes were done then: the last few draws.
    marks: std::collections::VecDeque<(Instant, u64)>,
}

impl Rate {
    fn mark(&mut self, now: Instant, bytes: u64) -> f64 {
        while self.marks.len() > 1
            && self.marks.get(1).is_some_and(|(at, _)| now.duration_since(*at) > RATE_OVER)
        {
            self.marks.pop_front();
        }
        self.marks.push_back((now, bytes));
        let Some((at, from)) = self.marks.front() else { return 0.0 };
        let time = now.duration_since(*at).as_secs_f64();
        if time < 0.05 { 0.0 } else { bytes.saturating_sub(*from) as f64 / time }
    }
}

impl Progress {
    /// On a terminal unless it is to be quiet, and anywhere if it is asked for.
    pub(crate) fn new(command: &'static str, quiet: bool, wanted: bool) -> Self {
        let shown = wanted || !quiet && io::stderr().is_terminal();
        let (before, now) = Default::default();
        let rate = Rate::default();
        Self { command, shown, drawn: None, there: false, rate, before, now }
    }

    /// Takes in what a transfer tells.
    pub(crate) fn take(&mut self, event: &TransferEvent<'_>) {
        match event {
            TransferEvent::Progress(progress) => {
                self.now = *progress;
                // A look at the clock for each piece of a file, and nothing more.
                if self.shown && self.drawn.is_none_or(|drawn| drawn.elapsed() >= EVERY) {
                    self.draw();
                }
            }
            TransferEvent::Failed(error) => self.say(error),
            TransferEvent::Skipped { path, what } => {
                self.say(format_args!("{}: skipped: {what}", escape(path)));
            }
            _ => {}
        }
    }

    /// The next source begins.
    pub(crate) fn next(&mut self) {
        self.before.bytes += std::mem::take(&mut self.now.bytes);
        self.before.files += std::mem::take(&mut self.now.files);
        self.now = TransferProgress::default();
    }

    /// Prints a line in the place of the one that is drawn.
    pub(crate) fn say(&mut self, line: impl std::fmt::Display) {
        self.clear();
        say(format_args!("fs {}: {line}", self.command));
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.there) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    fn draw(&mut self) {
        let now = Instant::now();
        self.drawn = Some(now);
        let rate = self.rate.mark(now, self.before.bytes + self.now.bytes);
        let line = line(self.before, self.now, rate);
        // That it cannot be shown is nobody's business.
        let _ = write!(io::stderr(), "\r{line}\x1b[K");
        self.there = true;
    }

    /// Leaves the last state of the line on the screen.
    pub(crate) fn finish(&mut self) {
        if self.shown && self.drawn.is_some() {
            self.draw();
            let _ = writeln!(io::stderr());
            self.there = false;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn line(before: TransferProgress, now: TransferProgress, rate: f64) -> String {
    let size = |bytes: f64| human(bytes as u64);
    let mut line = format!("{:>5}", human(before.bytes + now.bytes));
    if now.complete && now.total_bytes > 0 {
        line.push_str(&format!(
            " {:>3}%",
            (now.bytes.min(now.total_bytes) * 100) / now.total_bytes
        ));
    }
    line.push_str(&format!("  {:>5}/s", size(rate)));
    let left = now.total_bytes.saturating_sub(now.bytes);
    if now.complete && rate > 0.0 && left > 0 {
        let seconds = (left as f64 / rate) as u64;
        let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        match hours {
            0 => line.push_str(&format!("  {minutes}:{seconds:02} left")),
            _ => line.push_str(&format!("  {hours}:{minutes:02}:{seconds:02} left")),
        }
    }
    if before.files + now.total_files > 1 {
        let more = if now.complete { "" } else { "+" };
        let (files, all) = (before.files + now.files, before.files + now.total_files);
        line.push_str(&format!("  {files}/{all}{more} files"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_rate_and_time_left_once_all_is_known() {
        let mut now = TransferProgress::default();
        (now.bytes, now.total_bytes, now.files, now.total_files) = (25 << 20, 100 << 20, 0, 1);
        now.complete = true;
        let none = TransferProgress::default();
        assert_eq!(line(none, now, 1024.0 * 1024.0), "  25M  25%   1.0M/s  1:15 left");
        (now.files, now.total_files, now.complete) = (3, 10, false);
        assert_eq!(line(none, now, 0.0), "  25M      0/s  3/10+ files");
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        let at = |n| start + Duration::from_millis(n);
        assert_eq!(rate.mark(at(0), 0), 0.0);
        assert_eq!(rate.mark(at(1_000), 1_000), 1_000.0);
        for n in 2..60 {
            rate.mark(at(n * 1_000), 1_000);
        }
        assert_eq!(rate.mark(at(60_000), 1_000), 0.0);
    }
}
