//! What only tokio has: time that stands still, and runtimes that end before their handles.
#![cfg(all(unix, feature = "host"))]

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf,
};
use tokio::time::Instant;
use trunkline_tokio::{
    CloseReason, ExecOptions, ExecRequest, ExitStatus, PathQuery, Pool, PoolConfig, PoolError,
    Pooled, ServeOptions, SessionError, exec_over, paths_over, serve,
};

const HOUR: Duration = Duration::from_secs(3_600);

fn request(program: &str) -> ExecRequest {
    ExecRequest { path: program.into(), ..ExecRequest::default() }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_waited_for_as_long_as_the_settings_say() {
    let (local, _agent) = tokio::io::duplex(1 << 16);
    let mut options = ExecOptions::new(request("true"));
    options.config.answer_timeout = Some(HOUR);
    let begun = Instant::now();
    let mut exec = exec_over(local, options).unwrap();
    let mut stdout = exec.take_stdout().unwrap();
    let error = stdout.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert!(matches!(exec.wait().await, ExitStatus::Lost(CloseReason::Timeout(_))));
    assert!((HOUR..HOUR + Duration::from_secs(1)).contains(&begun.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn without_that_setting_it_is_waited_for_for_ever() {
    let (local, _agent) = tokio::io::duplex(1 << 16);
    let mut exec = exec_over(local, request("true")).unwrap();
    assert!(tokio::time::timeout(1_000 * HOUR, exec.wait()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_link_that_takes_nothing_delays_an_agent_s_end_for_five_seconds() {
    // Too small for the answer, and nobody reads it.
    let (mut local, remote) = tokio::io::duplex(16);
    let agent = tokio::spawn(serve(remote, ServeOptions::default()));
    let query = PathQuery { paths: vec!["/bin".into()] };
    let (mirror, mut asked) = tokio::io::duplex(1 << 16);
    drop(tokio::spawn(paths_over(mirror, query)));
    let mut bytes = vec![0; 1 << 10];
    let count = asked.read(&mut bytes).await.unwrap();
    local.write_all(&bytes[..count]).await.unwrap();
    let begun = Instant::now();
    assert_eq!(agent.await.unwrap(), 0);
    assert!(begun.elapsed() <= Duration::from_secs(6), "{:?}", begun.elapsed());
}

/// A transport whose orderly end waits for something that never comes.
struct Unclosable(DuplexStream);

impl AsyncRead for Unclosable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Unclosable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_cannot_be_closed_is_let_go() {
    let (local, mut remote) = tokio::io::duplex(1 << 16);
    let exec = exec_over(Unclosable(local), request("true")).unwrap();
    drop(exec);
    // The session is over: its transport must not be kept for ever.
    let ended = tokio::time::timeout(HOUR, remote.read_to_end(&mut Vec::new())).await;
    assert!(ended.is_ok(), "the driver and its transport stay");
}

#[tokio::test(start_paused = true)]
async fn an_agent_whose_transport_cannot_be_closed_ends() {
    let (mut local, remote) = tokio::io::duplex(1 << 16);
    let agent = tokio::spawn(serve(Unclosable(remote), ServeOptions::default()));
    local.shutdown().await.unwrap();
    let ended = tokio::time::timeout(HOUR, agent).await;
    assert_eq!(ended.expect("the agent stays").unwrap(), 127);
}

#[test]
fn handles_that_outlive_their_runtime_say_that_the_session_is_lost() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let (mut exec, agent) = first.block_on(async {
        let (local, remote) = tokio::io::duplex(1 << 16);
        let agent = tokio::spawn(serve(remote, ServeOptions::default()));
        (exec_over(local, request("cat")).unwrap(), agent)
    });
    let mut stdin = exec.take_stdin().unwrap();
    let mut stdout = exec.take_stdout().unwrap();
    drop(first);
    runtime().block_on(async {
        let mut all = Vec::new();
        for error in [
            stdin.write_all(b"x").await.unwrap_err(),
            stdout.read_to_end(&mut all).await.unwrap_err(),
        ] {
            let source = error.get_ref().and_then(|source| source.downcast_ref::<SessionError>());
            assert!(matches!(source, Some(SessionError::Lost(_))), "{error:?}");
        }
        assert!(matches!(exec.wait().await, ExitStatus::Lost(_)));
        assert!(agent.await.is_err());
    });
}

/// A connection of a pool that does nothing but end.
#[derive(Clone, Default)]
struct Idle(Arc<AtomicBool>);

impl Pooled for Idle {
    type Stream = ();

    async fn open(&self) -> std::io::Result<()> {
        Ok(())
    }

    fn streams(&self) -> usize {
        0
    }

    fn is_usable(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }

    async fn close(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[tokio::test(start_paused = true)]
async fn a_pool_s_times_are_those_of_its_settings() {
    let secs = Duration::from_secs;
    let pool = Pool::new(PoolConfig::default(), std::future::pending::<std::io::Result<Idle>>);
    let begun = Instant::now();
    assert_eq!(pool.get().await.err().unwrap().kind(), std::io::ErrorKind::TimedOut);
    assert!((secs(10)..secs(11)).contains(&begun.elapsed()), "{:?}", begun.elapsed());

    let mut config = PoolConfig::default();
    (config.min_size, config.max_idle_time) = (0, Some(secs(600)));
    let pool = Pool::new(config, async || Ok(Idle::default()));
    let begun = Instant::now();
    let idle = pool.get().await.unwrap();
    while idle.is_usable() {
        tokio::time::sleep(secs(1)).await;
    }
    // Looked at every five minutes; unused for ten is not yet longer than ten.
    assert!((secs(600)..secs(902)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    assert_eq!(pool.len(), 0);
    let idle = pool.get().await.unwrap();
    idle.close().await;
    assert_eq!((pool.len(), pool.stats().health_check_failures), (0, 0));
    tokio::time::sleep(secs(31)).await;
    assert_eq!(pool.stats().health_check_failures, 1);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_nobody_uses_ends_with_its_last_handle() {
    let ended = Arc::new(());
    let held = Arc::clone(&ended);
    let pool = Pool::new(PoolConfig::default(), move || {
        let _held = &held;
        async { Ok(Idle::default()) }
    });
    pool.warm_up().await.unwrap();
    drop(pool.clone());
    tokio::time::sleep(HOUR).await;
    assert_eq!(Arc::strong_count(&ended), 2);
    drop(pool);
    tokio::time::sleep(HOUR).await;
    assert_eq!(Arc::strong_count(&ended), 1, "its task goes on");
}

#[test]
fn a_pool_that_outlives_its_runtime_is_closed() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let pool = first.block_on(async {
        let pool = Pool::new(PoolConfig::default(), async || Ok(Idle::default()));
        pool.get().await.unwrap();
        pool
    });
    // From outside of the runtime, which does not run.
    assert_eq!(pool.len(), 1);
    drop(first);
    runtime().block_on(async {
        let error = pool.get().await.err().unwrap();
        assert!(matches!(PoolError::of(&error), Some(PoolError::Closed)), "{error}");
        pool.close().await;
        assert!(pool.is_closed() && pool.is_empty());
    });
}
