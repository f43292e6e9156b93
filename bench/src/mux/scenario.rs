//! The scenarios: the same calls in the same order for every subject.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::count::{cpu, resident, totals};
use super::runtime::Runtime;
use super::spec::{Sample, Scenario, Spec};
use super::{Mux, SCRATCH, Stream, idle, latency, read_exact, read_to_end};
use crate::allocator;

/// One write of a bulk transfer.
pub(crate) const CHUNK: usize = 32 << 10;

/// One message of a ping-pong.
pub(crate) const MESSAGE: usize = 64;

/// What one bulk transfer moves at the most: some subjects keep all of it in memory.
const MOST_BYTES: u64 = 1 << 30;

/// Streams that one churn opens at the most: a bare transport leaves a port behind for each.
const MOST_STREAMS: u64 = 12_000;

/// Units after which the clock is looked at.
const LOOK: u64 = 16;

/// Makes a subject's two ends, lets them do as the specification says, and gives the figures.
///
/// # Errors
///
/// What the subject answered, when it was not what a working one answers.
pub fn run<R, M>(
    spec: &Spec,
    pair: impl Future<Output = io::Result<(M, M)>> + Send + 'static,
) -> io::Result<Sample>
where
    R: Runtime,
    M: Mux,
{
    let spec = spec.clone();
    R::block_on(spec.threads, async move {
        let (client, server) = pair.await?;
        let mut sample = match spec.scenario {
            Scenario::Bulk(streams) => bulk::<R, M>(&spec, &client, &server, streams).await?,
            Scenario::Ping(streams) => ping::<R, M>(&spec, &client, &server, streams).await?,
            Scenario::Churn(streams) => churn::<R, M>(&spec, &client, &server, streams).await?,
            Scenario::Idle => idle::open(&spec, &client, &server).await?,
            Scenario::PingIdle => idle::ping::<R, M>(&spec, &client, &server).await?,
            Scenario::Latency => latency::run::<R, M>(&spec, &client, &server).await?,
            // Machines alone have neither transport nor runtime.
            Scenario::Core => return Err(io::ErrorKind::Unsupported.into()),
        };
        sample.insert("peak_bytes".to_owned(), resident().1 as f64);
        Ok(sample)
    })
}

/// Everything that is counted, at one moment.
pub(crate) struct Mark {
    cpu: Duration,
    wall: Instant,
    totals: super::count::Totals,
    blocks: u64,
    held: i64,
}

impl Mark {
    pub(crate) fn now(counts: bool) -> Self {
        if counts {
            allocator::start();
            allocator::forget_most();
        }
        let (blocks, held) = (allocator::blocks(), allocator::held());
        Self { blocks, held, totals: totals(), wall: Instant::now(), cpu: cpu() }
    }

    /// What has come together since, for so many units.
    pub(crate) fn since(&self, counts: bool, units: u64) -> Sample {
        let (cpu, wall, totals) = (cpu() - self.cpu, self.wall.elapsed(), totals());
        let mut sample = Sample::new();
        let mut put = |name: &str, figure: f64| sample.extend([(name.to_owned(), figure)]);
        put("units", units as f64);
        put("cpu_ns", cpu.as_nanos() as f64);
        put("wall_ns", wall.as_nanos() as f64);
        put("writes", (totals.writes - self.totals.writes) as f64);
        put("reads", (totals.reads - self.totals.reads) as f64);
        put("bytes", (totals.bytes - self.totals.bytes) as f64);
        if counts {
            put("blocks", (allocator::blocks() - self.blocks) as f64);
            put("most_held", (allocator::most() - self.held) as f64);
        }
        sample
    }
}

/// When a phase is over: at a time, or after so many units of each stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phase {
    until: Instant,
    units: u64,
}

impl Phase {
    /// What is measured.
    pub(crate) fn measured(spec: &Spec) -> Self {
        Self::lasting(spec.time, spec.units)
    }

    /// What is done before, so that nothing is new.
    pub(crate) fn warming(spec: &Spec) -> Self {
        Self::lasting((spec.time / 6).max(Duration::from_millis(10)), spec.units)
    }

    fn lasting(time: Duration, units: u64) -> Self {
        let units = if units == 0 { u64::MAX } else { units };
        Self { until: Instant::now() + time, units }
    }

    /// Whether it is over for a stream that has done so many; the clock is looked at now and then.
    fn is_over(&self, done: u64) -> bool {
        done >= self.units || done.is_multiple_of(LOOK) && Instant::now() >= self.until
    }
}

/// A stream that both ends know, with nothing under way.
pub(crate) async fn establish<M: Mux>(
    client: &M,
    server: &M,
) -> io::Result<(M::Stream, M::Stream)> {
    let (byte, mut scratch) = (Bytes::from_static(b"!"), [0; 16]);
    let mut one = client.open().await?;
    // Some open with the first byte only, and some answer with the first byte only.
    one.write(&byte).await?;
    let mut other = server.accept().await?;
    read_exact(&mut other, &mut scratch, 1).await?;
    other.write(&byte).await?;
    read_exact(&mut one, &mut scratch, 1).await?;
    Ok((one, other))
}

async fn established<M: Mux>(
    client: &M,
    server: &M,
    streams: usize,
) -> io::Result<Vec<(M::Stream, M::Stream)>> {
    let mut all = Vec::with_capacity(streams);
    for _ in 0..streams {
        all.push(establish(client, server).await?);
    }
    Ok(all)
}

async fn bulk<R: Runtime, M: Mux>(
    spec: &Spec,
    client: &M,
    server: &M,
    streams: usize,
) -> io::Result<Sample> {
    let warming = established(client, server, streams).await?;
    transfer::<R, M>(warming, Phase::warming(spec)).await?;
    let pairs = established(client, server, streams).await?;
    let mark = Mark::now(spec.counts);
    let bytes = transfer::<R, M>(pairs, Phase::measured(spec)).await?;
    Ok(mark.since(spec.counts, bytes))
}

async fn transfer<R: Runtime, M: Mux>(
    pairs: Vec<(M::Stream, M::Stream)>,
    phase: Phase,
) -> io::Result<u64> {
    let most = MOST_BYTES / (CHUNK * pairs.len().max(1)) as u64;
    let mut tasks = Vec::with_capacity(pairs.len());
    for (mut from, mut to) in pairs {
        let writer = R::spawn(async move {
            let chunk = Bytes::from(vec![7; CHUNK]);
            let mut sent = 0;
            while sent < most {
                from.write(&chunk).await?;
                sent += 1;
                if phase.is_over(sent) {
                    break;
                }
            }
            from.close().await?;
            // What is dropped too early might be reset.
            io::Result::Ok((sent * CHUNK as u64, from))
        });
        let reader = R::spawn(async move {
            let mut scratch = vec![0; SCRATCH];
            let received = read_to_end(&mut to, &mut scratch).await?;
            io::Result::Ok((received, to))
        });
        tasks.push((writer, reader));
    }
    let (mut total, mut streams) = (0, Vec::with_capacity(tasks.len()));
    for (writer, reader) in tasks {
        let ((sent, from), (received, to)) = (writer.await?, reader.await?);
        if sent != received {
            return Err(io::Error::other(format!("{received} bytes of {sent} came")));
        }
        total += received;
        streams.push((from, to));
    }
    Ok(total)
}

async fn ping<R: Runtime, M: Mux>(
    spec: &Spec,
    client: &M,
    server: &M,
    streams: usize,
) -> io::Result<Sample> {
    let warming = established(client, server, streams).await?;
    ping_pong::<R, M>(warming, Phase::warming(spec)).await?;
    let pairs = established(client, server, streams).await?;
    let mark = Mark::now(spec.counts);
    let round_trips = ping_pong::<R, M>(pairs, Phase::measured(spec)).await?;
    Ok(mark.since(spec.counts, round_trips))
}

pub(crate) async fn ping_pong<R: Runtime, M: Mux>(
    pairs: Vec<(M::Stream, M::Stream)>,
    phase: Phase,
) -> io::Result<u64> {
    let mut tasks = Vec::with_capacity(pairs.len());
    for (mut one, mut other) in pairs {
        R::detach(async move {
            // When it fails early, the other end waits until the process's time is over.
            let _ = echo(&mut other).await;
        });
        tasks.push(R::spawn(async move {
            let (message, mut scratch) = (Bytes::from(vec![7; MESSAGE]), vec![0; SCRATCH]);
            let mut round_trips = 0;
            loop {
                one.write(&message).await?;
                read_exact(&mut one, &mut scratch, MESSAGE).await?;
                round_trips += 1;
                if phase.is_over(round_trips) {
                    break;
                }
            }
            one.close().await?;
            io::Result::Ok((round_trips, one))
        }));
    }
    let (mut total, mut streams) = (0, Vec::with_capacity(tasks.len()));
    for task in tasks {
        let (round_trips, stream) = task.await?;
        total += round_trips;
        streams.push(stream);
    }
    Ok(total)
}

async fn echo<S: Stream>(stream: &mut S) -> io::Result<()> {
    let (message, mut scratch) = (Bytes::from(vec![8; MESSAGE]), vec![0; SCRATCH]);
    let mut waiting = 0;
    loop {
        match stream.read(&mut scratch).await? {
            0 => return stream.close().await,
            some => waiting += some,
        }
        while waiting >= MESSAGE {
            stream.write(&message).await?;
            waiting -= MESSAGE;
        }
    }
}

async fn churn<R: Runtime, M: Mux>(
    spec: &Spec,
    client: &M,
    server: &M,
    streams: usize,
) -> io::Result<Sample> {
    for _ in 0..streams {
        let server = server.clone();
        R::detach(async move {
            let (message, mut scratch) = (Bytes::from(vec![8; MESSAGE]), vec![0; SCRATCH]);
            while let Ok(stream) = server.accept().await {
                let _ = answer(stream, &message, &mut scratch).await;
            }
        });
    }
    open_and_close::<R, M>(client, streams, Phase::warming(spec)).await?;
    let mark = Mark::now(spec.counts);
    let opened = open_and_close::<R, M>(client, streams, Phase::measured(spec)).await?;
    Ok(mark.since(spec.counts, opened))
}

async fn answer<S: Stream>(mut stream: S, message: &Bytes, scratch: &mut [u8]) -> io::Result<()> {
    read_exact(&mut stream, scratch, MESSAGE).await?;
    stream.write(message).await?;
    stream.close().await?;
    if stream.half_close() {
        read_to_end(&mut stream, scratch).await?;
    }
    Ok(())
}

async fn open_and_close<R: Runtime, M: Mux>(
    client: &M,
    streams: usize,
    phase: Phase,
) -> io::Result<u64> {
    let opened = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::with_capacity(streams);
    for _ in 0..streams {
        let (client, opened) = (client.clone(), Arc::clone(&opened));
        tasks.push(R::spawn(async move {
            let (message, mut scratch) = (Bytes::from(vec![7; MESSAGE]), vec![0; SCRATCH]);
            let mut own = 0;
            loop {
                let mut stream = client.open().await?;
                stream.write(&message).await?;
                read_exact(&mut stream, &mut scratch, MESSAGE).await?;
                stream.close().await?;
                if stream.half_close() {
                    read_to_end(&mut stream, &mut scratch).await?;
                }
                own += 1;
                let ports = M::PORT_EACH && opened.fetch_add(1, Ordering::Relaxed) >= MOST_STREAMS;
                if ports || phase.is_over(own) {
                    return io::Result::Ok(own);
                }
            }
        }));
    }
    let mut total = 0;
    for task in tasks {
        total += task.await?;
    }
    Ok(total)
}
