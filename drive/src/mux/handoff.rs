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

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

/// A tool that lies here unless somebody works with it.
#[derive(Debug)]
pub(super) struct Desk<T> {
    tool: Option<T>,
    /// The driver came while it was away.
    asked: bool,
}

impl<T> Desk<T> {
    pub(super) const fn new(tool: T) -> Self {
        Self { tool: Some(tool), asked: false }
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

    /// The same, if the caller wants it.
    pub(super) fn take_if(&mut self, wanted: bool) -> Option<T> {
        self.tool.take_if(|_| wanted)
    }

    /// For the driver: the same, and when it is away whoever holds it must ring.
    pub(super) const fn ask(&mut self) -> Option<T> {
        self.asked = self.tool.is_none();
        self.tool.take()
    }

    /// Puts the tool back; says whether the driver came for it.
    pub(super) fn put_back(&mut self, tool: T) -> bool {
        self.tool = Some(tool);
        std::mem::take(&mut self.asked)
    }
}

/// Wakes the driver, whichever task it is at the moment.
#[derive(Debug, Default)]
pub(super) struct Bell(Mutex<Option<Waker>>);

impl Bell {
    /// For the driver, at the beginning of each poll: this is the task to wake.
    pub(super) fn register(&self, waker: &Waker) {
        let mut driver = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *driver {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    /// Wakes it; must not be called under a lock.
    pub(super) fn ring(&self) {
        let driver = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}

/// One direction of the transport: its waker, and whether it was woken.
#[derive(Debug)]
pub(super) struct Side {
    bell: Arc<Bell>,
    woken: AtomicBool,
}

impl Side {
    pub(super) fn new(bell: &Arc<Bell>) -> Arc<Self> {
        Arc::new(Self { bell: Arc::clone(bell), woken: AtomicBool::new(false) })
    }

    /// Whether it was woken since this was asked last.
    pub(super) fn heard(&self) -> bool {
        self.woken.swap(false, Ordering::AcqRel)
    }

    /// Whether it was woken, without taking note.
    pub(super) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }
}

impl Wake for Side {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.bell.ring();
    }
}
