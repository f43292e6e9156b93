//! A peer that says what it was told to say, and when.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use trunkline_core::{CloseReason, Direction, Instant, Machine, Segment};

/// A peer that says what it was told to say, in order, and keeps what it hears.
///
/// It is a [`Machine`], so that a [`Pair`](super::Pair) takes it in the place of a real one.
#[derive(Clone, Debug, Default)]
pub struct Script {
    lines: VecDeque<Line>,
    out: VecDeque<Bytes>,
    heard: Vec<u8>,
    ended: bool,
    failed: bool,
    now: Instant,
    /// When the pause that runs is over.
    until: Option<Instant>,
    closed: Option<CloseReason>,
}

#[derive(Clone, Debug)]
enum Line {
    Send(Bytes),
    After(usize),
    AfterEnd,
    Pause(Duration),
    End,
}

impl Script {
    /// A peer that says nothing, hears everything and never leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Then these bytes.
    #[must_use]
    pub fn send(mut self, bytes: impl Into<Bytes>) -> Self {
        self.lines.push_back(Line::Send(bytes.into()));
        self
    }

    /// Then nothing until it has heard so many bytes, all told.
    #[must_use]
    pub fn after(mut self, heard: usize) -> Self {
        self.lines.push_back(Line::After(heard));
        self
    }

    /// Then nothing until the other direction has ended.
    #[must_use]
    pub fn after_end(mut self) -> Self {
        self.lines.push_back(Line::AfterEnd);
        self
    }

    /// Then nothing for so long.
    #[must_use]
    pub fn pause(mut self, time: Duration) -> Self {
        self.lines.push_back(Line::Pause(time));
        self
    }

    /// Then it leaves: its direction ends, and what comes is not looked at.
    #[must_use]
    pub fn end(mut self) -> Self {
        self.lines.push_back(Line::End);
        self
    }

    /// What it has heard.
    #[must_use]
    pub fn heard(&self) -> &[u8] {
        &self.heard
    }

    /// Whether it has seen the other direction end in order.
    #[must_use]
    pub const fn saw_end(&self) -> bool {
        self.ended
    }

    /// Whether its transport has failed it.
    #[must_use]
    pub const fn saw_failure(&self) -> bool {
        self.failed
    }

    /// Goes on as far as it can.
    fn play(&mut self) {
        while let Some(line) = self.lines.front() {
            match line {
                Line::Send(bytes) => self.out.push_back(bytes.clone()),
                Line::After(heard) if self.heard.len() >= *heard => {}
                Line::AfterEnd if self.ended || self.failed => {}
                Line::Pause(time) => {
                    let until = *self.until.get_or_insert(self.now + *time);
                    if until > self.now {
                        return;
                    }
                    self.until = None;
                }
                Line::End => self.closed = Some(CloseReason::Local),
                Line::After(_) | Line::AfterEnd => return,
            }
            self.lines.pop_front();
        }
    }
}

impl Machine for Script {
    type Input = Bytes;
    type Output = Segment;
    /// It has nothing to tell.
    type Event = ();

    fn handle_input(&mut self, now: Instant, input: Bytes) {
        self.now = now;
        self.heard.extend_from_slice(&input);
    }

    fn handle_eof(&mut self, now: Instant) {
        self.now = now;
        self.ended = true;
    }

    fn handle_failure(&mut self, now: Instant, direction: Direction, _os_error: Option<i32>) {
        self.now = now;
        self.failed = true;
        if direction == Direction::Write {
            self.out.clear();
            self.lines.clear();
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.play();
    }

    fn wants_input(&self) -> bool {
        self.closed.is_none() && !self.ended
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<Segment> {
        self.now = now;
        self.play();
        self.out.pop_front().map(Segment::whole)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.until
    }

    fn poll_event(&mut self) -> Option<()> {
        None
    }

    fn closed(&self) -> Option<&CloseReason> {
        self.closed.as_ref()
    }
}
