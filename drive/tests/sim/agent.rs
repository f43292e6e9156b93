//! The real agent's machine with a host of its own: an echo.

use std::io::IoSlice;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use trunkline_core::agentproto::{Agent, AgentEvent, Config, LostInput, PathEntry, Read, Write};
use trunkline_core::{Direction, Machine as _};
use trunkline_drive::{Clock, Io as _};

use super::wire::End;
use super::{chance, clock, few, wake};

/// Bytes that have a place of their own, so that any that is lost, doubled or moved shows.
pub fn pattern(from: usize, count: usize) -> Bytes {
    let byte = |place: usize| (place.wrapping_mul(0x9e37_79b1) >> 13).to_le_bytes()[0];
    (from..from + count).map(byte).collect()
}

/// One stream of the command: what comes in goes out.
struct Echo {
    from: u32,
    to: u32,
    held: Bytes,
    over: bool,
}

/// An agent whose command echoes stdin to stdout and descriptor 3 to itself, says something on
/// stderr, and ends with a code once all of that is done.
pub struct Host {
    machine: Agent,
    end: End,
    clock: Clock,
    running: bool,
    exited: bool,
    echoes: [Echo; 2],
    /// Bytes of stderr that are written, of how many.
    errors: (usize, usize),
    code: i64,
    out: Vec<u8>,
}

impl Host {
    pub fn new(end: End, errors: usize, code: i64) -> Self {
        let mut config = Config::default();
        config.lost_input = LostInput::EndStreams;
        config.limits.stream_queue = 200 + few(4_000);
        config.data_chunk = 10 + few(3_000);
        let echo = |from, to| Echo { from, to, held: Bytes::new(), over: false };
        Self {
            machine: Agent::new(config),
            end,
            clock: clock(),
            running: false,
            exited: false,
            echoes: [echo(0, 1), echo(3, 3)],
            errors: (0, errors),
            code,
            out: Vec::new(),
        }
    }

    pub async fn serve(mut self) {
        std::future::poll_fn(move |cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut moved = self.events();
            if chance(20) {
                // The command takes its time.
                wake(Some(cx.waker().clone()));
            } else {
                moved |= self.command();
            }
            moved |= self.write(cx);
            if self.machine.closed().is_some() && !moved && self.out.is_empty() {
                return self.end.poll_close(cx).map(|_| ());
            }
            if self.machine.wants_input() {
                moved |= self.read(cx);
            }
            if !moved {
                return Poll::Pending;
            }
        }
    }

    fn events(&mut self) -> bool {
        let mut moved = false;
        while let Some(event) = self.machine.poll_event() {
            moved = true;
            match event {
                AgentEvent::Exec(..) => {
                    self.machine.started(7);
                    self.running = true;
                }
                AgentEvent::PathQuery(_) => self.machine.paths(entries()),
                _ => {}
            }
        }
        moved
    }

    fn command(&mut self) -> bool {
        if !self.running || self.exited {
            return false;
        }
        let mut moved = false;
        for echo in self.echoes.iter_mut().filter(|echo| !echo.over) {
            if echo.held.is_empty() {
                match self.machine.read(echo.from, few(2_000)) {
                    Read::Data(bytes) => echo.held = bytes,
                    Read::Empty => continue,
                    _ => {
                        self.machine.finish(echo.to);
                        echo.over = true;
                    }
                }
                moved = true;
            }
            match self.machine.write(echo.to, &echo.held) {
                Write::Accepted(count) => {
                    echo.held.advance(count);
                    moved |= count > 0;
                }
                Write::Blocked => {}
                // Nobody will read it.
                _ => {
                    moved |= !echo.held.is_empty();
                    echo.held.clear();
                }
            }
        }
        let (said, errors) = self.errors;
        if said < errors {
            match self.machine.write(2, &pattern(said, (errors - said).min(700))) {
                Write::Accepted(count) => self.errors.0 += count,
                Write::Blocked => return moved,
                _ => self.errors.0 = errors,
            }
            return true;
        }
        self.machine.finish(2);
        if self.echoes.iter().all(|echo| echo.over) {
            self.exited = true;
            self.machine.exited(self.code);
            return true;
        }
        moved
    }

    fn write(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.clock.now();
        while self.out.len() < 5_000
            && let Some(segment) = self.machine.poll_transmit(now)
        {
            segment.slices().iter().for_each(|part| self.out.extend_from_slice(part));
        }
        if self.out.is_empty() {
            return false;
        }
        match self.end.poll_write(cx, &[IoSlice::new(&self.out)]) {
            Poll::Pending => return false,
            Poll::Ready(Ok(count)) => drop(self.out.drain(..count)),
            Poll::Ready(Err(_)) => {
                self.out.clear();
                self.machine.handle_failure(now, Direction::Write, None);
            }
        }
        true
    }

    fn read(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.clock.now();
        let mut buf = Vec::with_capacity(few(4_000));
        match self.end.poll_read(cx, &mut buf) {
            Poll::Pending => return false,
            Poll::Ready(Ok(0)) => self.machine.handle_eof(now),
            Poll::Ready(Ok(_)) => self.machine.handle_input(now, buf.into()),
            Poll::Ready(Err(_)) => self.machine.handle_failure(now, Direction::Read, None),
        }
        true
    }
}

/// What the agent finds in its PATH.
pub fn entries() -> Vec<PathEntry> {
    let entry = |number: u32| PathEntry {
        name: format!("program{number}"),
        path: format!("/bin/program{number}"),
        ..PathEntry::default()
    };
    (0..300).map(entry).collect()
}
