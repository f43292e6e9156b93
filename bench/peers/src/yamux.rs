//! The crate yamux, of libp2p.

use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};
use trunkline_bench::mux::Mux;
use trunkline_bench::mux::queue::Queue;
use trunkline_bench::mux::raw::SmolStream;
use trunkline_bench::mux::transport::{Kind, TokioLink, tokio_pair};
use yamux::{Config, Connection, Mode, Stream};

/// A connection, polled by a task of its own and by whoever opens.
#[derive(Clone)]
pub struct Yamux {
    inner: Arc<Mutex<Inner>>,
    accepted: Queue<Stream>,
}

struct Inner {
    connection: Connection<Compat<TokioLink>>,
    driver: Option<Waker>,
}

pub async fn pair(kind: Kind, crowded: bool) -> io::Result<(Yamux, Yamux)> {
    let (one, other) = tokio_pair(kind).await?;
    Ok((make(one, Mode::Client, crowded), make(other, Mode::Server, crowded)))
}

fn make(link: TokioLink, mode: Mode, crowded: bool) -> Yamux {
    let mut config = Config::default();
    if crowded {
        config.set_max_connection_receive_window(None).set_max_num_streams(20_000);
    }
    let connection = Connection::new(link.compat(), config, mode);
    let inner = Arc::new(Mutex::new(Inner { connection, driver: None }));
    let (driven, accepted) = (Arc::clone(&inner), Queue::default());
    let queue = accepted.clone();
    tokio::spawn(poll_fn(move |cx| {
        let mut inner = driven.lock().expect("a lock");
        while let Poll::Ready(next) = inner.connection.poll_next_inbound(cx) {
            match next {
                Some(Ok(stream)) => queue.put(stream),
                Some(Err(_)) | None => {
                    queue.end();
                    return Poll::Ready(());
                }
            }
        }
        inner.driver = Some(cx.waker().clone());
        Poll::Pending
    }));
    Yamux { inner, accepted }
}

impl Mux for Yamux {
    type Stream = SmolStream<Stream>;

    async fn open(&self) -> io::Result<Self::Stream> {
        poll_fn(|cx| {
            let mut inner = self.inner.lock().expect("a lock");
            let opened = inner.connection.poll_new_outbound(cx);
            // The connection does not see by itself that there is a stream more.
            if let Some(driver) = inner.driver.take() {
                driver.wake();
            }
            opened.map(|stream| stream.map(SmolStream).map_err(io::Error::other))
        })
        .await
    }

    async fn accept(&self) -> io::Result<Self::Stream> {
        self.accepted.take().await.map(SmolStream)
    }
}
