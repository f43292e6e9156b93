//! Bounds of time over any runtime's timer.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use trunkline_core::Instant;

use crate::{Runtime, Sleep as _};

/// What the future gives, or `None` when it takes longer than this; it is dropped then.
///
/// The timer is set only if the future is not ready at once.
pub(crate) async fn within<R: Runtime, T>(
    limit: Duration,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = pin!(future);
    let mut timer: Option<(R::Sleep, std::time::Instant)> = None;
    poll_fn(move |cx| {
        if let Poll::Ready(done) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        let (sleep, at) = timer.get_or_insert_with(|| {
            (R::Sleep::default(), R::clock().to_std(Instant::ORIGIN + limit))
        });
        sleep.poll_until(cx, *at).map(|()| None)
    })
    .await
}

/// Ready after this time.
pub(crate) async fn sleep<R: Runtime>(duration: Duration) {
    let mut sleep = R::Sleep::default();
    let at = R::clock().to_std(Instant::ORIGIN + duration);
    poll_fn(|cx| sleep.poll_until(cx, at)).await;
}
