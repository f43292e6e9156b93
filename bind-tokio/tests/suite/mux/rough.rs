//! Transports that behave badly.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};
use std::time::Duration;

use super::wires::{Kind, end, over_each_wire, serve, stream};
use crate::cases::support::{Pattern, turn};
use crate::cases::wire::{End, Pace, Rough, Wire};
use crate::rt::{self, MuxError};

over_each_wire!(
    partial_reads_and_writes_lose_nothing,
    waits_for_nothing_lose_nothing,
    wake_ups_that_come_late_lose_nothing,
    a_transport_that_takes_nothing_is_an_error_and_no_busy_loop,
    a_transport_that_fails_at_any_call_is_an_error,
    a_transport_that_never_moves_can_be_aborted,
    a_transport_that_claims_too_much_does_no_harm,
);

/// Sends so many bytes there and back over a wire that is rough at both ends.
async fn through(kind: Kind, most: usize, pace: Pace, vectored: bool, count: usize) {
    let rough = |end| Rough::new(end, most, pace, vectored);
    let (client, server, _line) = kind.pair_with(10_000, rough, rough);
    let _serving = serve(server);
    let (mut reader, mut writer) = client.open().await.unwrap().into_split();
    let writing = rt::spawn(async move {
        let all = Pattern::new().head(count);
        let (small, large) = all.split_at(count / 5);
        for piece in small.chunks(333) {
            rt::write_all(&mut writer, piece).await.unwrap();
        }
        rt::write_all(&mut writer, large).await.unwrap();
        writer
    });
    let read = rt::read_exact(&mut reader, count).await.unwrap();
    assert!(read == Pattern::new().head(count), "other bytes: {most} {pace:?} {vectored}");
    end(reader, writing.await).await;
}

async fn partial_reads_and_writes_lose_nothing(kind: Kind) {
    for vectored in [true, false] {
        for (most, count) in [(1, 1_000), (2, 3_000), (7, 10_000), (999, 100_000)] {
            through(kind, most, Pace::Steady, vectored, count).await;
        }
        through(kind, usize::MAX, Pace::Steady, vectored, 500_000).await;
    }
}

async fn waits_for_nothing_lose_nothing(kind: Kind) {
    for vectored in [true, false] {
        for (most, count) in [(1, 1_000), (100, 20_000), (usize::MAX, 300_000)] {
            through(kind, most, Pace::Nervous, vectored, count).await;
        }
    }
}

async fn wake_ups_that_come_late_lose_nothing(kind: Kind) {
    for (most, count) in [(20, 600), (3_000, 60_000)] {
        through(kind, most, Pace::Late, true, count).await;
    }
}

/// A wire whose calls do something odd from a certain one on.
struct Odd {
    inner: End,
    calls: usize,
    /// From this call on it is odd.
    from: usize,
    does: Does,
}

#[derive(Clone, Copy, PartialEq)]
enum Does {
    TakesNothing,
    Fails,
    Waits,
    Claims,
}

impl Odd {
    fn is_odd(&mut self) -> Option<Does> {
        self.calls += 1;
        (self.calls > self.from).then_some(self.does)
    }

    fn broken() -> io::Error {
        io::Error::other("broken")
    }
}

impl Wire for Odd {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        match self.is_odd() {
            Some(Does::Fails) => Poll::Ready(Err(Self::broken())),
            Some(Does::Waits) => Poll::Pending,
            _ => self.inner.poll_read(cx, buf),
        }
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.is_odd() {
            Some(Does::TakesNothing) => Poll::Ready(Ok(0)),
            Some(Does::Fails) => Poll::Ready(Err(Self::broken())),
            Some(Does::Waits) => Poll::Pending,
            Some(Does::Claims) => Poll::Ready(Ok(1 << 20)),
            None => self.inner.poll_write(cx, bufs),
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.does == Does::Waits { Poll::Pending } else { self.inner.poll_close(cx) }
    }
}

/// Writes until that fails, and says why.
async fn write_on(stream: &mut rt::Stream) -> io::Error {
    let writing = async {
        loop {
            if let Err(error) = rt::write_all(stream, &[7; 3_000]).await {
                break error;
            }
            turn().await;
        }
    };
    rt::timeout(Duration::from_secs(20), writing).await.expect("an error")
}

async fn a_transport_that_takes_nothing_is_an_error_and_no_busy_loop(kind: Kind) {
    let odd = |inner| Odd { inner, calls: 0, from: 0, does: Does::TakesNothing };
    let (client, server, _line) = kind.pair_with(1_000, odd, |end| end);
    let mut stream = client.open().await.unwrap();
    let error = write_on(&mut stream).await;
    assert!(MuxError::of(&error).is_some(), "{error:?}");
    drop(server);
}

async fn a_transport_that_fails_at_any_call_is_an_error(kind: Kind) {
    for from in [0, 1, 4, 9, 25] {
        let odd = |inner| Odd { inner, calls: 0, from, does: Does::Fails };
        let (client, server, _line) = kind.pair_with(5_000, odd, |end| end);
        let _serving = serve_until_lost(server);
        let Ok(mut stream) = client.open().await else { continue };
        let error = write_on(&mut stream).await;
        assert!(MuxError::of(&error).is_some(), "{error:?}");
        client.closed().await;
    }
}

/// Reads what comes on every stream, whatever becomes of it.
fn serve_until_lost(server: rt::Connection) -> rt::Task<()> {
    rt::spawn(async move {
        while let Ok(mut stream) = server.accept().await {
            let _ = rt::read_to_end(&mut stream).await;
        }
    })
}

async fn a_transport_that_never_moves_can_be_aborted(kind: Kind) {
    for from in [0, 5] {
        let odd = |inner| Odd { inner, calls: 0, from, does: Does::Waits };
        let (client, _server, _line) = kind.pair_with(5_000, odd, |end| end);
        let (mut reader, mut writer) = client.open().await.unwrap().into_split();
        let waiting = rt::spawn(async move { reader.read_chunk().await });
        let writing = rt::spawn(async move {
            loop {
                if let Err(error) = rt::write_all(&mut writer, &[1; 10_000]).await {
                    break error;
                }
            }
        });
        for _ in 0..20 {
            turn().await;
        }
        client.abort();
        assert!(waiting.await.is_err());
        assert!(MuxError::of(&writing.await).is_some());
    }
}

async fn a_transport_that_claims_too_much_does_no_harm(kind: Kind) {
    let odd = |inner| Odd { inner, calls: 0, from: 20, does: Does::Claims };
    let (client, server, _line) = kind.pair_with(50_000, odd, |end| end);
    let (mut ours, theirs) = stream(&client, &server).await;
    for size in [10, 1_000, 10_000, 100_000, 7] {
        let mut left = size;
        // What it claims to have taken is lost; only the process must live.
        while left > 0 {
            let data = vec![0; left];
            let write = rt::write(&mut ours, &data);
            match rt::timeout(Duration::from_millis(20), write).await {
                Some(Ok(count)) => left -= count,
                _ => break,
            }
        }
    }
    client.abort();
    client.closed().await;
    drop(theirs);
}
