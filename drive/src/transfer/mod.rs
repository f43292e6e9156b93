//! Files and whole trees between here and an agent.
//!
//! A transfer is one future over [`Files::request`]: many requests in flight, bytes under way bounded
//! by a window for each file and a [`room`] for all, local work on a few threads. A file is written
//! under another name beside its target until it is whole. Going on with what a broken transfer left
//! needs no record beside that file: when getting, it is written in order, so its size tells what is
//! whole; when putting, requests of one file reach at most [`window::MOST`] beyond the first that is
//! not confirmed, so all but that much of it is whole.

mod context;
mod crowd;
mod fetch;
mod get;
mod get_tree;
mod local;
mod names;
mod options;
mod put;
mod put_tree;
mod read;
mod room;
mod send;
mod tree;
mod window;
mod workers;

use std::borrow::Cow;
use std::ffi::OsStr;
use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use rustix::fs::FileType;

pub use options::{
    TransferError, TransferEvent, TransferOptions, TransferProgress, TransferSummary,
};

use self::context::Context;
use self::get::{Place, Source};
use crate::{Files, Runtime};

const RECURSIVE: &str = "it is a directory, and only files were to be transferred";

impl<R: Runtime> Files<R> {
    /// Brings a file here, or a tree of them, to exactly this local path.
    ///
    /// A file appears under its name when it is whole, in place of what was there; until then it is
    /// written beside it as `.NAME.SIZE-TIME.part`. That is removed when the transfer fails, and kept
    /// when the session is lost, a request is not answered in time, or the future is dropped: with
    /// [`resume`](TransferOptions::resume) it is gone on with. Directories are made where they are
    /// missing. Names that the agent lists cannot lead out of the local path, nor can links in it.
    ///
    /// What fails below a directory is told by [`TransferEvent::Failed`] and counted; the rest goes
    /// on. Up to 26 MiB are under way at a time, in memory at worst.
    ///
    /// Cancel safe in that dropping the future gives up what is under way and closes what is open at
    /// the agent.
    ///
    /// # Errors
    ///
    /// When the file or the directory given cannot be transferred, or the session is lost; the source
    /// is a [`TransferError`].
    pub async fn get(
        &self,
        remote: impl Into<String>,
        local: impl AsRef<Path>,
        options: TransferOptions,
        observer: impl FnMut(TransferEvent<'_>) + Send,
    ) -> io::Result<TransferSummary> {
        let cx = Context::new(self, options, Box::new(observer));
        get(&cx, remote.into(), local.as_ref()).await?;
        Ok(cx.summary())
    }

    /// Takes a local file, or a tree of them, to this path of the agent.
    ///
    /// As [`get`](Self::get) in every other respect. Going on with what is left takes up at most
    /// 26 MiB before the end of it again, because the agent may have written those in any order.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub async fn put(
        &self,
        local: impl AsRef<Path>,
        remote: impl Into<String>,
        options: TransferOptions,
        observer: impl FnMut(TransferEvent<'_>) + Send,
    ) -> io::Result<TransferSummary> {
        let cx = Context::new(self, options, Box::new(observer));
        put(&cx, local.as_ref(), remote.into()).await?;
        Ok(cx.summary())
    }
}

async fn put<R: Runtime>(
    cx: &Context<'_, R>,
    path: &Path,
    remote: String,
) -> Result<(), TransferError> {
    let shown = path.to_string_lossy().into_owned();
    let owned = path.as_os_str().to_owned();
    let facts = cx.local(&shown, move || local::Facts::of_path(&owned)).await?;
    if facts.kind == FileType::Directory {
        if !cx.options.recursive {
            return Err(TransferError::said(shown, RECURSIVE));
        }
        let mut target = remote;
        if cx.options.into_dir
            && let Some(name) = own_name(path, &shown)?
            && put::found(cx.stat(&target, true).await)?.is_some_and(|there| there.is_dir)
        {
            target = names::join(&target, &name);
        }
        let owned = path.as_os_str().to_owned();
        let fd = cx.local(&shown, move || local::open_root(&owned)).await?;
        let tree = put_tree::PutTree(cx);
        let root = tree.enter(fd, shown, target, None).await?;
        return tree::walk(&tree, root).await;
    }
    cx.progress(|progress| {
        progress.total_files = 1;
        progress.total_bytes = facts.size;
        progress.complete = true;
    });
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(TransferError::said(shown, "it is no file"));
    };
    let (parent, name) = (parent.as_os_str().to_owned(), name.to_owned());
    let dir = Arc::new(cx.local(&shown, move || local::open_root(&parent)).await?);
    let origin = put::Origin { dir, name, shown, follow: true };
    let inside = names::join(&remote, &own_name(path, &origin.shown)?.unwrap_or_default());
    let attempts = match (cx.options.into_dir, remote.ends_with('/')) {
        (true, true) => vec![inside],
        (true, false) => vec![remote, inside],
        (false, _) => vec![remote],
    };
    for target in &attempts {
        if let put::Put::Done = put::put_file(cx, &origin, target, true).await? {
            return Ok(());
        }
    }
    let target = attempts.into_iter().next_back().unwrap_or_default();
    Err(TransferError::said(target, "it is a directory"))
}

/// The name that a local path has for the agent; `None` for one such as `..` or `dir/.`, which
/// means what is in it.
fn own_name(path: &Path, shown: &str) -> Result<Option<String>, TransferError> {
    if path.as_os_str().as_encoded_bytes().ends_with(b"/.") {
        return Ok(None);
    }
    let name = |name: &OsStr| name.to_str().map(str::to_owned);
    path.file_name().map(|own| name(own).ok_or_else(|| not_utf8(shown))).transpose()
}

fn not_utf8(shown: &str) -> TransferError {
    TransferError::said(shown, "its name is not UTF-8, which the wire cannot carry")
}

async fn get<R: Runtime>(
    cx: &Context<'_, R>,
    remote: String,
    path: &Path,
) -> Result<(), TransferError> {
    // Both at once: over a long link each of them takes long.
    let (stat, opened) = both(cx.stat(&remote, true), cx.open(&remote)).await;
    let stat = stat?;
    let path = &*target(cx, &remote, path).await?;
    let shown = path.to_string_lossy().into_owned();
    if stat.is_dir {
        if !cx.options.recursive {
            return Err(TransferError::said(remote, RECURSIVE));
        }
        drop(opened);
        let (parent, name) = match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => (parent.as_os_str().to_owned(), name.to_owned()),
            _ => (path.as_os_str().to_owned(), ".".into()),
        };
        let dir = cx.local(&shown, move || local::open_root(&parent)).await?;
        let place = Place { dir: Arc::new(dir), name, shown };
        let tree = get_tree::GetTree(cx);
        let root = tree.root(place, remote, &stat).await?;
        return tree::walk(&tree, root).await;
    }
    if let Some(what) = get::special(stat.mode) {
        return Err(TransferError::said(remote, what));
    }
    let handle = opened?;
    let source = Source::new(remote, &stat);
    cx.progress(|progress| {
        progress.total_files = 1;
        progress.total_bytes = source.size;
        progress.complete = true;
    });
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(TransferError::said(shown, "it is a directory"));
    };
    let (parent, name) = (parent.as_os_str().to_owned(), name.to_owned());
    let dir = cx.local(&shown, move || local::open_root(&parent)).await?;
    let place = Place { dir: Arc::new(dir), name, shown };
    get::get_file(cx, handle, source, &place, true).await
}

/// Where something goes here: into a directory, if that is wanted and there is one.
async fn target<'p, R: Runtime>(
    cx: &Context<'_, R>,
    remote: &str,
    path: &'p Path,
) -> Result<Cow<'p, Path>, TransferError> {
    if !cx.options.into_dir {
        return Ok(path.into());
    }
    let owned = path.as_os_str().to_owned();
    let shown = path.to_string_lossy();
    let found = cx.local(&shown, move || match local::Facts::of_path(&owned) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    });
    match (found.await?, names::split(remote)) {
        (Some(found), Some((_, name))) if found.kind == FileType::Directory => {
            Ok(path.join(name).into())
        }
        (None, _) if path.as_os_str().as_encoded_bytes().ends_with(b"/") => {
            Err(TransferError::said(shown, "there is no such directory"))
        }
        _ => Ok(path.into()),
    }
}

/// Two futures side by side.
async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut first, mut second) = (None, None);
    poll_fn(|cx| {
        if first.is_none()
            && let Poll::Ready(done) = a.as_mut().poll(cx)
        {
            first = Some(done);
        }
        if second.is_none()
            && let Poll::Ready(done) = b.as_mut().poll(cx)
        {
            second = Some(done);
        }
        match (first.take(), second.take()) {
            (Some(first), Some(second)) => Poll::Ready((first, second)),
            (one, other) => {
                (first, second) = (one, other);
                Poll::Pending
            }
        }
    })
    .await
}
