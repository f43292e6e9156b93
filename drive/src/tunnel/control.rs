//! What agents tell about themselves, at the end that opens streams to them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use trunkline_core::CloseReason;
use trunkline_core::tunnel::{ControlCollector, End, StreamType};

use super::time::within;
use super::typed;
use crate::Runtime;
use crate::mux::{Connection, Stream};

/// Control streams that are read at once; further ones are reset.
const AT_ONCE: usize = 16;

/// How long one may take.
const TIME: Duration = Duration::from_secs(30);

/// Takes the control streams that an agent opens, until the connection is over; says why it is.
///
/// Each document is handed to `told` as it came, once its stream has ended in order: at most 1 MiB,
/// within 30 seconds, 16 streams at once (`docs/protocols/agent-tunnel.md`). Streams of other types are
/// reset. Call it from within the runtime, before anything is lost: it is what accepts.
pub async fn collect_control<R: Runtime>(
    connection: Connection<R>,
    told: impl Fn(Bytes) + Send + Sync + 'static,
) -> CloseReason {
    let told = Arc::new(told);
    let busy = Arc::new(AtomicUsize::new(0));
    while let Ok(stream) = connection.accept_stream().await {
        if busy.fetch_add(1, Ordering::Relaxed) >= AT_ONCE {
            busy.fetch_sub(1, Ordering::Relaxed);
            stream.reset();
            continue;
        }
        let (told, place) = (Arc::clone(&told), Place(Arc::clone(&busy)));
        R::spawn(async move {
            let _place = place;
            match within::<R, _>(TIME, collect::<R>(&stream)).await {
                Some(Ok(document)) => {
                    stream.finish();
                    told(document);
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "a stream of the agent was dropped");
                    stream.reset();
                }
                None => stream.reset(),
            }
        });
    }
    connection.closed().await
}

/// One of the streams that are read at once, given back also when `told` panics.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn collect<R: Runtime>(stream: &Stream) -> io::Result<Bytes> {
    let (header, rest) = typed::read_header::<R>(stream, TIME).await?;
    if header.kind != StreamType::CONTROL {
        return Err(typed::bad_data(format!("an agent cannot open type {}", header.kind.0)));
    }
    let mut collector = ControlCollector::default();
    collector.feed(&rest).map_err(typed::bad_data)?;
    while let Some(bytes) = typed::read(stream).await? {
        collector.feed(&bytes).map_err(typed::bad_data)?;
    }
    collector.end(End::Finished).map_err(typed::bad_data)
}
