//! A world of one thread whose every accident comes from a seed: which task is polled, how late a
//! wake-up is, how much a transport takes, and what time it is.

#![allow(unreachable_pub)]

pub mod agent;
pub mod mux;
pub mod wire;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use trunkline_drive::{Clock, Sleep};

type Work = Pin<Box<dyn Future<Output = ()>>>;

struct World {
    random: u64,
    begun: Instant,
    now: Instant,
    /// Wake-ups that are on their way.
    late: Vec<Waker>,
    timers: Vec<(Instant, Waker)>,
    spawned: Vec<(&'static str, Work)>,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new({
        let now = Instant::now();
        World { random: 1, begun: now, now, late: vec![], timers: vec![], spawned: vec![] }
    });
}

fn world<T>(call: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(call)
}

/// A number below this one.
pub fn random(below: usize) -> usize {
    let state = world(|world| {
        world.random ^= world.random << 13;
        world.random ^= world.random >> 7;
        world.random ^= world.random << 17;
        world.random
    });
    usize::try_from(state >> 11).unwrap() % below.max(1)
}

/// True so many times out of a hundred.
pub fn chance(percent: usize) -> bool {
    random(100) < percent
}

/// A number up to this one, and most often a small one.
pub fn few(most: usize) -> usize {
    match random(4) {
        0 => 1,
        1 => 1 + random(most.min(10)),
        2 => 1 + random(most.min(500)),
        _ => 1 + random(most),
    }
}

/// The world's own time, which passes only when nobody has anything to do.
pub fn clock() -> Clock {
    Clock::new(|| world(|world| world.now))
}

/// How much time has passed.
pub fn elapsed() -> Duration {
    world(|world| world.now - world.begun)
}

/// Whether any time has passed.
pub fn time_has_passed() -> bool {
    world(|world| world.now > world.begun)
}

#[derive(Debug, Default)]
pub struct Timer;

impl Sleep for Timer {
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        world(|world| {
            if at <= world.now {
                return Poll::Ready(());
            }
            world.timers.push((at, cx.waker().clone()));
            Poll::Pending
        })
    }
}

/// Wakes a task, now or some time later.
pub fn wake(waker: Option<Waker>) {
    let Some(waker) = waker else { return };
    if chance(50) {
        waker.wake();
    } else {
        world(|world| world.late.push(waker));
    }
}

/// Whether to make somebody wait for nothing; the wake-up is on its way.
pub fn hesitates(cx: &Context<'_>) -> bool {
    let hesitates = chance(15);
    if hesitates {
        wake(Some(cx.waker().clone()));
    }
    hesitates
}

/// Starts a task.
pub fn spawn(name: &'static str, work: impl Future<Output = ()> + 'static) {
    world(|world| world.spawned.push((name, Box::pin(work))));
}

/// Drops the future when its n-th poll was in vain.
pub async fn give_up<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => {
            left -= 1;
            if left == 0 { Poll::Ready(None) } else { Poll::Pending }
        }
    })
    .await
}

/// Gives others a turn.
pub async fn turn() {
    let mut begun = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut begun, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// More polls than any session here needs.
const STEPS: usize = 1_000_000;

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Names the seed of a world in which anything fails.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with TRUNKLINE_SEED={}", self.0);
        }
    }
}

struct Task {
    name: &'static str,
    work: Work,
    flag: Arc<Flag>,
    /// How often, out of a hundred times, it is passed over.
    lazy: usize,
}

/// Runs everything that `begin` starts, and what that starts, until all of it is done.
///
/// # Panics
///
/// When nobody can go on: somebody was not woken.
pub fn run(seed: u64, begin: impl FnOnce()) {
    let _named = Named(seed);
    world(|world| {
        let now = Instant::now();
        // Seeds that are neighbours must not begin alike, and none may be zero.
        let random = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        *world = World { random, begun: now, now, late: vec![], timers: vec![], spawned: vec![] };
    });
    for _ in 0..8 {
        random(2);
    }
    begin();
    let mut tasks: Vec<Task> = Vec::new();
    for step in 0.. {
        if step > STEPS {
            let names: Vec<_> = tasks.iter().map(|task| task.name).collect();
            panic!("seed {seed}: they turn in circles, or far too slowly: {names:?}");
        }
        for (name, work) in world(|world| std::mem::take(&mut world.spawned)) {
            let lazy = if chance(70) { 0 } else { random(95) };
            tasks.push(Task { name, work, flag: Arc::new(Flag(AtomicBool::new(true))), lazy });
        }
        if tasks.is_empty() {
            break;
        }
        if chance(30) {
            wake_somebody();
        }
        let awake = |task: &Task| task.flag.0.load(Ordering::Relaxed);
        let ready: Vec<_> = (0..tasks.len()).filter(|index| awake(&tasks[*index])).collect();
        // Now and then somebody is polled whom nobody has woken.
        let chosen = match ready.as_slice() {
            [] if wake_somebody() || pass_time() => continue,
            [] => {
                let names: Vec<_> = tasks.iter().map(|task| task.name).collect();
                panic!("seed {seed}: nobody was woken of {names:?}");
            }
            _ if chance(3) => random(tasks.len()),
            ready => ready[random(ready.len())],
        };
        if ready.len() > 1 && chance(tasks[chosen].lazy) {
            continue;
        }
        let task = &mut tasks[chosen];
        task.flag.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&task.flag));
        if task.work.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            tasks.swap_remove(chosen);
        }
    }
}

/// Lets one wake-up arrive, if any is on its way.
fn wake_somebody() -> bool {
    let count = world(|world| world.late.len());
    if count == 0 {
        return false;
    }
    let index = random(count);
    world(|world| world.late.swap_remove(index)).wake();
    true
}

/// Goes on to the next deadline, if anybody waits for one.
fn pass_time() -> bool {
    let due = world(|world| {
        let next = world.timers.iter().map(|(at, _)| *at).min()?;
        world.now = world.now.max(next);
        let (due, ahead) =
            std::mem::take(&mut world.timers).into_iter().partition(|(at, _)| *at <= next);
        world.timers = ahead;
        Some::<Vec<_>>(due)
    });
    let Some(due) = due else { return false };
    due.into_iter().for_each(|(_, waker)| waker.wake());
    true
}
