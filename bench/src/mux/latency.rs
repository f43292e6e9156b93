//! One stream over a long link: what of it gets used.

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::runtime::Runtime;
use super::scenario::{CHUNK, Mark, establish};
use super::spec::{Sample, Spec};
use super::{Mux, SCRATCH, Stream};

/// Writes for as long as the specification says; gives what came in all of the time and in its last
/// quarter, in bytes a second.
pub(crate) async fn run<R: Runtime, M: Mux>(
    spec: &Spec,
    client: &M,
    server: &M,
) -> io::Result<Sample> {
    let (mut from, mut to) = establish(client, server).await?;
    let (time, mark, begun) = (spec.time, Mark::now(spec.counts), Instant::now());
    R::detach(async move {
        let chunk = Bytes::from(vec![7; CHUNK]);
        while begun.elapsed() < time + Duration::from_millis(200) {
            if from.write(&chunk).await.is_err() {
                break;
            }
        }
        // The end of the transfer is the end of the process.
        std::future::pending::<()>().await;
    });
    let mut scratch = vec![0; SCRATCH];
    let (mut all, mut last) = (0, 0);
    while begun.elapsed() < time {
        let count = to.read(&mut scratch).await? as u64;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let at = begun.elapsed();
        if at >= time {
            break;
        }
        all += count;
        if at >= time * 3 / 4 {
            last += count;
        }
    }
    let mut sample = mark.since(spec.counts, all);
    let seconds = time.as_secs_f64();
    sample.insert("bytes_per_second".to_owned(), all as f64 / seconds);
    sample.insert("bytes_per_second_at_last".to_owned(), last as f64 / (seconds / 4.0));
    Ok(sample)
}
