//! The crate h2: HTTP/2 as a multiplexer, one request for each stream.

use std::future::poll_fn;
use std::io;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{Request, Response};
use trunkline_bench::mux::queue::Queue;
use trunkline_bench::mux::transport::{Kind, tokio_pair};
use trunkline_bench::mux::{Mux, Stream};

/// Windows of a stream and of the connection, and the largest frame.
const WINDOWS: (u32, u32) = (1 << 20, 16 << 20);
const FRAME: u32 = 32 << 10;
const STREAMS: u32 = 20_000;

#[derive(Clone)]
pub struct H2 {
    opens: Option<SendRequest<Bytes>>,
    accepted: Queue<Handle>,
}

pub async fn pair(kind: Kind) -> io::Result<(H2, H2)> {
    let (one, other) = tokio_pair(kind).await?;
    let accepted = Queue::default();
    let queue = accepted.clone();
    let server = tokio::spawn(
        h2::server::Builder::new()
            .initial_window_size(WINDOWS.0)
            .initial_connection_window_size(WINDOWS.1)
            .max_frame_size(FRAME)
            .max_concurrent_streams(STREAMS)
            .handshake::<_, Bytes>(other),
    );
    let (opens, connection) = h2::client::Builder::new()
        .initial_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .max_frame_size(FRAME)
        .initial_max_send_streams(STREAMS as usize)
        .handshake(one)
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(connection);
    let mut server = server.await?.map_err(io::Error::other)?;
    tokio::spawn(async move {
        while let Some(Ok((request, mut respond))) = server.accept().await {
            let Ok(send) = respond.send_response(Response::new(()), false) else { break };
            queue.put(Handle { send, response: None, receive: Some(request.into_body()) });
        }
        queue.end();
    });
    let client = H2 { opens: Some(opens), accepted: accepted.clone() };
    Ok((client, H2 { opens: None, accepted }))
}

impl Mux for H2 {
    type Stream = Handle;

    async fn open(&self) -> io::Result<Handle> {
        let opens = self.opens.clone().ok_or(io::ErrorKind::Unsupported)?;
        let mut opens = opens.ready().await.map_err(io::Error::other)?;
        let opened = opens.send_request(Request::new(()), false).map_err(io::Error::other)?;
        Ok(Handle { send: opened.1, response: Some(opened.0), receive: None })
    }

    async fn accept(&self) -> io::Result<Handle> {
        self.accepted.take().await
    }
}

pub struct Handle {
    send: SendStream<Bytes>,
    response: Option<ResponseFuture>,
    receive: Option<RecvStream>,
}

impl Stream for Handle {
    async fn write(&mut self, bytes: &Bytes) -> io::Result<()> {
        // Its interface takes owned buffers; this one is shared already.
        let mut rest = bytes.clone();
        while !rest.is_empty() {
            self.send.reserve_capacity(rest.len());
            let room = match self.send.capacity() {
                0 => poll_fn(|cx| self.send.poll_capacity(cx)).await,
                room => Some(Ok(room)),
            };
            let room = room.ok_or(io::ErrorKind::BrokenPipe)?.map_err(io::Error::other)?;
            let part = rest.split_to(room.min(rest.len()));
            self.send.send_data(part, false).map_err(io::Error::other)?;
        }
        Ok(())
    }

    async fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        if let Some(response) = self.response.take() {
            self.receive = Some(response.await.map_err(io::Error::other)?.into_body());
        }
        let receive = self.receive.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let Some(data) = receive.data().await else { return Ok(0) };
        let count = data.map_err(io::Error::other)?.len();
        if count == 0 {
            // The frame that ends the stream is empty.
            return Ok(0);
        }
        receive.flow_control().release_capacity(count).map_err(io::Error::other)?;
        Ok(count)
    }

    async fn close(&mut self) -> io::Result<()> {
        self.send.send_data(Bytes::new(), true).map_err(io::Error::other)
    }
}
