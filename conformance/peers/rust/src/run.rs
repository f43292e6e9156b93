//! One scenario under way: its counters, its phase, and how it is told.

use std::fmt;
use std::io;
use std::process;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Options;

/// What went another way than the scenario says.
#[derive(Debug)]
pub enum Trouble {
    /// A stream ended in order before everything had come.
    End {
        /// How many bytes had come.
        at: u64,
        /// Of how many.
        of: u64,
    },
    /// Other bytes came than were sent.
    Wrong {
        /// The first byte of the read that brought them.
        at: u64,
        /// How many bytes it brought.
        len: usize,
    },
    /// A stream or the connection failed.
    Io {
        /// What was being done.
        what: &'static str,
        /// At which byte of the stream.
        at: u64,
        /// How.
        error: io::Error,
    },
    /// The implementation has no such thing.
    Impossible(&'static str),
    /// Anything else.
    Other(String),
}

impl Trouble {
    /// For `map_err`.
    pub fn io(what: &'static str, at: u64) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io { what, at, error }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End { at, of } => write!(f, "the stream ended at {at} of {of}"),
            Self::Wrong { at, len } => write!(f, "wrong bytes in {at} to {}", at + *len as u64),
            Self::Io { what, at, error } => {
                write!(f, "{what} at {at}: {error} ({:?})", error.kind())
            }
            Self::Impossible(what) => write!(f, "it has no {what}"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// One scenario under way.
pub struct Run {
    /// The command line.
    pub options: Options,
    began: Instant,
    streams: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    phase: &'static str,
    detail: String,
}

impl Run {
    /// Begins, and sees to it that the process ends in time.
    #[must_use]
    pub fn start(options: Options) -> &'static Self {
        let timeout = Duration::from_secs(options.timeout);
        let run: &'static Self = Box::leak(Box::new(Self {
            options,
            began: Instant::now(),
            streams: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            told: Mutex::default(),
        }));
        run.at("connecting");
        thread::spawn(move || {
            thread::sleep(timeout);
            let phase = run.phase();
            run.tell("timeout", phase, 3);
        });
        run
    }

    /// Says which phase begins.
    pub fn at(&self, phase: &'static str) {
        self.told.lock().expect("no panic under it").phase = phase;
    }

    fn phase(&self) -> &'static str {
        self.told.lock().expect("no panic under it").phase
    }

    /// Notes something for people.
    pub fn note(&self, detail: String) {
        self.told.lock().expect("no panic under it").detail = detail;
    }

    pub(crate) fn count_stream(&self) {
        self.streams.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Says that a server listens.
    pub fn listening(&self, address: impl fmt::Display) {
        println!("{}", json!({ "listening": address.to_string() }));
    }

    /// Prints the last line and ends the process.
    pub fn end(&self, outcome: Result<&'static str, Trouble>) -> ! {
        match outcome {
            Ok(outcome) => self.tell(outcome, "", 0),
            Err(trouble @ Trouble::Impossible(_)) => {
                self.tell("impossible", &trouble.to_string(), 4)
            }
            Err(trouble) => {
                let detail = format!("{}: {trouble}", self.phase());
                self.tell("failed", &detail, 1)
            }
        }
    }

    fn tell(&self, outcome: &str, detail: &str, code: i32) -> ! {
        let told = self.told.lock().expect("no panic under it");
        let detail = if detail.is_empty() { &told.detail } else { detail };
        let line = json!({
            "scenario": self.options.scenario.name(),
            "role": self.options.role.name(),
            "outcome": outcome,
            "streams": self.streams.load(Ordering::Relaxed),
            "sent": self.sent.load(Ordering::Relaxed),
            "received": self.received.load(Ordering::Relaxed),
            "millis": self.began.elapsed().as_millis() as u64,
            "detail": detail,
        });
        println!("{line}");
        // The lock is kept to the end, so that nobody else tells anything.
        process::exit(code)
    }
}
