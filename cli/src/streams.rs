//! The command's streams joined to this process's own, and the wait for its end.

use std::future::{Future as _, poll_fn};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::pin::Pin;
use std::task::Poll;

use tokio::task::JoinHandle;
use trunkline_drive::{StreamWriter, pump_in, pump_out};
use trunkline_tokio::{Exec, ExitStatus, FdIo, SessionError};

use crate::report::{Failure, say};
use crate::signals::Signals;
use crate::watch::Watch;

const SIGPIPE: i32 = 13;

/// A pump to the end of a stream; what went wrong at this side's end of it.
type Pump = JoinHandle<(String, io::Result<u64>)>;

/// The command's streams, each under way.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    inputs: Vec<Pump>,
    outputs: Vec<Pump>,
    /// Inputs that have nothing to say, and must not be ended for it.
    held: Vec<StreamWriter>,
}

/// How it all ended.
#[derive(Debug)]
pub(crate) struct End {
    /// How the command ended.
    pub(crate) status: ExitStatus,
    /// Something went wrong at this side meanwhile, and was told: success would be a lie.
    pub(crate) trouble: bool,
}

impl Streams {
    /// Joins the command's streams to this process's own.
    pub(crate) fn connect(
        exec: &mut Exec,
        descriptors: Vec<(u32, OwnedFd)>,
        no_stdin: bool,
    ) -> Result<Self, Failure> {
        let mut streams = Self::default();
        if let Some(stdin) = exec.take_stdin()
            && !no_stdin
        {
            // A closed stdin is one that is at its end.
            if let Ok(own) = FdIo::reader(io::stdin().as_fd()) {
                streams.feed("stdin", own, stdin.into_inner());
            }
        }
        // stdout is given away: its end is passed on when the command ends it.
        let stdout =
            trunkline_host::fd::take(1).or_else(|_| io::stdout().as_fd().try_clone_to_owned());
        if let (Some(from), Ok(own)) = (exec.take_stdout(), stdout) {
            let own = FdIo::writer(own.as_fd())
                .map_err(|error| Failure::local(format!("cannot use stdout: {error}")))?;
            streams.drain("stdout", from.into_inner(), own);
        }
        if let Some(from) = exec.take_stderr()
            && let Ok(own) = FdIo::writer(io::stderr().as_fd())
        {
            streams.drain("stderr", from.into_inner(), own);
        }
        for (number, fd) in descriptors {
            let Some(stream) = exec.take_stream(number) else { continue };
            let (reader, writer) = stream.into_split();
            let (from, to) = (FdIo::reader(fd.as_fd()), FdIo::writer(fd.as_fd()));
            if let (Err(error), Err(_)) = (&from, &to) {
                return Err(Failure::local(format!("cannot use descriptor {number}: {error}")));
            }
            let name = format!("descriptor {number}");
            match from {
                Ok(from) => streams.feed(&name, from, writer.into_inner()),
                // The original's agents end both directions when one is ended: what the command
                // writes there would be lost (docs/protocols/agentproto.md, section 14, H7).
                Err(_) => streams.held.push(writer.into_inner()),
            }
            if let Ok(to) = to {
                streams.drain(&name, reader.into_inner(), to);
            }
        }
        Ok(streams)
    }

    fn feed(&mut self, name: &str, from: FdIo, to: StreamWriter) {
        let name = name.to_string();
        self.inputs.push(tokio::spawn(async move { (name, pump_in(from, to).await) }));
    }

    fn drain(&mut self, name: &str, from: trunkline_drive::StreamReader, to: FdIo) {
        let name = name.to_string();
        self.outputs.push(tokio::spawn(async move { (name, pump_out(from, to).await) }));
    }

    /// Waits for the command and its outputs, passing signals on.
    pub(crate) async fn wait(
        mut self,
        exec: &mut Exec,
        signals: &mut Signals,
    ) -> Result<End, Failure> {
        let mut trouble = false;
        let mut watch = Watch::default();
        while !self.outputs.is_empty() {
            tokio::select! {
                wish = signals.next() => watch.obey(exec, wish)?,
                (name, result) = first_done(&mut self.inputs), if !self.inputs.is_empty() => {
                    if let Err(error) = result {
                        // The command reads an end that is none: its success would be a lie.
                        say(format_args!("cannot read {name}: {error}"));
                        trouble = true;
                    }
                }
                (name, result) = first_done(&mut self.outputs) => {
                    if let Err(error) = result
                        && !is_lost(&error)
                    {
                        // Nobody takes this output: the command is told as a pipe would tell it.
                        let _ = exec.signal(SIGPIPE);
                        watch.output_lost(exec);
                        if error.kind() != io::ErrorKind::BrokenPipe {
                            say(format_args!("cannot write {name}: {error}"));
                            trouble = true;
                        }
                    }
                }
                () = watch.due() => watch.look(exec)?,
            }
        }
        loop {
            let wish = tokio::select! {
                wish = signals.next() => Some(wish),
                () = watch.due() => None,
                status = exec.wait() => return Ok(End { status, trouble }),
            };
            match wish {
                Some(wish) => watch.obey(exec, wish)?,
                None => watch.look(exec)?,
            }
        }
    }
}

/// Takes out the first pump that is done.
async fn first_done(pumps: &mut Vec<Pump>) -> (String, io::Result<u64>) {
    let (index, ended) = poll_fn(|cx| {
        for (index, pump) in pumps.iter_mut().enumerate() {
            if let Poll::Ready(ended) = Pin::new(pump).poll(cx) {
                return Poll::Ready((index, ended));
            }
        }
        Poll::Pending
    })
    .await;
    drop(pumps.swap_remove(index));
    ended.unwrap_or_else(|panic| ("a stream".into(), Err(io::Error::other(panic))))
}

/// Whether a stream failed because the session did, which is told elsewhere.
fn is_lost(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|source| source.is::<SessionError>())
}
