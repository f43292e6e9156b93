//! A small web server by hand, as the local service of an agent.

use std::io;

use crate::rt::tunnel::{AgentOptions, LocalService};
use crate::rt::{self, Task};

/// One connection of the service.
type Socket = rt::Socket;

/// The local service, until it is dropped.
pub(super) struct Web {
    pub(super) port: u16,
    _serving: Task<()>,
}

impl Web {
    pub(super) async fn new() -> Self {
        let (listener, port) = rt::listen().await;
        let serving = rt::spawn(async move {
            loop {
                let socket = rt::accept(&listener).await;
                rt::spawn(async move {
                    let _ = serve(socket).await;
                })
                .detach();
            }
        });
        Self { port, _serving: serving }
    }

    /// The options of an agent that leads here.
    pub(super) fn options(&self) -> AgentOptions {
        let mut options = AgentOptions::default();
        options.http = Some(LocalService::new(&format!("127.0.0.1:{}", self.port)).unwrap());
        options
    }
}

/// A request's head, and its body where one was announced.
struct Request {
    head: String,
    path: String,
}

impl Request {
    async fn read(socket: &mut Socket) -> io::Result<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(rt::read_exact(socket, 1).await?);
        }
        let head = String::from_utf8(head).unwrap();
        let path = head.split(' ').nth(1).unwrap().to_owned();
        Ok(Self { head, path })
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(": ")?;
            known.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    async fn body(&self, socket: &mut Socket) -> io::Result<Vec<u8>> {
        if let Some(length) = self.header("content-length") {
            return rt::read_exact(socket, length.parse().unwrap()).await;
        }
        let mut body = Vec::new();
        if self.header("transfer-encoding").is_none() {
            return Ok(body);
        }
        loop {
            let mut length = Vec::new();
            while !length.ends_with(b"\r\n") {
                length.extend(rt::read_exact(socket, 1).await?);
            }
            let length = String::from_utf8(length).unwrap();
            let length = usize::from_str_radix(length.trim(), 16).unwrap();
            body.extend(rt::read_exact(socket, length).await?);
            rt::read_exact(socket, 2).await?;
            if length == 0 {
                return Ok(body);
            }
        }
    }
}

async fn serve(mut socket: Socket) -> io::Result<()> {
    loop {
        let request = Request::read(&mut socket).await?;
        match request.path.as_str() {
            // Answers without having read the body, and hangs up.
            "/early" => {
                let answer = "HTTP/1.1 413 No\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!";
                rt::write_all(&mut socket, answer.as_bytes()).await?;
                rt::close(&mut socket).await?;
                // What still comes is taken, so that the answer is not destroyed.
                let mut scratch = [0; 16 << 10];
                while rt::read(&mut socket, &mut scratch).await? > 0 {}
                return Ok(());
            }
            "/cut" => {
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123456789";
                rt::write_all(&mut socket, answer.as_bytes()).await?;
                return Ok(());
            }
            // An event, and the next one when the caller has hung up or never.
            "/events" => {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                     Transfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n";
                rt::write_all(&mut socket, head.as_bytes()).await?;
                rt::read(&mut socket, &mut [0; 1]).await?;
                return Ok(());
            }
            "/cookies" => {
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: a=1\r\n\
                     Set-Cookie: b=2\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n";
                rt::write_all(&mut socket, answer.as_bytes()).await?;
            }
            "/upgrade" => {
                let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                     Upgrade: echo\r\n\r\nfirst";
                rt::write_all(&mut socket, answer.as_bytes()).await?;
                let mut buf = [0; 1_000];
                loop {
                    let count = rt::read(&mut socket, &mut buf).await?;
                    if count == 0 {
                        return rt::close(&mut socket).await;
                    }
                    rt::write_all(&mut socket, &buf[..count]).await?;
                }
            }
            _ => {
                let body = request.body(&mut socket).await?;
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                rt::write_all(&mut socket, head.as_bytes()).await?;
                rt::write_all(&mut socket, &body).await?;
            }
        }
    }
}
