//! Trunkline's own side, once for both bindings and all wires.

use std::io;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::io::{AsyncRead, AsyncWrite};
use trunkline_core::mux::{OpenRefusal, Side};
use trunkline_core::{smux, wormhole, yamux};
use trunkline_drive::Runtime;
use trunkline_drive::mux::{Connection, MuxError};

use crate::{Run, Session, Trouble, WireName};

/// The machines, everything at its default but what the command line says.
///
/// A user writes one of these lines, and nothing else that depends on the wire.
pub mod machine {
    use super::*;

    fn side(run: &Run) -> Side {
        if run.options.is_client() { Side::Client } else { Side::Server }
    }

    fn refused(error: impl std::fmt::Display) -> Trouble {
        Trouble::Other(error.to_string())
    }

    /// yamux.
    ///
    /// # Errors
    ///
    /// When the settings are refused, which the defaults are not.
    pub fn yamux(run: &Run) -> Result<yamux::Connection, Trouble> {
        yamux::Connection::new(side(run), yamux::Config::default()).map_err(refused)
    }

    /// wormhole.
    ///
    /// # Errors
    ///
    /// As [`yamux`](self::yamux()).
    pub fn wormhole(run: &Run) -> Result<wormhole::Connection, Trouble> {
        wormhole::Connection::new(side(run), wormhole::Config::default()).map_err(refused)
    }

    /// smux, in the version that the command line names.
    ///
    /// # Errors
    ///
    /// As [`yamux`](self::yamux()).
    pub fn smux(run: &Run) -> Result<smux::Connection, Trouble> {
        let mut config = smux::Config::default();
        if run.options.wire == WireName::Smux2 {
            config.version = smux::Version::Two;
        }
        if run.options.interval_ms > 0 {
            config.keep_alive_interval = Duration::from_millis(run.options.interval_ms);
        }
        smux::Connection::new(side(run), config).map_err(refused)
    }
}

/// A connection of a binding, whose streams are used through `futures`' traits.
pub struct Ours<R: Runtime, S> {
    connection: Connection<R>,
    wrap: fn(R::Stream) -> S,
    sleep: fn(Duration) -> BoxFuture<'static, ()>,
}

impl<R: Runtime, S> Ours<R, S> {
    /// A session over a connection; `wrap` makes its streams usable, `sleep` is the runtime's.
    #[must_use]
    pub fn new(
        connection: Connection<R>,
        wrap: fn(R::Stream) -> S,
        sleep: fn(Duration) -> BoxFuture<'static, ()>,
    ) -> Self {
        Self { connection, wrap, sleep }
    }
}

impl<R: Runtime, S: AsyncRead + AsyncWrite + Unpin> Session for Ours<R, S> {
    type Stream = S;

    fn half_close(&self) -> bool {
        self.connection.abilities().half_close
    }

    async fn open(&self) -> io::Result<S> {
        let opened = self.connection.open().await;
        opened.map(self.wrap).map_err(|error| match MuxError::of(&error) {
            Some(MuxError::Open(OpenRefusal::GoneAway)) => {
                io::Error::new(io::ErrorKind::ConnectionRefused, error)
            }
            _ => error,
        })
    }

    async fn accept(&self) -> io::Result<S> {
        self.connection.accept().await.map(self.wrap)
    }

    async fn ping(&self, count: u64) -> Result<String, Trouble> {
        let connection = &self.connection;
        if connection.abilities().ping {
            let mut fastest = Duration::MAX;
            for number in 0..count {
                let took = connection.ping().await.map_err(Trouble::io("ping number", number))?;
                fastest = fastest.min(took);
            }
            return Ok(format!("{count} pings, the fastest in {fastest:?}"));
        }
        // Nothing else is on its way but, once, credit for the one byte that was sent.
        let wanted = connection.stats().frames_in + count + 1;
        while connection.stats().frames_in < wanted {
            if let Some(reason) = connection.close_reason() {
                return Err(Trouble::Other(format!("no signs of life: {reason}")));
            }
            (self.sleep)(Duration::from_millis(5)).await;
        }
        Ok(format!("{count} keep-alive frames"))
    }

    async fn go_away(&self) -> Result<(), Trouble> {
        if !self.connection.abilities().go_away {
            return Err(Trouble::Impossible("go-away"));
        }
        self.connection.go_away();
        Ok(())
    }

    async fn close(&self) {
        let _ = self.connection.close().await;
    }
}
