//! The scenarios, one function each.

use std::process;

use futures::channel::oneshot;
use futures::future::{join, try_join};
use futures::io::{AsyncReadExt, AsyncWriteExt};

use crate::pattern::take_end;
use crate::streams::{close_own, close_served};
use crate::{Run, Scenario, Session, Trouble};

const SIZES: [u64; 8] = [1, 64, 1000, 4096, 16_384, 65_536, 262_145, 1_000_003];

/// More than any test moves.
const ENDLESS: u64 = 1 << 50;

/// Plays the scenario of the command line and returns its outcome.
///
/// # Errors
///
/// Whatever went another way than the scenario says.
pub async fn play<S: Session>(run: &Run, session: &S) -> Result<&'static str, Trouble> {
    match run.options.scenario {
        Scenario::Echo => echo(run, session).await?,
        Scenario::Bulk => bulk(run, session, run.options.bytes, |_| {}).await?,
        Scenario::Short => short(run, session).await?,
        Scenario::HalfClose if !session.half_close() => {
            return Err(Trouble::Impossible("half-close"));
        }
        Scenario::HalfClose => half_close(run, session).await?,
        Scenario::Ping => ping(run, session).await?,
        Scenario::GoAway => return go_away(run, session).await,
        Scenario::Survive | Scenario::Die => return loss(run, session).await,
    }
    run.finish(session).await?;
    Ok("done")
}

async fn echo<S: Session>(run: &Run, session: &S) -> Result<(), Trouble> {
    run.at("the echo of all streams");
    let count = run.options.streams;
    let base = if run.options.is_client() { 0 } else { 1000 };
    let what = |i: u64| (base + i, SIZES[i as usize % SIZES.len()]);
    let own = run.open_all(session, count, usize::MAX, what);
    try_join(own, run.serve(session, count)).await?;
    Ok(())
}

async fn short<S: Session>(run: &Run, session: &S) -> Result<(), Trouble> {
    run.at("short streams");
    let count = run.options.streams;
    if run.options.is_client() {
        run.open_all(session, count, 64, |i| (i % 1000, 64)).await
    } else {
        run.serve(session, count).await
    }
}

async fn bulk<S: Session>(
    run: &Run,
    session: &S,
    total: u64,
    mut seen: impl FnMut(u64),
) -> Result<(), Trouble> {
    let stream = run.one(session).await?;
    let (mine, theirs) = if run.options.is_client() { (1, 2) } else { (2, 1) };
    run.at("bytes both ways");
    let (mut from, mut to) = stream.split();
    let (begin, begun) = oneshot::channel();
    let mut begin = Some(begin).filter(|_| !run.options.is_client());
    let seen = |received| {
        begin = None;
        seen(received);
    };
    // The reader comes first: when both fail, what it saw is what counts.
    let take = run.take(&mut from, theirs, total, seen);
    let send = async {
        // A server begins when the first bytes have come.
        let _: Result<(), _> = begun.await;
        run.send(&mut to, mine, total).await
    };
    if S::WRITER_LEARNS {
        let (took, sent) = join(take, send).await;
        took.and(sent)?;
    } else {
        try_join(take, send).await?;
    }
    run.close_one(session, from.reunite(to).expect("its own halves")).await
}

async fn half_close<S: Session>(run: &Run, session: &S) -> Result<(), Trouble> {
    let mut stream = run.one(session).await?;
    let total = run.options.bytes;
    run.at("the question");
    if run.options.is_client() {
        run.send(&mut stream, 3, total).await?;
        stream.close().await.map_err(Trouble::io("finishing", total))?;
        run.at("the answer");
        run.take(&mut stream, 4, total, |_| {}).await?;
        confirm(run, session).await?;
        run.at("the end of the answer");
        take_end(&mut stream).await
    } else {
        run.take(&mut stream, 3, total, |_| {}).await?;
        run.at("the end of the question");
        take_end(&mut stream).await?;
        run.at("the answer");
        run.send(&mut stream, 4, total).await?;
        confirm(run, session).await?;
        stream.close().await.map_err(Trouble::io("finishing", total))
    }
}

async fn confirm<S: Session>(run: &Run, session: &S) -> Result<(), Trouble> {
    if !run.options.confirm {
        return Ok(());
    }
    let mut stream = run.one(session).await?;
    run.at("the confirmation");
    if run.options.is_client() {
        run.send(&mut stream, 0, 1).await?;
        close_own(session, &mut stream).await
    } else {
        run.take(&mut stream, 0, 1, |_| {}).await?;
        take_end(&mut stream).await?;
        close_served(session, &mut stream).await
    }
}

async fn ping<S: Session>(run: &Run, session: &S) -> Result<(), Trouble> {
    let mut stream = run.one(session).await?;
    if run.options.is_client() {
        run.send(&mut stream, 0, 1).await?;
    } else {
        run.take(&mut stream, 0, 1, |_| {}).await?;
    }
    run.at("pings");
    run.note(session.ping(run.options.pings).await?);
    run.at("the other side's pings");
    run.send(&mut stream, 0, 1).await?;
    run.take(&mut stream, 0, 1, |_| {}).await?;
    run.close_one(session, stream).await
}

async fn go_away<S: Session>(run: &Run, session: &S) -> Result<&'static str, Trouble> {
    let mut stream = run.one(session).await?;
    run.at("the echo before the go-away");
    echo_byte(run, &mut stream).await?;
    run.at("the go-away");
    let after = if run.options.is_client() {
        session.go_away().await?;
        said(run, session, stream).await
    } else {
        heard(run, session, stream).await
    };
    match after {
        Ok(()) => Ok("refused"),
        Err(trouble @ (Trouble::End { .. } | Trouble::Io { .. })) => {
            run.note(trouble.to_string());
            Ok("ended")
        }
        Err(trouble) => Err(trouble),
    }
}

/// The client's part behind the go-away.
async fn said<S: Session>(run: &Run, session: &S, mut stream: S::Stream) -> Result<(), Trouble> {
    run.at("the echo behind the go-away");
    echo_byte(run, &mut stream).await?;
    let mut second = run.one(session).await?;
    run.at("the second stream");
    echo_byte(run, &mut second).await?;
    close_own(session, &mut second).await?;
    run.close_one(session, stream).await?;
    run.finish(session).await
}

/// The server's part behind the go-away.
async fn heard<S: Session>(run: &Run, session: &S, mut stream: S::Stream) -> Result<(), Trouble> {
    run.take(&mut stream, 0, 1, |_| {}).await?;
    match session.open().await {
        Ok(_) => return Err(Trouble::Other("a stream was opened behind the go-away".to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
        Err(error) => return Err(Trouble::io("opening", 0)(error)),
    }
    run.send(&mut stream, 0, 1).await?;
    run.at("the second stream");
    run.serve(session, 1).await?;
    run.close_one(session, stream).await?;
    run.finish(session).await
}

/// A client has a byte echoed, a server echoes one.
async fn echo_byte<T>(run: &Run, stream: &mut T) -> Result<(), Trouble>
where
    T: AsyncReadExt + AsyncWriteExt + Unpin,
{
    if run.options.is_client() {
        run.send(stream, 0, 1).await?;
        run.take(stream, 0, 1, |_| {}).await
    } else {
        run.take(stream, 0, 1, |_| {}).await?;
        run.send(stream, 0, 1).await
    }
}

/// Bulk without an end until this process or the other one dies.
async fn loss<S: Session>(run: &Run, session: &S) -> Result<&'static str, Trouble> {
    let options = &run.options;
    let dies = options.scenario == Scenario::Die;
    let seen = |received| {
        if dies && received >= options.after {
            // Neither a destructor nor a flush: the system closes the socket.
            process::exit(9);
        }
    };
    let outcome = match bulk(run, session, ENDLESS, seen).await {
        Ok(()) => return Err(Trouble::Other("nobody died".to_owned())),
        Err(trouble @ Trouble::End { .. }) => ("eof", trouble),
        Err(trouble @ Trouble::Io { .. }) => ("error", trouble),
        Err(trouble) => return Err(trouble),
    };
    run.note(outcome.1.to_string());
    Ok(outcome.0)
}
