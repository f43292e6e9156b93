//! How the transport passes from hand to hand, and how the driver learns that it must look.
//!
//! The transport lies on a [`Desk`], which stands under the state's lock. Whoever wants it takes it
//! off, lets go of the lock, and works; nobody ever waits for it. Whoever finds the desk empty has
//! left what it wants done in the state, and goes: the holder looks at the state again, under the
//! same lock hold in which it puts the transport back. So what was left is seen, either by the
//! holder or, rung by it, by the driver.
//!
//! The driver is rung through a [`Bell`]. The transport rings it too: its wakers are [`Side`]s,
//! owned by the connection, so that no future that is dropped takes a wake-up along.
//!
//! All this is checked under every interleaving, by the test beside it; that is why it stands alone
//! and takes its locks and flags from [`Primitives`].

use std::sync::Arc;
use std::task::{Wake, Waker};

/// What the hand-off is built on: the standard library's, or a model's.
pub(super) trait Primitives: 'static {
    /// A flag that threads share.
    type Flag: Send + Sync;
    /// A lock around a waker.
    type Slot: Send + Sync;

    fn flag() -> Self::Flag;
    fn swap(flag: &Self::Flag, value: bool) -> bool;
    fn load(flag: &Self::Flag) -> bool;
    fn slot() -> Self::Slot;
    fn with<R>(slot: &Self::Slot, call: impl FnOnce(&mut Option<Waker>) -> R) -> R;
}

/// The standard library's.
pub(super) enum Std {}

impl Primitives for Std {
    type Flag = std::sync::atomic::AtomicBool;
    type Slot = std::sync::Mutex<Option<Waker>>;

    fn flag() -> Self::Flag {
        Self::Flag::new(false)
    }

    fn swap(flag: &Self::Flag, value: bool) -> bool {
        flag.swap(value, std::sync::atomic::Ordering::AcqRel)
    }

    fn load(flag: &Self::Flag) -> bool {
        flag.load(std::sync::atomic::Ordering::Acquire)
    }

    fn slot() -> Self::Slot {
        Self::Slot::default()
    }

    fn with<R>(slot: &Self::Slot, call: impl FnOnce(&mut Option<Waker>) -> R) -> R {
        call(&mut slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// A tool that lies here unless somebody works with it. Every method is called under the state's
/// lock; where one says that the driver must be rung, it is rung once the lock is released.
#[derive(Debug)]
pub(super) struct Desk<T> {
    tool: Option<T>,
    /// The driver came while the tool was away.
    asked: bool,
    /// The driver was rung and has not come yet.
    rung: bool,
    /// Somebody left work behind while the tool was away.
    left: bool,
}

impl<T> Desk<T> {
    pub(super) const fn new(tool: T) -> Self {
        Self { tool: Some(tool), asked: false, rung: false, left: false }
    }

    /// A look at the tool, if it is here.
    pub(super) const fn tool(&self) -> Option<&T> {
        self.tool.as_ref()
    }

    /// The tool, if it is here, for something that is done under the lock.
    pub(super) const fn tool_mut(&mut self) -> Option<&mut T> {
        self.tool.as_mut()
    }

    /// Takes the tool away, if it is here.
    pub(super) const fn take(&mut self) -> Option<T> {
        self.tool.take()
    }

    /// Whether the driver was rung and has not come yet.
    pub(super) const fn is_rung(&self) -> bool {
        self.rung
    }

    /// For the driver: the same, and when the tool is away whoever holds it will ring.
    pub(super) const fn ask(&mut self) -> Option<T> {
        self.rung = false;
        self.asked = self.tool.is_none();
        self.tool.take()
    }

    /// For who leaves work behind: whether the driver must be rung for it. While the tool is away
    /// that is its holder's business, and after the first ring nobody's.
    pub(super) fn leave(&mut self, work: impl FnOnce(&T) -> bool) -> bool {
        let Some(tool) = &self.tool else {
            self.left = true;
            return false;
        };
        let ring = !self.rung && work(tool);
        self.rung |= ring;
        ring
    }

    /// For whoever holds the tool, before it does what there is to do: what is left behind from now
    /// on is new.
    pub(super) const fn look(&mut self) {
        self.left = false;
    }

    /// Puts the tool back; says whether the driver must be rung, for having come in vain or for the
    /// work there is.
    pub(super) fn put_back(&mut self, tool: T, work: impl FnOnce(&T) -> bool) -> bool {
        let asked = std::mem::take(&mut self.asked);
        let ring = !self.rung && (asked || work(&tool));
        self.tool = Some(tool);
        self.rung |= ring;
        ring
    }

    /// For the driver: puts the tool back, unless there is work; the question says whether any was
    /// left behind since the last look.
    pub(super) fn rest(&mut self, tool: T, work: impl FnOnce(&T, bool) -> bool) -> Option<T> {
        if work(&tool, self.left) {
            return Some(tool);
        }
        self.tool = Some(tool);
        None
    }
}

/// Wakes the driver, whichever task it is at the moment.
pub(super) struct Bell<P: Primitives>(P::Slot);

impl<P: Primitives> Bell<P> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(P::slot()))
    }

    /// For the driver, at the beginning of each poll: this is the task to wake.
    pub(super) fn register(&self, waker: &Waker) {
        P::with(&self.0, |driver| match driver {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        });
    }

    /// Wakes it; must not be called under a lock.
    pub(super) fn ring(&self) {
        if let Some(driver) = P::with(&self.0, |driver| driver.clone()) {
            driver.wake();
        }
    }
}

/// One direction of the transport: its waker, and whether it was woken.
pub(super) struct Side<P: Primitives> {
    bell: Arc<Bell<P>>,
    woken: P::Flag,
}

impl<P: Primitives> Side<P> {
    pub(super) fn new(bell: &Arc<Bell<P>>) -> Arc<Self> {
        Arc::new(Self { bell: Arc::clone(bell), woken: P::flag() })
    }

    /// Whether it was woken since this was asked last.
    pub(super) fn heard(&self) -> bool {
        P::swap(&self.woken, false)
    }

    /// Whether it was woken, without taking note.
    pub(super) fn is_woken(&self) -> bool {
        P::load(&self.woken)
    }
}

impl<P: Primitives> Wake for Side<P> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        P::swap(&self.woken, true);
        self.bell.ring();
    }
}

#[cfg(test)]
#[path = "handoff_tests.rs"]
mod tests;
