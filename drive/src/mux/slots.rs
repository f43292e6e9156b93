//! Who waits for which stream: two wakers per stream, in a table by slot.

use std::task::Waker;

use trunkline_core::mux::StreamKey;

/// Streams of one page.
const PAGE: usize = 64;

/// One slot for each direction, so that halves in two tasks never take each other's place.
#[derive(Debug, Default)]
struct Slot {
    read: Option<Waker>,
    write: Option<Waker>,
}

type Page = [Slot; PAGE];

/// The wakers of all streams, in pages that are made once somebody waits there.
///
/// A slot belongs to one stream at a time: it is emptied when its stream is forgotten.
#[derive(Debug, Default)]
pub(super) struct Slots {
    pages: Vec<Option<Box<Page>>>,
}

/// What a stream is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    Reading,
    Writing,
}

impl Slots {
    /// Puts a waker into a stream's slot for one direction, in the place of the one before.
    pub(super) fn wait(&mut self, stream: StreamKey, what: For, waker: &Waker) {
        let (page, index) = place(stream);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        let Some(page) = self.pages.get_mut(page) else { return };
        let page = page.get_or_insert_with(|| Box::new(std::array::from_fn(|_| Slot::default())));
        let Some(slot) = page.get_mut(index) else { return };
        match slot.of(what) {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    /// Takes the waker out, if there is one.
    pub(super) fn take(&mut self, stream: StreamKey, what: For) -> Option<Waker> {
        self.slot(stream)?.of(what).take()
    }

    /// Forgets who waits for a stream.
    pub(super) fn clear(&mut self, stream: StreamKey) -> [Option<Waker>; 2] {
        self.slot(stream).map_or([None, None], |slot| [slot.read.take(), slot.write.take()])
    }

    /// Every waker there is; for the connection's end alone.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Waker> {
        let pages = std::mem::take(&mut self.pages);
        let slots = pages.into_iter().flatten().flat_map(|page| *page);
        slots.flat_map(|slot| [slot.read, slot.write]).flatten()
    }

    fn slot(&mut self, stream: StreamKey) -> Option<&mut Slot> {
        let (page, index) = place(stream);
        self.pages.get_mut(page)?.as_mut()?.get_mut(index)
    }
}

impl Slot {
    const fn of(&mut self, what: For) -> &mut Option<Waker> {
        match what {
            For::Reading => &mut self.read,
            For::Writing => &mut self.write,
        }
    }
}

fn place(stream: StreamKey) -> (usize, usize) {
    let slot = usize::try_from(stream.slot()).unwrap_or(usize::MAX);
    (slot / PAGE, slot % PAGE)
}
