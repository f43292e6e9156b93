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

/// Directories that are open and of which nothing is listed, at most: each holds descriptors.
const OPEN: usize = 64;

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

/// Entries that are to be worked on, each with its directory.
type Waiting<W> = Vec<(Arc<Node<<W as Walk>::Dir>>, <W as Walk>::Entry)>;

enum Done<D, E> {
    Listed(Arc<Node<D>>, Vec<E>, bool),
    Visited { node: Arc<Node<D>>, made: Option<D>, leads_on: bool },
    Left(Option<Arc<Node<D>>>),
}

/// Walks everything below a directory.
///
/// The last found is worked on first, so that what waits stays little: the entries of the
/// directories between the root and where the walk is, and not of the whole tree. As many
/// directories are open: a few for each level, however many there are side by side.
pub(super) async fn walk<W: Walk>(tree: &W, root: W::Dir) -> Result<(), TransferError> {
    let mut crowd = Crowd::<Result<Done<W::Dir, W::Entry>, TransferError>>::new();
    let root = Arc::new(Node { dir: root, open: AtomicUsize::new(1), parent: None });
    let (mut unlisted, mut partly) = (vec![root], Vec::new());
    let mut entries: Waiting<W> = Vec::new();
    // Listings and visits of directories under way, and directories found that are not open yet.
    let (mut listings, mut opening, mut ahead) = (0, 0, 0_usize);
    loop {
        while listings < LISTINGS {
            let next_leads_on = entries.last().is_some_and(|(_, entry)| tree.leads_on(entry));
            let node = if entries.len() < LOW {
                partly.pop().or_else(|| unlisted.pop())
            } else if next_leads_on && unlisted.len() + opening >= OPEN {
                // No more may be opened, so those that are must come to their ends. Going on with
                // a large one would only find yet more to open.
                unlisted.pop()
            } else {
                None
            };
            let Some(node) = node else { break };
            listings += 1;
            crowd.push(async move {
                let (found, more) = tree.list(&node.dir).await?;
                Ok(Done::Listed(node, found, more))
            });
        }
        while crowd.len() < AT_ONCE
            && let Some((node, entry)) = entries
                .pop_if(|(_, entry)| unlisted.len() + opening < OPEN || !tree.leads_on(entry))
        {
            let leads_on = tree.leads_on(&entry);
            opening += usize::from(leads_on);
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
                    partly.push(node);
                    None
                } else {
                    Some(node)
                }
            }
            Done::Visited { node, made, leads_on } => {
                opening -= usize::from(leads_on);
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
        if listings == 0 && unlisted.is_empty() && partly.is_empty() && ahead == 0 {
            tree.found_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    /// A tree with so many directories in each of every level, and a file in each of the last.
    struct Wide {
        widths: &'static [usize],
        open: Arc<AtomicUsize>,
        most: AtomicUsize,
        files: AtomicUsize,
    }

    struct Dir {
        level: usize,
        listed: AtomicUsize,
        open: Arc<AtomicUsize>,
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    impl Wide {
        fn dir(&self, level: usize) -> Dir {
            let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
            self.most.fetch_max(open, Ordering::Relaxed);
            Dir { level, listed: AtomicUsize::new(0), open: Arc::clone(&self.open) }
        }
    }

    impl Walk for Wide {
        type Dir = Dir;
        /// The level of a directory; that of a file is beyond the last.
        type Entry = usize;

        fn leads_on(&self, entry: &usize) -> bool {
            *entry <= self.widths.len()
        }

        async fn list(&self, dir: &Dir) -> Result<(Vec<usize>, bool), TransferError> {
            let width = self.widths.get(dir.level).copied().unwrap_or(1);
            let listed = dir.listed.load(Ordering::Relaxed);
            let now = (width - listed).min(100);
            dir.listed.store(listed + now, Ordering::Relaxed);
            Ok((vec![dir.level + 1; now], listed + now < width))
        }

        async fn visit(&self, _: &Dir, entry: usize) -> Result<Option<Dir>, TransferError> {
            if self.leads_on(&entry) {
                return Ok(Some(self.dir(entry)));
            }
            self.files.fetch_add(1, Ordering::Relaxed);
            Ok(None)
        }

        async fn leave(&self, _: &Dir) -> Result<(), TransferError> {
            Ok(())
        }

        fn found_all(&self) {}
    }

    #[test]
    fn few_directories_are_open_in_a_wide_tree() {
        let shapes: [(&[usize], _); 3] =
            [(&[3_000], 3_000), (&[200, 200], 40_000), (&[1, 1, 1, 300, 1, 20], 6_000)];
        for (widths, files) in shapes {
            let open = Arc::default();
            let tree = Wide { widths, open, most: 0.into(), files: 0.into() };
            let mut walk = pin!(walk(&tree, tree.dir(0)));
            let mut context = Context::from_waker(Waker::noop());
            // Nothing in it waits for anything but itself.
            while walk.as_mut().poll(&mut context).map(Result::unwrap).is_pending() {}
            assert_eq!(tree.files.load(Ordering::Relaxed), files);
            assert_eq!(tree.open.load(Ordering::Relaxed), 0);
            let most = tree.most.load(Ordering::Relaxed);
            assert!(most < 200, "{widths:?}: {most}");
        }
    }
}
