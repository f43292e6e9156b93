//! The tasks of a pool: one that looks after it, and one for each dial and each closing.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use trunkline_core::pool::Key;

use super::Pooled;
use super::shared::{Errand, Shared};
use crate::{Runtime, Sleep as _};

/// Rounds before other tasks get their turn.
const ROUNDS: usize = 16;

/// Starts what the pool decides and tells it the time, until it is closed.
///
/// All tasks of a pool are started here, so that its handles may be used from anywhere.
pub(super) struct Keeper<R: Runtime, C: Pooled> {
    shared: Arc<Shared<C>>,
    sleep: R::Sleep,
}

impl<R: Runtime, C: Pooled> Keeper<R, C> {
    pub(super) fn new(shared: Arc<Shared<C>>) -> Self {
        Self { shared, sleep: R::Sleep::default() }
    }
}

impl<R: Runtime, C: Pooled> Future for Keeper<R, C> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        for _ in 0..ROUNDS {
            let (errands, at, closed) = this.shared.keep(cx.waker());
            for errand in errands {
                R::spawn(run(Arc::clone(&this.shared), errand));
            }
            if closed {
                return Poll::Ready(());
            }
            let Some(at) = at else { return Poll::Pending };
            if this.sleep.poll_until(cx, this.shared.clock.to_std(at)).is_pending() {
                return Poll::Pending;
            }
            this.shared.tick(at);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<R: Runtime, C: Pooled> Unpin for Keeper<R, C> {}

impl<R: Runtime, C: Pooled> Drop for Keeper<R, C> {
    fn drop(&mut self) {
        self.shared.unkept();
    }
}

/// Counts an errand as ended however its task ends: at its end, by a panic, with the runtime.
struct UnderWay<C: Pooled>(Arc<Shared<C>>);

impl<C: Pooled> Drop for UnderWay<C> {
    fn drop(&mut self) {
        self.0.errand_over();
    }
}

/// Reports a dial that ends without saying how as one that failed.
struct Report<C: Pooled> {
    shared: Arc<Shared<C>>,
    key: Key,
}

impl<C: Pooled> Drop for Report<C> {
    fn drop(&mut self) {
        // Nothing, when it was reported before.
        self.shared.dial_failed(self.key, io::Error::other("the dial ended without an outcome"));
    }
}

fn run<C: Pooled>(
    shared: Arc<Shared<C>>,
    errand: Errand<C>,
) -> impl Future<Output = ()> + Send + 'static {
    // Made here, so that a task that never begins is counted as well.
    let under_way = UnderWay(Arc::clone(&shared));
    let report = match &errand {
        Errand::Dial(key) => Some(Report { shared, key: *key }),
        Errand::Close(_) => None,
    };
    async move {
        let _under_way = under_way;
        match (errand, report) {
            (Errand::Close(connection), _) => connection.close().await,
            (Errand::Dial(_), Some(report)) => dial(report).await,
            (Errand::Dial(_), None) => {}
        }
    }
}

async fn dial<C: Pooled>(report: Report<C>) {
    let Report { shared, key } = &report;
    let mut dialling = None;
    let dialled = poll_fn(|cx| match shared.given_up(cx, *key) {
        true => Poll::Ready(None),
        false => dialling.get_or_insert_with(|| (shared.dial)()).as_mut().poll(cx).map(Some),
    });
    match dialled.await {
        Some(Ok(connection)) => {
            if let Err(late) = shared.dialled(*key, connection) {
                late.close().await;
            }
        }
        Some(Err(error)) => shared.dial_failed(*key, error),
        None => {}
    }
}
