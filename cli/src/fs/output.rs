//! What `trunkline fs` prints.

use std::fmt::{Display, Write as _};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::os::fd::AsFd as _;

use serde_json::Value;
use trunkline_drive::Io as _;
use trunkline_tokio::FdIo;

use super::Stop;
use crate::report::Failure;

/// So much is gathered before it is written.
const GATHERED: usize = 32 << 10;

/// stdout, written without blocking: a signal is obeyed however slow the reader is.
pub(crate) struct Out {
    to: FdIo,
    gathered: String,
}

impl Out {
    /// Takes stdout.
    pub(crate) fn new() -> Result<Self, Stop> {
        let to = FdIo::writer(io::stdout().as_fd())
            .map_err(|error| Failure::local(format!("cannot use stdout: {error}")))?;
        Ok(Self { to, gathered: String::new() })
    }

    /// Prints a line. Text of the agent is escaped by the caller, and only there.
    pub(crate) async fn line(&mut self, line: impl Display) -> Result<(), Stop> {
        // Writing to a string does not fail.
        let _ = writeln!(self.gathered, "{line}");
        if self.gathered.len() < GATHERED { Ok(()) } else { self.flush().await }
    }

    /// Prints a JSON object as a line.
    pub(crate) async fn json(&mut self, value: &Value) -> Result<(), Stop> {
        self.line(value).await
    }

    /// Writes bytes as they are, behind all lines before.
    pub(crate) async fn bytes(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.flush().await?;
        write_all(&mut self.to, bytes).await
    }

    /// Writes what is gathered.
    pub(crate) async fn flush(&mut self) -> Result<(), Stop> {
        let gathered = std::mem::take(&mut self.gathered);
        write_all(&mut self.to, gathered.as_bytes()).await
    }

    /// Writes the rest, and learns whether all of it was taken.
    pub(crate) async fn finish(mut self) -> Result<(), Stop> {
        self.flush().await?;
        poll_fn(|cx| self.to.poll_flush(cx)).await.map_err(stop)
    }
}

async fn write_all(to: &mut FdIo, mut bytes: &[u8]) -> Result<(), Stop> {
    while !bytes.is_empty() {
        let count = poll_fn(|cx| to.poll_write(cx, &[IoSlice::new(bytes)])).await.map_err(stop)?;
        bytes = bytes.get(count..).unwrap_or_default();
    }
    Ok(())
}

fn stop(error: io::Error) -> Stop {
    // Whoever read it has seen enough.
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Stop::Deaf;
    }
    Stop::Failed(Failure::local(format!("cannot write to stdout: {error}")))
}
