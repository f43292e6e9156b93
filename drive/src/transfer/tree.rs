//! Walks a tree: many entries at once, directories in parallel, in bounded memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::crowd::Crowd;
use super::options::TransferError;

/// Entries that are worked on at once: with 64 requests in flight, none of those is ever idle.
const AT_ONCE: usize = 96;

/// With fewer entries waiting than this, more directories are listed.
const LOW: usize = 256;

/// Directories listed at once.
const LISTINGS: usize = 8;

/// One direction of transfer, as a tree sees it.
///
/// What fails for one entry is told by the implementation; an error ends the walk.
pub(super) trait Walk: Sync {
    /// An open directory. It is closed when it is dropped.
    type Dir: Send + Sync;
    /// What is known of an entry.
    type Entry: Send;

    /// Whether an entry may turn out to be a directory.
    fn leads_on(&self, entry: &Self::Entry) -> bool;

    /// More entries of a directory, and whether there may be yet more.
    fn list(
        &self,
        dir: &Self::Dir,
    ) -> impl Future<Output = Result<(Vec<Self::Entry>, bool), TransferError>> + Send;

    /// Transfers an entry. A directory is only made and opened.
    fn visit(
        &self,
        dir: &Self::Dir,
        entry: Self::Entry,
    ) -> impl Future<Output = Result<Option<Self::Dir>, TransferError>> + Send;

    /// Finishes a directory, all of whose entries are done.
    fn leave(&self, dir: &Self::Dir) -> impl Future<Output = Result<(), TransferError>> + Send;

    /// Everything has been found.
    fn found_all(&self);
}

/// A directory that is not done.
struct Node<D> {
    dir: D,
    /// Its listing, and entries that are not done.
    open: AtomicUsize,
    parent: Option<Arc<Self>>,
}

enum Done<D, E> {
    Listed(Arc<Node<D>>, Vec<E>, bool),
    Visited { node: Arc<Node<D>>, made: Option<D>, leads_on: bool },
    Left(Option<Arc<Node<D>>>),
}

/// Walks everything below a directory.
///
/// The last found is worked on first, so that what waits stays little: the entries of the
/// directories between the root and where the walk is, and not of the whole tree.
pub(super) async fn walk<W: Walk>(tree: &W, root: W::Dir) -> Result<(), TransferError> {
    let mut crowd = Crowd::<Result<Done<W::Dir, W::Entry>, TransferError>>::new();
    let root = Arc::new(Node { dir: root, open: AtomicUsize::new(1), parent: None });
    let mut unlisted = vec![root];
    let mut entries = Vec::new();
    // Listings under way, and directories found that are not open yet.
    let (mut listings, mut ahead) = (0, 0_usize);
    loop {
        while entries.len() < LOW
            && listings < LISTINGS
            && let Some(node) = unlisted.pop()
        {
            listings += 1;
            crowd.push(async move {
                let (found, more) = tree.list(&node.dir).await?;
                Ok(Done::Listed(node, found, more))
            });
        }
        while crowd.len() < AT_ONCE
            && let Some((node, entry)) = entries.pop()
        {
            let (node, entry): (Arc<Node<W::Dir>>, W::Entry) = (node, entry);
            let leads_on = tree.leads_on(&entry);
            crowd.push(async move {
                let made = tree.visit(&node.dir, entry).await?;
                Ok(Done::Visited { node, made, leads_on })
            });
        }
        let Some(done) = crowd.next().await else { return Ok(()) };
        let over = match done? {
            Done::Listed(node, found, more) => {
                listings -= 1;
                node.open.fetch_add(found.len(), Ordering::Relaxed);
                ahead += found.iter().filter(|entry| tree.leads_on(entry)).count();
                // Taken from the end, so the first of them is taken first.
                entries.extend(found.into_iter().rev().map(|entry| (Arc::clone(&node), entry)));
                if more {
                    unlisted.push(node);
                    None
                } else {
                    Some(node)
                }
            }
            Done::Visited { node, made, leads_on } => {
                ahead -= usize::from(leads_on);
                if let Some(dir) = made {
                    // Its place among the entries of its parent is kept until it is left.
                    let open = AtomicUsize::new(1);
                    unlisted.push(Arc::new(Node { dir, open, parent: Some(node) }));
                    None
                } else {
                    Some(node)
                }
            }
            Done::Left(parent) => parent,
        };
        if let Some(node) = over.filter(|node| node.open.fetch_sub(1, Ordering::Relaxed) == 1) {
            crowd.push(async move {
                tree.leave(&node.dir).await?;
                Ok(Done::Left(node.parent.clone()))
            });
        }
        if listings == 0 && unlisted.is_empty() && ahead == 0 {
            tree.found_all();
        }
    }
}
