//! A machine that a driver and its handles share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use trunkline_core::Machine;
use trunkline_core::agentproto::LogRecord;

/// Who waits for what; one implementation per machine.
pub(crate) trait Waiters<E>: Send + 'static {
    /// Takes an event in; what must be done about it outside the lock goes into `after`.
    fn event(&mut self, event: E, after: &mut After);
}

/// What is done once the lock is released.
#[derive(Debug, Default)]
pub(crate) struct After {
    pub(crate) wake: Vec<Waker>,
    pub(crate) logs: Vec<LogRecord>,
}

impl After {
    pub(crate) fn wake(&mut self, waker: Option<Waker>) {
        self.wake.extend(waker);
    }

    fn run(self) {
        for waker in self.wake {
            waker.wake();
        }
        for record in &self.logs {
            crate::session::emit(record);
        }
    }
}

#[derive(Debug)]
pub(crate) struct State<M, W> {
    pub(crate) machine: M,
    pub(crate) waiters: W,
    driver: Option<Waker>,
}

/// A machine, who waits for it, and the driver's waker, under one lock.
///
/// The lock is held for a few calls into the machine, never across a system call, a wake-up or an
/// await.
#[derive(Debug)]
pub(crate) struct Shared<M, W>(Mutex<State<M, W>>);

impl<M: Machine, W: Waiters<M::Event>> Shared<M, W> {
    pub(crate) fn new(machine: M, waiters: W) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { machine, waiters, driver: None })))
    }

    fn lock(&self) -> MutexGuard<'_, State<M, W>> {
        // A panic elsewhere leaves the machine as it was between two calls.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For handles: calls into the machine, hands out events, and lets the driver look.
    pub(crate) fn command<R>(&self, call: impl FnOnce(&mut State<M, W>) -> R) -> R {
        self.command_if(|state| (call(state), true))
    }

    /// For handles: the same, but the driver is left alone unless the call says otherwise.
    pub(crate) fn command_if<R>(&self, call: impl FnOnce(&mut State<M, W>) -> (R, bool)) -> R {
        let mut after = After::default();
        let mut state = self.lock();
        let (result, changed) = call(&mut state);
        state.hand_out(&mut after);
        if changed {
            after.wake(state.driver.take());
        }
        drop(state);
        after.run();
        result
    }

    /// For handles: looks without changing anything the driver would care about.
    pub(crate) fn look<R>(&self, call: impl FnOnce(&mut State<M, W>) -> R) -> R {
        call(&mut self.lock())
    }

    /// For the driver: calls into the machine, hands out events, and leaves its waker.
    pub(crate) fn drive<R>(&self, waker: &Waker, call: impl FnOnce(&mut M) -> R) -> R {
        let mut after = After::default();
        let mut state = self.lock();
        let result = call(&mut state.machine);
        state.hand_out(&mut after);
        match &mut state.driver {
            Some(driver) => driver.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        drop(state);
        after.run();
        result
    }
}

impl<M: Machine, W: Waiters<M::Event>> State<M, W> {
    fn hand_out(&mut self, after: &mut After) {
        while let Some(event) = self.machine.poll_event() {
            self.waiters.event(event, after);
        }
    }
}
