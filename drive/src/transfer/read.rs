//! Reading from an open file of the agent, and comparing it with a local one.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use trunkline_core::Payload;
use trunkline_core::agentproto::{FileOp, FileRequest};

use super::context::{Context, Handle, offset};
use super::crowd::Crowd;
use super::local;
use super::options::TransferError;
use super::window::Window;
use crate::Runtime;

/// What was read from one place on.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) payloads: Vec<Payload>,
    pub(super) len: usize,
    /// The file ended behind it.
    pub(super) ended: bool,
}

impl<R: Runtime> Handle<'_, R> {
    /// Reads so many bytes, or up to the end of the file. Agents may cut what they read at a time.
    pub(super) async fn read(&self, at: u64, most: usize) -> Result<Content, TransferError> {
        let mut content = Content::default();
        while content.len < most && !content.ended {
            let left = most - content.len;
            let answer = self
                .ask(FileRequest {
                    op: FileOp::READ_AT,
                    offset: offset(at + content.len as u64),
                    size: i64::try_from(left).unwrap_or(i64::MAX),
                    ..Default::default()
                })
                .await?;
            let count = answer.data.len();
            if count > left {
                let text = "the agent answered with more than was asked for";
                return Err(TransferError::said(self.path(), text));
            }
            if count == 0 && !answer.eof {
                // What is short would pass for whole.
                let text = "the agent transfers nothing, and tells no end";
                return Err(TransferError::said(self.path(), text));
            }
            content.ended = answer.eof;
            content.len += count;
            content.payloads.push(answer.data);
        }
        Ok(content)
    }
}

/// Whether both files hold the same bytes within a range; false also when one ends in it.
pub(super) async fn same<R: Runtime>(
    cx: &Context<'_, R>,
    handle: &Handle<'_, R>,
    fd: &Arc<OwnedFd>,
    shown: &str,
    (from, to): (u64, u64),
) -> Result<bool, TransferError> {
    let (mut window, mut next, mut under_way) = (Window::new(cx.now()), from, 0);
    let mut crowd = Crowd::new();
    loop {
        while next < to && window.has_room(under_way) {
            let len = window.chunk().min(usize::try_from(to - next).unwrap_or(usize::MAX));
            let at = next;
            crowd.push(async move {
                let permit = cx.room.take(len).await;
                let asked = cx.now();
                let content = handle.read(at, len).await?;
                let trip = cx.now().saturating_since(asked);
                let agrees = agrees(cx, content, fd, shown, at, len).await?;
                drop(permit);
                Ok::<_, TransferError>((agrees, len, trip))
            });
            (next, under_way) = (next + len as u64, under_way + len);
        }
        match crowd.next().await {
            None => return Ok(true),
            Some(compared) => {
                let (agrees, len, trip) = compared?;
                if !agrees {
                    return Ok(false);
                }
                under_way -= len;
                window.saw(trip);
                window.answered(len, cx.now());
            }
        }
    }
}

async fn agrees<R: Runtime>(
    cx: &Context<'_, R>,
    content: Content,
    fd: &Arc<OwnedFd>,
    shown: &str,
    at: u64,
    len: usize,
) -> Result<bool, TransferError> {
    if content.len < len {
        return Ok(false);
    }
    let (fd, buffers) = (Arc::clone(fd), cx.buffers.clone());
    cx.local(shown, move || {
        let mut buffer = buffers.take();
        let count = local::read_at(&fd, &mut buffer, len, at)?;
        let mut rest = buffer.as_slice();
        let agrees = count == len
            && content.payloads.iter().flat_map(Payload::pieces).all(|piece| {
                let same = rest.starts_with(piece);
                rest = rest.get(piece.len()..).unwrap_or_default();
                same
            });
        buffers.give_back(buffer);
        Ok(agrees)
    })
    .await
}
