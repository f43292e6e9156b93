//! Opening, serving and ending, as every scenario does it.

use futures::future::try_join;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::pattern::take_end;
use crate::{Run, Session, Trouble};

impl Run {
    /// Opens a stream as a client, and accepts one as a server.
    pub(crate) async fn one<S: Session>(&self, session: &S) -> Result<S::Stream, Trouble> {
        self.at("a stream to begin with");
        let stream = if self.options.is_client() {
            session.open().await.map_err(Trouble::io("opening", 0))?
        } else {
            session.accept().await.map_err(Trouble::io("accepting", 0))?
        };
        self.count_stream();
        Ok(stream)
    }

    /// Closes a stream of [`one`](Self::one), as its opener or behind the end that its opener makes.
    pub(crate) async fn close_one<S: Session>(
        &self,
        session: &S,
        mut stream: S::Stream,
    ) -> Result<(), Trouble> {
        self.at("the end of the stream");
        if self.options.is_client() {
            close_own(session, &mut stream).await
        } else {
            take_end(&mut stream).await?;
            close_served(session, &mut stream).await
        }
    }

    /// Opens streams, so many at a time, and has the bytes of each echoed.
    pub(crate) async fn open_all<S: Session>(
        &self,
        session: &S,
        count: u64,
        width: usize,
        what: impl Fn(u64) -> (u64, u64),
    ) -> Result<(), Trouble> {
        let what = &what;
        let opened = stream::iter(0..count).then(|i| async move {
            let stream = session.open().await.map_err(Trouble::io("opening number", i))?;
            self.count_stream();
            Ok((i, stream))
        });
        let each = |(i, stream): (u64, S::Stream)| async move {
            let (salt, total) = what(i);
            let (mut from, mut to) = stream.split();
            let send = self.send(&mut to, salt, total);
            let take = self.take(&mut from, salt, total, |_| {});
            let done = try_join(send, take).await;
            done.map_err(|trouble| Trouble::Other(format!("own stream {i}: {trouble}")))?;
            let mut stream = from.reunite(to).expect("its own halves");
            close_own(session, &mut stream).await
        };
        opened.try_for_each_concurrent(width, each).await
    }

    /// Accepts so many streams and echoes each to its end.
    pub(crate) async fn serve<S: Session>(&self, session: &S, count: u64) -> Result<(), Trouble> {
        let accepted = stream::iter(0..count).then(|i| async move {
            let stream = session.accept().await.map_err(Trouble::io("accepting number", i))?;
            self.count_stream();
            Ok((i, stream))
        });
        let each = |(i, mut stream): (u64, S::Stream)| async move {
            let echoed = self.echo(&mut stream).await;
            echoed.map_err(|trouble| Trouble::Other(format!("accepted stream {i}: {trouble}")))?;
            close_served(session, &mut stream).await
        };
        accepted.try_for_each_concurrent(None, each).await
    }

    /// Ends the connection in the way that every scenario shares.
    pub(crate) async fn finish<S: Session>(&self, session: &S) -> Result<(), Trouble> {
        self.at("the last stream");
        if self.options.is_client() {
            let mut last = session.open().await.map_err(Trouble::io("opening the last", 0))?;
            // The server may have ended the connection before these return.
            let _ = last.write_all(&[0]).await;
            let _ = last.flush().await;
            self.at("the end of the connection");
            if session.accept().await.is_ok() {
                return Err(Trouble::Other("a stream instead of the end".to_owned()));
            }
        } else {
            let mut last = session.accept().await.map_err(Trouble::io("accepting the last", 0))?;
            last.read_exact(&mut [0]).await.map_err(Trouble::io("reading the last", 0))?;
            self.at("the end of the connection");
        }
        session.close().await;
        Ok(())
    }
}

/// Closes a stream of which everything was read; what remains is the peer's end.
pub(crate) async fn close_own<S: Session>(
    session: &S,
    stream: &mut S::Stream,
) -> Result<(), Trouble> {
    stream.close().await.map_err(Trouble::io("closing", 0))?;
    if session.half_close() { take_end(stream).await } else { Ok(()) }
}

/// Closes a stream whose peer has ended it. On some wires that end was the end of both directions,
/// and there is nothing left to close.
pub(crate) async fn close_served<S: Session>(
    session: &S,
    stream: &mut S::Stream,
) -> Result<(), Trouble> {
    match stream.close().await {
        Err(error) if session.half_close() => Err(Trouble::io("closing", 0)(error)),
        _ => Ok(()),
    }
}
