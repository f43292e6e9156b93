//! Terminals that an agent serves: a shell on a terminal of this machine.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use trunkline_core::tunnel::terminal::{
    Boundaries, Joiner, Message, OwnExit, OwnFrame, OwnFrames, Splitter, Towards,
};
use trunkline_core::tunnel::{Header, OwnTerminal, StreamType};
use trunkline_host::process::Exit;
use trunkline_host::pty::{Options, Pty, Size};

use super::time::within;
use super::typed::{Shared, bad_data, read, write_all};
use crate::mux::MuxError;
use crate::told::Told;
use crate::{FdIo, Io as _, Runtime};

/// Bytes read from the terminal at once.
const ROOM: usize = 8 << 10;

/// How long a job in the background that still has the terminal open may keep silent behind the
/// command's end before that is told.
const QUIET: Duration = Duration::from_millis(200);

/// How long all of that is waited for together.
const QUIET_IN_ALL: Duration = Duration::from_secs(2);

/// Bytes that are still read behind the command's end: more than a terminal holds, so that nothing
/// of the command's own is lost.
const BEHIND: usize = 1 << 20;

/// What ends the input of a program that reads a terminal by lines.
const END_OF_INPUT: u8 = 4;

/// What an agent's terminals run.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Shell {
    /// The command and its arguments instead of the login shell; what a caller asks for does not
    /// count then.
    pub command: Option<Vec<String>>,
    /// Where it starts; empty: where this process is.
    pub cwd: String,
}

impl Shell {
    /// The login shell, or whatever command a caller asks for.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn options(&self, wanted: OwnTerminal) -> Options {
        let mut options = Options::default();
        options.command = self.command.clone().or(wanted.command);
        options.term = wanted.term;
        if (wanted.cols, wanted.rows) != (0, 0) {
            options.size = Size::new(wanted.cols, wanted.rows);
        }
        options.cwd = self.cwd.clone();
        options
    }
}

/// Serves one terminal to its end. A stream that breaks hangs the terminal up.
pub(super) async fn serve<R: Runtime>(
    stream: Shared,
    header: &Header,
    rest: Bytes,
    shell: Option<&Shell>,
) {
    let own = header.kind == StreamType::OWN_TERMINAL;
    let wanted = match own {
        true => OwnTerminal::from_json(&header.metadata),
        false => Ok(OwnTerminal::default()),
    };
    let started = match (shell, wanted) {
        (None, _) => Err("this agent serves no terminals".to_owned()),
        (_, Err(error)) => Err(format!("what the terminal shall be is not to be read: {error}")),
        (Some(shell), Ok(wanted)) => Served::<R>::start(&stream, shell.options(wanted), own),
    };
    let exit = match started {
        Ok(served) => match served.run(rest).await {
            Ok(exit) => exit,
            Err(error) => {
                tracing::debug!(%error, "a terminal was hung up");
                return stream.reset();
            }
        },
        Err(text) => {
            tracing::warn!("no terminal: {text}");
            OwnExit::Error(text)
        }
    };
    if own && write_all(&stream, OwnFrame::Exit(exit).encode()).await.is_err() {
        return;
    }
    stream.finish();
    // What the caller still typed is dropped, so that the end is not lost in a reset.
    let dropped = async { while let Ok(Some(_)) = read(&stream).await {} };
    let _ = within::<R, _>(Duration::from_secs(5), dropped).await;
}

struct Served<R: Runtime> {
    stream: Shared,
    pty: Pty,
    output: FdIo<R::Ready>,
    input: FdIo<R::Ready>,
    exit: Told<Exit>,
    own: bool,
}

impl<R: Runtime> Served<R> {
    fn start(stream: &Shared, options: Options, own: bool) -> Result<Self, String> {
        let mut pty = Pty::spawn(options).map_err(|error| error.text)?;
        let exit = Told::new();
        let told = exit.clone();
        let prepared = pty
            .on_exit(move |exit| told.tell(exit))
            .and_then(|()| Ok((FdIo::terminal(pty.master()?)?, FdIo::terminal(pty.master()?)?)));
        let (output, input) = prepared.map_err(|error| error.to_string())?;
        Ok(Self { stream: stream.clone(), pty, output, input, exit, own })
    }

    /// Moves bytes until the command is over and all that it printed has been sent.
    async fn run(self, rest: Bytes) -> io::Result<OwnExit> {
        let Self { stream, pty, mut output, mut input, exit, own } = self;
        let mut shown = pin!(show::<R>(&stream, &mut output, &exit, own));
        let mut typed = pin!(feed::<R>(&stream, rest, &mut input, &pty, own));
        // Who opened the terminal may go when nobody reads or writes here: its input may be over.
        let mut gone = pin!(stream.closed());
        let mut input_over = false;
        poll_fn(|cx| {
            if let Poll::Ready(ended) = shown.as_mut().poll(cx) {
                return Poll::Ready(ended);
            }
            if !input_over && let Poll::Ready(ended) = typed.as_mut().poll(cx) {
                ended?;
                input_over = true;
            }
            gone.as_mut().poll(cx).map(|end| Err(MuxError::Stream(end).into()))
        })
        .await
    }
}

/// Sends what the terminal shows, to the end of the command.
async fn show<R: Runtime>(
    stream: &Shared,
    output: &mut FdIo<R::Ready>,
    exit: &Told<Exit>,
    own: bool,
) -> io::Result<OwnExit> {
    let mut buffer = Vec::with_capacity(ROOM);
    let mut ended = None;
    let (mut patience, mut behind) = (QUIET_IN_ALL, BEHIND);
    loop {
        buffer.clear();
        let read = poll_fn(|cx| output.poll_read(cx, &mut buffer));
        let count = match ended {
            // A job in the background may have the terminal open for ever, and print for ever.
            // Only the waiting counts, not how slowly the caller takes what was printed.
            Some(_) => {
                let began = std::time::Instant::now();
                let count = within::<R, _>(QUIET.min(patience), read).await.unwrap_or(Ok(0))?;
                patience = patience.saturating_sub(began.elapsed());
                count
            }
            None => match either(read, poll_fn(|cx| exit.poll(cx))).await {
                Ok(count) => count?,
                Err(exit) => {
                    ended = Some(exit);
                    continue;
                }
            },
        };
        if count == 0 {
            break;
        }
        send(stream, &buffer, own).await?;
        if ended.is_some() {
            behind = behind.saturating_sub(count);
            if behind == 0 || patience.is_zero() {
                break;
            }
        }
    }
    let ended = match ended {
        Some(ended) => ended,
        None => poll_fn(|cx| exit.poll(cx)).await,
    };
    Ok(match ended.signal {
        Some(signal) => OwnExit::Signal(signal),
        None if ended.code < 0 => OwnExit::Error("how the command ended is not known".to_owned()),
        None => OwnExit::Code(ended.code),
    })
}

/// What the first gives, or, where that is not ready, what the second gives.
async fn either<A, B>(
    first: impl Future<Output = A>,
    second: impl Future<Output = B>,
) -> Result<A, B> {
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(|cx| match first.as_mut().poll(cx) {
        Poll::Ready(first) => Poll::Ready(Ok(first)),
        Poll::Pending => second.as_mut().poll(cx).map(Err),
    })
    .await
}

async fn send(stream: &Shared, output: &[u8], own: bool) -> io::Result<()> {
    if own {
        let mut frame = BytesMut::with_capacity(output.len() + 3);
        frame.extend_from_slice(&OwnFrame::data_head(output.len() as u16));
        frame.extend_from_slice(output);
        return write_all(stream, frame.freeze()).await;
    }
    let mut output = Bytes::copy_from_slice(output);
    while let Some(mut message) = Splitter::new().data(&mut output) {
        while !message.is_empty() {
            poll_fn(|cx| stream.poll_put(cx, &mut message)).await?;
            // Where the window cut the message, the rest of it needs a kind of its own.
            message = Splitter::new().data(&mut message).unwrap_or_default();
        }
    }
    Ok(())
}

/// Hands what the caller types to the terminal, and its size; ready at the end of the input.
async fn feed<R: Runtime>(
    stream: &Shared,
    rest: Bytes,
    input: &mut FdIo<R::Ready>,
    pty: &Pty,
    own: bool,
) -> io::Result<()> {
    let mut frames = OwnFrames::new();
    let mut joiner = Joiner::new(Towards::Agent, Boundaries::Frames);
    let mut first = Some((rest, true));
    let mut torn = false;
    loop {
        let next = match first.take() {
            Some(first) => Some(first),
            None => poll_fn(|cx| stream.poll_frame(cx)).await?,
        };
        let Some((mut bytes, ends)) = next else { break };
        if own {
            while !bytes.is_empty() {
                match frames.feed(&mut bytes).map_err(bad_data)? {
                    Some(OwnFrame::Data(typed)) => {
                        torn = is_torn(&typed, torn);
                        write::<R>(input, &typed).await?;
                    }
                    Some(OwnFrame::Resize { cols, rows }) => pty.resize(Size::new(cols, rows))?,
                    _ => {}
                }
            }
            continue;
        }
        match joiner.feed(bytes, ends) {
            Some(Message::Data(typed)) => {
                torn = is_torn(&typed, torn);
                write::<R>(input, &typed).await?;
            }
            Some(Message::Resize { cols, rows }) => pty.resize(Size::new(cols, rows))?,
            _ => {}
        }
    }
    // Behind a line without its end the first one only hands that line over.
    let ends: &[u8] = if torn { &[END_OF_INPUT; 2] } else { &[END_OF_INPUT] };
    write::<R>(input, ends).await
}

/// Whether the input stands within a line now.
fn is_torn(typed: &[u8], torn: bool) -> bool {
    typed.last().map_or(torn, |last| !matches!(last, b'\n' | b'\r' | &END_OF_INPUT))
}

async fn write<R: Runtime>(input: &mut FdIo<R::Ready>, mut typed: &[u8]) -> io::Result<()> {
    let mut poll = |cx: &mut Context<'_>| {
        while !typed.is_empty() {
            match ready!(input.poll_write(cx, &[IoSlice::new(typed)])) {
                Ok(wrote) => typed = typed.get(wrote..).unwrap_or_default(),
                // The command is gone; what it printed still comes.
                Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    };
    poll_fn(|cx| poll(cx)).await
}
