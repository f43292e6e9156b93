//! The hand-off under every interleaving of threads that a model of them can have.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use super::*;

/// Loom's locks and flags.
enum Model {}

impl Primitives for Model {
    type Flag = AtomicBool;
    type Slot = Mutex<Option<Waker>>;

    fn flag() -> Self::Flag {
        AtomicBool::new(false)
    }

    fn swap(flag: &Self::Flag, value: bool) -> bool {
        flag.swap(value, Ordering::AcqRel)
    }

    fn load(flag: &Self::Flag) -> bool {
        flag.load(Ordering::Acquire)
    }

    fn slot() -> Self::Slot {
        Mutex::new(None)
    }

    fn with<R>(slot: &Self::Slot, call: impl FnOnce(&mut Option<Waker>) -> R) -> R {
        call(&mut slot.lock().unwrap())
    }
}

/// A transport that counts what it took; it may say `Pending` once, and then wake its waker.
struct Transport {
    taken: usize,
    room: usize,
    side: Arc<Side<Model>>,
    waits: bool,
}

impl Transport {
    /// Takes as much as there is room for; says what is left.
    fn write(&mut self, work: usize) -> usize {
        if self.waits && self.side.heard() {
            self.waits = false;
            self.room = usize::MAX;
        }
        let taken = work.min(self.room);
        self.room -= taken;
        self.taken += taken;
        self.waits = work > taken;
        work - taken
    }

    fn is_clogged(&self) -> bool {
        self.waits && !self.side.is_woken()
    }
}

struct State {
    desk: Desk<Transport>,
    /// What waits to be written.
    work: usize,
    /// What has been written in all, and what will be.
    done: usize,
    all: usize,
}

struct Core {
    state: Mutex<State>,
    bell: Arc<Bell<Model>>,
    side: Arc<Side<Model>>,
}

impl Core {
    fn new(all: usize, room: usize) -> Arc<Self> {
        let bell = Bell::new();
        let side = Side::new(&bell);
        let transport = Transport { taken: 0, room, side: Arc::clone(&side), waits: false };
        let state = State { desk: Desk::new(transport), work: 0, done: 0, all };
        Arc::new(Self { state: Mutex::new(state), bell, side })
    }

    /// A stream's task: leaves a piece of work, and does it itself when it gets the transport.
    fn command(&self, through: bool) {
        let mut state = self.state.lock().unwrap();
        state.work += 1;
        let free = state.desk.tool().is_some_and(|transport| !transport.is_clogged());
        let taken = (through && free).then(|| state.desk.take()).flatten();
        let ring = match taken {
            None => state.desk.leave(|transport| !transport.is_clogged()),
            Some(mut transport) => {
                let work = std::mem::take(&mut state.work);
                drop(state);
                // Here the system call is made, outside of the lock.
                let left = transport.write(work);
                state = self.state.lock().unwrap();
                state.work += left;
                state.done += work - left;
                let work = state.work > 0;
                let ring = state.desk.put_back(transport, |t| work && !t.is_clogged());
                // The test's own: the driver ends when everything is done, whoever did it.
                ring || state.done == state.all
            }
        };
        drop(state);
        if ring {
            self.bell.ring();
        }
    }

    /// One poll of the driver.
    fn drive(&self, waker: &Waker) {
        self.bell.register(waker);
        let Some(mut transport) = self.state.lock().unwrap().desk.ask() else { return };
        loop {
            let mut state = self.state.lock().unwrap();
            state.desk.look();
            let work = std::mem::take(&mut state.work);
            drop(state);
            let left = transport.write(work);
            let mut state = self.state.lock().unwrap();
            state.work += left;
            state.done += work - left;
            let rested = state.desk.rest(transport, |transport, left| {
                left && !transport.is_clogged() || transport.waits && !transport.is_clogged()
            });
            match rested {
                Some(back) => transport = back,
                None => return,
            }
        }
    }
}

/// Runs tasks beside a driver until everything is written. When a wake-up is lost the driver sleeps
/// for ever, and the model reports a deadlock.
fn model(through: &'static [bool], room: usize) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(move || {
        let core = Core::new(through.len(), room);
        let threads: Vec<_> = through
            .iter()
            .map(|&through| {
                let core = Arc::clone(&core);
                thread::spawn(move || core.command(through))
            })
            .collect();
        if room < through.len() {
            // The reactor, some time.
            let side = Arc::clone(&core.side);
            thread::spawn(move || side.wake_by_ref());
        }
        loom::future::block_on(poll_fn(|cx| {
            core.drive(cx.waker());
            let state = core.state.lock().unwrap();
            if state.done == state.all { Poll::Ready(()) } else { Poll::Pending }
        }));
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn what_is_left_to_the_driver_is_done() {
    model(&[false, false], usize::MAX);
}

#[test]
fn what_is_left_to_a_stream_that_writes_through_is_done() {
    model(&[true, false], usize::MAX);
    model(&[true, true], usize::MAX);
}

#[test]
fn what_a_full_transport_did_not_take_is_done_once_it_has_room() {
    model(&[true], 0);
}

#[test]
fn a_transport_that_becomes_ready_wakes_the_driver() {
    model(&[false], 0);
}
