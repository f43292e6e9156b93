//! A terminal on an agent's machine, from the end that opens it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use trunkline_core::ExitStatus;
use trunkline_core::tunnel::terminal::{
    Boundaries, Joiner, MAX_MESSAGE, Message, OwnExit, OwnFrame, OwnFrames, Splitter, Towards,
};

use super::splice::Raw;
use super::typed::{Shared, bad_data, write_all};

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
        let writer = TerminalWriter { stream: Arc::clone(&stream), own };
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

/// What goes to a terminal.
#[derive(Clone, Debug)]
pub struct TerminalWriter {
    stream: Shared,
    own: bool,
}

impl TerminalWriter {
    /// Sends input. Not cancel safe: what was not sent is gone with the future.
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
                write_all(&self.stream, frame.freeze()).await?;
            }
            return Ok(());
        }
        while let Some(message) = Splitter::new().data(&mut input) {
            let mut rest = message;
            debug_assert!(rest.len() <= MAX_MESSAGE);
            while !rest.is_empty() {
                poll_fn(|cx| self.stream.poll_put(cx, &mut rest)).await?;
                if !rest.is_empty() {
                    // The window cut the message: what is left of it needs a kind of its own.
                    rest = Splitter::new().data(&mut rest).unwrap_or_default();
                }
            }
        }
        Ok(())
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
        write_all(&self.stream, message).await
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
