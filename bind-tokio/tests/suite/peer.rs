//! An agent that a test plays by hand.

use std::future::poll_fn;
use std::io::{self, IoSlice};

use bytes::Bytes;
use trunkline_core::agentproto::{Decoder, Frame, FrameType, LogRecord, encode};

use crate::rt::{self, Exec, ExecOptions};

use super::wire::{End, Line, Wire as _, wire};

/// The agent's end of a wire, used frame by frame.
#[derive(Debug)]
pub(crate) struct Peer {
    end: End,
    decoder: Decoder<Frame>,
}

/// Starts a command on an agent that the test plays.
pub(crate) fn exec(options: impl Into<ExecOptions>) -> (Exec, Peer, Line) {
    let (local, agent, line) = wire(64 << 10);
    let exec = rt::exec_over(rt::Over(local), options).unwrap();
    (exec, Peer::new(agent), line)
}

/// The bytes of a frame.
pub(crate) fn bytes_of(frame: &Frame) -> Bytes {
    encode(frame).unwrap().into_bytes()
}

/// A log record as a frame.
pub(crate) fn log(level: i64, message: &str, attributes: &[&str]) -> Frame {
    let attributes = attributes.iter().map(|text| (*text).to_owned()).collect();
    Frame::log(LogRecord { attributes, level, message: message.to_owned() })
}

impl Peer {
    pub(crate) fn new(end: End) -> Self {
        Self { end, decoder: Decoder::new(&rt::Config::default()) }
    }

    /// The next frame, or `None` at the end.
    pub(crate) async fn recv(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.poll().unwrap() {
                return Some(frame);
            }
            let mut buf = vec![0; 64 << 10];
            match poll_fn(|cx| self.end.poll_read(cx, &mut buf)).await {
                Ok(count) if count > 0 => self.decoder.push(Bytes::copy_from_slice(&buf[..count])),
                _ => return None,
            }
        }
    }

    /// The next frame, which must be of this type.
    pub(crate) async fn expect(&mut self, kind: FrameType) -> Frame {
        let frame = self.recv().await.expect("a frame");
        assert_eq!(frame.kind, kind, "{frame:?}");
        frame
    }

    pub(crate) async fn send(&mut self, frame: &Frame) {
        self.send_bytes(&bytes_of(frame)).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.try_send_bytes(bytes).await.unwrap();
    }

    /// Fails once the other side has hung up.
    pub(crate) async fn try_send_bytes(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = poll_fn(|cx| self.end.poll_write(cx, &[IoSlice::new(bytes)])).await?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Ends what the agent says; it still listens.
    pub(crate) async fn close(&mut self) {
        poll_fn(|cx| self.end.poll_close(cx)).await.unwrap();
    }
}
