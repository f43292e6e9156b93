//! Work on trees: many pieces at once, and what comes last only when its children are through.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use super::Stop;
use super::pipeline::WIDTH;

/// What became of a piece of work.
pub(crate) enum Step<J> {
    /// It is done.
    Done,
    /// It failed, and that was told.
    Failed,
    /// There is more to do, and possibly something when all of that is through.
    Into(Vec<J>, Option<J>),
}

/// So many directories are listed at once, where they are small.
const LISTINGS: usize = 16;

/// A listing with more entries than this is a large one.
const LARGE: usize = 1_000;

/// With more than so many pieces waiting, nothing is listed on top of them.
const MOST_WAITING: usize = 20_000;

/// How many directories may be listed at once: a listing is one answer, held as a whole, and nobody
/// knows before how large it is.
struct Listings {
    running: usize,
    allowed: usize,
}

impl Listings {
    fn may_start(&self, waiting: usize) -> bool {
        self.running == 0 || self.running < self.allowed && waiting < MOST_WAITING
    }

    fn ended(&mut self, entries: usize) {
        self.running -= 1;
        self.allowed = if entries > LARGE { 1 } else { LISTINGS.min(self.allowed * 2) };
    }
}

/// Who waits for the end of some pieces.
struct Parent<J> {
    left: usize,
    clean: bool,
    then: Option<J>,
    above: Option<usize>,
}

struct Piece<F> {
    above: Option<usize>,
    lists: bool,
    future: Pin<Box<F>>,
}

/// Everything that is to be done yet.
struct Work<J> {
    waiting: Vec<(J, bool, Option<usize>)>,
    parents: Vec<Parent<J>>,
    free: Vec<usize>,
}

/// Does the pieces of work and all that comes out of them, [`WIDTH`] at a time.
///
/// What is deeper comes first, so that no more is remembered than the directories on the way down.
/// `lists` says of a piece whether a directory is listed for it, most likely. `act` learns whether
/// all that a last piece waited for went well; for others that is `true`.
pub(crate) async fn work<J, F>(
    pieces: impl IntoIterator<Item = J>,
    lists: impl Fn(&J) -> bool,
    mut act: impl FnMut(J, bool) -> F,
) -> Result<(), Stop>
where
    F: Future<Output = Result<Step<J>, Stop>>,
{
    let waiting: Vec<_> = pieces.into_iter().map(|piece| (piece, true, None)).collect();
    let mut work = Work { waiting, parents: Vec::new(), free: Vec::new() };
    work.waiting.reverse();
    let mut running: Vec<Piece<F>> = Vec::new();
    let mut listings = Listings { running: 0, allowed: 2 };
    loop {
        while running.len() < WIDTH
            && let Some((job, clean, above)) = work.waiting.pop()
        {
            let lists = lists(&job);
            if lists && !listings.may_start(work.waiting.len()) {
                work.waiting.push((job, clean, above));
                break;
            }
            listings.running += usize::from(lists);
            running.push(Piece { above, lists, future: Box::pin(act(job, clean)) });
        }
        if running.is_empty() {
            return Ok(());
        }
        let (piece, step) = first_done(&mut running).await;
        let step = step?;
        if piece.lists {
            listings.ended(if let Step::Into(children, _) = &step { children.len() } else { 0 });
        }
        match step {
            Step::Done => work.through(piece.above, true),
            Step::Failed => work.through(piece.above, false),
            Step::Into(children, then) => work.go_into(children, then, piece.above),
        }
    }
}

impl<J> Work<J> {
    fn go_into(&mut self, children: Vec<J>, then: Option<J>, above: Option<usize>) {
        let parent = Parent { left: children.len(), clean: true, then, above };
        let index = match self.free.pop() {
            Some(index) => {
                self.parents[index] = parent;
                index
            }
            None => {
                self.parents.push(parent);
                self.parents.len() - 1
            }
        };
        if children.is_empty() {
            return self.finish(index);
        }
        self.waiting.extend(children.into_iter().rev().map(|child| (child, true, Some(index))));
    }

    /// A piece below `above` is through.
    fn through(&mut self, above: Option<usize>, clean: bool) {
        let Some(index) = above else { return };
        let parent = &mut self.parents[index];
        parent.left -= 1;
        parent.clean &= clean;
        if parent.left == 0 {
            self.finish(index);
        }
    }

    fn finish(&mut self, index: usize) {
        let parent = &mut self.parents[index];
        let (clean, then, above) = (parent.clean, parent.then.take(), parent.above);
        self.free.push(index);
        match then {
            // It takes the place of the piece that it came out of.
            Some(then) => self.waiting.push((then, clean, above)),
            None => self.through(above, clean),
        }
    }
}

async fn first_done<F: Future>(running: &mut Vec<Piece<F>>) -> (Piece<F>, F::Output) {
    poll_fn(|cx| {
        for index in 0..running.len() {
            if let Poll::Ready(output) = running[index].future.as_mut().poll(cx) {
                return Poll::Ready((running.swap_remove(index), output));
            }
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    /// A tree of numbers: 100 has the children 10 to 19, each of those 1 to 9 times itself.
    #[tokio::test]
    async fn what_comes_last_waits_for_all_below_it() {
        let (done, most, now) = (RefCell::new(Vec::new()), Cell::new(0), Cell::new(0));
        let act = |(job, last): (u32, bool), clean: bool| {
            now.set(now.get() + 1);
            most.set(most.get().max(now.get()));
            let (done, now) = (&done, &now);
            async move {
                tokio::task::yield_now().await;
                now.set(now.get() - 1);
                let children: Vec<u32> = match job {
                    _ if last => Vec::new(),
                    100 => (10..20).collect(),
                    10..20 => (1..10).map(|by| job * 1_000 + by).collect(),
                    _ => Vec::new(),
                };
                if children.is_empty() {
                    assert!(clean || job == 100 || job == 12);
                    done.borrow_mut().push((job, clean));
                    return Ok(if job == 12_005 { Step::Failed } else { Step::Done });
                }
                let children = children.into_iter().map(|child| (child, false)).collect();
                Ok(Step::Into(children, Some((job, true))))
            }
        };
        assert!(work([(100, false), (7, false)], |(_, last)| !last, act).await.is_ok());
        let done = done.into_inner();
        assert_eq!(done.len(), 1 + 1 + 10 + 90);
        let at = |number: u32| done.iter().position(|(job, _)| *job == number).expect("done");
        for parent in 10..20 {
            assert!((1..10).all(|by| at(parent * 1_000 + by) < at(parent)), "{parent}");
            assert!(at(parent) < at(100));
        }
        // A failure is known to what waited for it; that it is done all the same is its own choice.
        assert_eq!((done[at(12)].1, done[at(13)].1), (false, true));
        assert!((2..=WIDTH).contains(&most.get()));
    }

    /// A listing is held as a whole: not many may be, and of large ones a single one.
    #[tokio::test]
    async fn few_directories_are_listed_at_once_and_large_ones_one_by_one() {
        for (entries, allowed) in [(10, LISTINGS), (LARGE + 1, 2)] {
            let (most, now, done) = (Cell::new(0), Cell::new(0), Cell::new(0));
            let act = |(lists, _): (bool, ()), _| {
                now.set(now.get() + usize::from(lists));
                most.set(most.get().max(now.get()));
                let (now, done) = (&now, &done);
                async move {
                    tokio::task::yield_now().await;
                    done.set(done.get() + 1);
                    now.set(now.get() - usize::from(lists));
                    let children = if lists { vec![(false, ()); entries] } else { Vec::new() };
                    Ok(Step::Into(children, None))
                }
            };
            let dirs = vec![(true, ()); 200];
            assert!(work(dirs, |(lists, ())| *lists, act).await.is_ok());
            assert_eq!(done.get(), 200 * (entries + 1));
            assert!((1..=allowed).contains(&most.get()), "{} at once", most.get());
        }
    }
}
