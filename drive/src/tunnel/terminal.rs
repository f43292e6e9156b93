//! A terminal on an agent's machine, from the end that opens it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use bytes::{Bytes, BytesMut};
use trunkline_core::ExitStatus;
use trunkline_core::tunnel::terminal::{
    Boundaries, Joiner, MAX_MESSAGE, Message, OwnExit, OwnFrame, OwnFrames, Splitter, Towards,
};

use super::splice::Raw;
use super::typed::{Shared, bad_data};

/// Most bytes of one frame of ours: small enough that a resize never waits long.
const MOST: usize = 16 << 10;

/// What a terminal brings.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TerminalEvent {
    /// Bytes to show.
    Output(Bytes),
    /// The end; the last event. `Ended` where the wire does not tell how: an original's agent.
    End(ExitStatus),
}

/// A terminal: what is written goes to the command's input, what it shows comes back.
///
/// Dropping it hangs the terminal up.
#[derive(Debug)]
pub struct Terminal {
    reader: TerminalReader,
    writer: TerminalWriter,
}

impl Terminal {
    pub(super) fn own(raw: Raw) -> Self {
        Self::new(raw, Rules::Own(OwnFrames::new()), true)
    }

    pub(super) fn original(raw: Raw) -> Self {
        let joiner = Joiner::new(Towards::Opener, Boundaries::Frames);
        Self::new(raw, Rules::Original(joiner), false)
    }

    fn new(raw: Raw, rules: Rules, own: bool) -> Self {
        let (stream, first) = raw.into_parts();
        let line = Arc::default();
        let writer = TerminalWriter { stream: Arc::clone(&stream), own, line };
        Self { reader: TerminalReader { stream, rules, first: first.into(), over: false }, writer }
    }

    pub(super) async fn resize(&self, cols: u16, rows: u16) -> io::Result<()> {
        self.writer.resize(cols, rows).await
    }

    /// The two directions, for two tasks. The terminal is hung up with the last of them.
    #[must_use]
    pub fn split(self) -> (TerminalReader, TerminalWriter) {
        (self.reader, self.writer)
    }
}

#[derive(Debug)]
enum Rules {
    Own(OwnFrames),
    Original(Joiner),
}

/// What comes from a terminal.
#[derive(Debug)]
pub struct TerminalReader {
    stream: Shared,
    rules: Rules,
    first: VecDeque<Bytes>,
    over: bool,
}

impl TerminalReader {
    /// The next thing that the terminal brings; `None` behind its end. Cancel safe.
    ///
    /// # Errors
    ///
    /// When the link was lost or the stream broken off: never an end.
    pub async fn next(&mut self) -> io::Result<Option<TerminalEvent>> {
        while !self.over {
            if let Some(event) = self.step()? {
                return Ok(Some(event));
            }
            match poll_fn(|cx| self.stream.poll_frame(cx)).await? {
                Some((bytes, ends)) => {
                    if let Rules::Original(joiner) = &mut self.rules {
                        if let Some(Message::Data(output)) = joiner.feed(bytes, ends) {
                            self.first.push_back(output);
                        }
                    } else {
                        self.first.push_back(bytes);
                    }
                }
                None => {
                    self.over = true;
                    return self.ended().map(|end| Some(TerminalEvent::End(end)));
                }
            }
        }
        Ok(None)
    }

    fn step(&mut self) -> io::Result<Option<TerminalEvent>> {
        match &mut self.rules {
            Rules::Original(_) => Ok(self.first.pop_front().map(TerminalEvent::Output)),
            Rules::Own(frames) => {
                while let Some(bytes) = self.first.front_mut() {
                    let frame = frames.feed(bytes).map_err(bad_data)?;
                    if bytes.is_empty() {
                        self.first.pop_front();
                    }
                    match frame {
                        Some(OwnFrame::Data(output)) => {
                            return Ok(Some(TerminalEvent::Output(output)));
                        }
                        Some(OwnFrame::Exit(exit)) => {
                            self.over = true;
                            return Ok(Some(TerminalEvent::End(status(exit))));
                        }
                        _ => {}
                    }
                }
                Ok(None)
            }
        }
    }

    /// What an orderly end of the stream means.
    fn ended(&self) -> io::Result<ExitStatus> {
        match &self.rules {
            Rules::Original(_) => Ok(ExitStatus::Ended),
            Rules::Own(_) => {
                let text = "the terminal ended without saying how";
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, text))
            }
        }
    }
}

/// What an agent of ours said about the end. A command that could not be started is 127, with the
/// reason.
fn status(exit: OwnExit) -> ExitStatus {
    let exited = |code: i32, text| ExitStatus::Exited { code: code.into(), text, clean: true };
    match exit {
        OwnExit::Code(code) => exited(code, String::new()),
        OwnExit::Signal(signal) => ExitStatus::Signaled(signal),
        OwnExit::Error(text) => exited(127, text),
        _ => ExitStatus::Ended,
    }
}

/// What goes to a terminal. Its clones may be used by several tasks: what one call writes is never
/// torn apart by another's.
#[derive(Clone, Debug)]
pub struct TerminalWriter {
    stream: Shared,
    own: bool,
    line: Arc<Mutex<Line>>,
}

/// The message that is under way, and who waits for it.
#[derive(Debug, Default)]
struct Line {
    message: Bytes,
    /// It is input for an original: where the window cuts it, the rest needs a kind of its own.
    cut: bool,
    waiting: Vec<Waker>,
}

/// Whoever goes away, done or not, has the others look again: a stream wakes only one writer.
struct Turn<'a>(&'a Mutex<Line>);

impl Turn<'_> {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let waiting = std::mem::take(&mut self.line().waiting);
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl TerminalWriter {
    /// Sends input. When the future is dropped, the frame that was under way still goes out with the
    /// next call, and what was behind it is gone.
    ///
    /// # Errors
    ///
    /// When the terminal is over.
    pub async fn write(&self, mut input: Bytes) -> io::Result<()> {
        if self.own {
            while !input.is_empty() {
                let part = input.split_to(input.len().min(MOST));
                let mut frame = BytesMut::with_capacity(part.len() + 3);
                frame.extend_from_slice(&OwnFrame::data_head(part.len() as u16));
                frame.extend_from_slice(&part);
                self.put(frame.freeze(), false).await?;
            }
            return Ok(());
        }
        while let Some(message) = Splitter::new().data(&mut input) {
            debug_assert!(message.len() <= MAX_MESSAGE);
            self.put(message, true).await?;
        }
        Ok(())
    }

    /// Sends one message, behind the one that is under way.
    async fn put(&self, message: Bytes, cut: bool) -> io::Result<()> {
        let turn = Turn(&self.line);
        let mut message = Some(message);
        poll_fn(|cx| {
            let mut line = turn.line();
            loop {
                while !line.message.is_empty() {
                    let Poll::Ready(put) = self.stream.poll_put(cx, &mut line.message) else {
                        if !line.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                            line.waiting.push(cx.waker().clone());
                        }
                        return Poll::Pending;
                    };
                    put?;
                    if line.cut && !line.message.is_empty() {
                        let mut rest = std::mem::take(&mut line.message);
                        line.message = Splitter::new().data(&mut rest).unwrap_or_default();
                    }
                }
                match message.take() {
                    Some(message) => (line.message, line.cut) = (message, cut),
                    None => return Poll::Ready(Ok(())),
                }
            }
        })
        .await
    }

    /// Tells the size of the window, in columns and rows.
    ///
    /// # Errors
    ///
    /// When the terminal is over.
    pub async fn resize(&self, cols: u16, rows: u16) -> io::Result<()> {
        let message = match self.own {
            true => OwnFrame::Resize { cols, rows }.encode(),
            false => Splitter::new().resize(cols, rows),
        };
        self.put(message, false).await
    }

    /// Ends the input: what was written is read, and then the end.
    pub fn finish(&self) {
        self.stream.finish();
    }

    /// Hangs the terminal up.
    pub fn reset(&self) {
        self.stream.reset();
    }
}
