//! The pool's futures, dropped at any of their polls, leak nothing and keep nobody's place.

use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Waker};

use crate::rt::{self, PoolPolicy, Pooled as _};

use super::pool_fake::{Dialler, Ends, Fake, restless};
use super::support::{cancel_at, eventually};

/// More polls than any of these futures needs.
const POLLS: std::ops::Range<usize> = 1..8;

/// Runs a test with a future that is dropped at its first poll, its second and so on, until it is
/// ready before it is dropped: `given_up` says whether it was dropped.
async fn until_ready(mut given_up: impl AsyncFnMut(usize) -> bool) {
    // Now and then another thread has done what is waited for before the first poll.
    for _ in 0..100 {
        let mut polls = 1;
        while given_up(polls).await {
            polls += 1;
            assert!(polls < 200, "it is never ready");
        }
        if polls > 1 {
            return;
        }
    }
    panic!("it never waits");
}

fn no_time(config: &mut rt::PoolConfig) {
    (config.max_idle_time, config.health_check_interval) = (None, None);
}

#[test]
fn a_get_given_up_at_any_poll_leaves_the_dial_to_others() {
    rt::each(async || {
        for polls in POLLS {
            let dialler = Dialler::default();
            let pool = dialler.pool(no_time);
            let given_up = cancel_at(polls, restless(pool.get())).await;
            assert!(given_up.is_none(), "nothing was dialled yet");
            assert_eq!(pool.stats().waiting, 0);
            eventually("it is dialled all the same", || dialler.begun() == 1).await;
            let fake = Fake::default();
            dialler.end(0, Ends::With(fake.clone()));
            assert!(pool.get().await.unwrap().is_same(&fake));
            pool.close().await;
            assert_eq!((dialler.begun(), fake.handles()), (1, 1));
        }
    });
}

#[test]
fn a_get_given_up_at_every_poll_until_it_is_ready_leaves_nothing() {
    rt::each(async || {
        until_ready(async |polls| {
            let fake = Fake::default();
            let dialler = Dialler::with(Ends::With(fake.clone()));
            let pool = dialler.pool(no_time);
            let got = cancel_at(polls, pool.get()).await.map(|got| drop(got.unwrap()));
            assert_eq!(pool.stats().waiting, 0);
            assert!(pool.get().await.unwrap().is_same(&fake));
            pool.close().await;
            // This test's and the dialler's.
            assert_eq!((fake.handles(), dialler.begun()), (2, 1));
            got.is_none()
        })
        .await;
    });
}

#[test]
fn warm_ups_and_closes_given_up_at_every_poll_until_they_are_ready_go_on() {
    rt::each(async || {
        until_ready(async |polls| {
            let dialler = Dialler::default();
            let fakes = [(); 3].map(|()| Fake::default());
            for (number, fake) in fakes.iter().enumerate() {
                dialler.end(number, Ends::With(fake.clone()));
            }
            let pool = dialler.pool(|config| {
                no_time(config);
                config.min_size = 3;
            });
            let warmed = cancel_at(polls, pool.warm_up()).await.map(Result::unwrap);
            eventually("all are there", || pool.len() == 3).await;
            let closed = cancel_at(polls, pool.close()).await;
            pool.close().await;
            assert!(fakes.iter().all(Fake::is_closed), "one was forgotten");
            warmed.is_none() || closed.is_none()
        })
        .await;
    });
}

#[test]
fn an_open_given_up_at_any_poll_leaves_no_stream_and_no_place() {
    rt::each(async || {
        let mut finished = 0;
        for polls in POLLS {
            let fake = Fake::default();
            fake.open_slowly(3);
            let dialler = Dialler::with(Ends::With(fake.clone()));
            let pool = dialler.pool(|config| {
                no_time(config);
                (config.max_size, config.policy) = (1, PoolPolicy::LeastStreams { grow_at: 1 });
            });
            pool.warm_up().await.unwrap();
            match cancel_at(polls, restless(pool.open())).await {
                Some(stream) => {
                    drop(stream.unwrap());
                    finished += 1;
                }
                None => assert_eq!(pool.stats().total_streams, 0),
            }
            assert_eq!((fake.streams(), pool.stats().idle_connections), (0, 1), "at {polls}");
            // With a place that is kept, this one would find the connection full.
            drop(pool.open().await.unwrap());
            pool.close().await;
            // This test's and the dialler's.
            assert_eq!((fake.handles(), dialler.begun()), (2, 1));
        }
        assert!(finished > 0 && finished < POLLS.len(), "{finished}");
    });
}

#[test]
fn what_a_caller_got_that_has_given_up_goes_back() {
    rt::each(async || {
        let fake = Fake::default();
        let dialler = Dialler::default();
        let pool = dialler.pool(|config| {
            no_time(config);
            (config.max_size, config.policy) = (1, PoolPolicy::LeastStreams { grow_at: 1 });
        });
        {
            // It is given one, and never polled again.
            let mut opening = pin!(pool.open());
            let mut cx = Context::from_waker(Waker::noop());
            assert!(opening.as_mut().poll(&mut cx).is_pending());
            dialler.end(0, Ends::With(fake.clone()));
            eventually("it was given one", || pool.stats().waiting == 0 && pool.len() == 1).await;
            assert_eq!(pool.stats().idle_connections, 0, "it is meant for somebody");
        }
        assert_eq!(pool.stats().idle_connections, 1);
        pool.close().await;
        assert_eq!(fake.handles(), 1);
    });
}

#[test]
fn a_warm_up_given_up_at_any_poll_goes_on() {
    rt::each(async || {
        for polls in 1..3 {
            let dialler = Dialler::default();
            let pool = dialler.pool(|config| {
                no_time(config);
                config.min_size = 3;
            });
            assert!(cancel_at(polls, restless(pool.warm_up())).await.is_none());
            assert_eq!(pool.stats().waiting, 0);
            (0..3).for_each(|number| dialler.end(number, Ends::With(Fake::default())));
            eventually("all are there", || pool.len() == 3).await;
            pool.close().await;
        }
    });
}

#[test]
fn a_close_given_up_at_any_poll_goes_on() {
    rt::each(async || {
        for polls in 1..4 {
            let fake = Fake::default();
            fake.close_slowly();
            let dialler = Dialler::with(Ends::With(fake.clone()));
            let pool = dialler.pool(no_time);
            drop(pool.open().await.unwrap());
            assert!(cancel_at(polls, restless(pool.close())).await.is_none());
            eventually("it is being closed", || fake.is_closed()).await;
            fake.let_close();
            pool.close().await;
            // This test's and the dialler's.
            assert_eq!(fake.handles(), 2);
        }
    });
}

#[test]
fn many_callers_on_connections_that_die_leave_nothing() {
    rt::each(async || {
        let dialler = Dialler::default();
        let pool = dialler.pool(|config| {
            config.first_backoff = std::time::Duration::from_millis(1);
            (config.max_size, config.policy) = (4, PoolPolicy::LeastStreams { grow_at: 8 });
        });
        let fakes: Vec<_> = (0..2_000).map(|_| Fake::default()).collect();
        for (number, fake) in fakes.iter().enumerate() {
            fake.open_slowly(number % 3);
            let ends = match number % 5 {
                4 => Ends::Failing(std::io::ErrorKind::ConnectionRefused),
                _ => Ends::With(fake.clone()),
            };
            dialler.end(number, ends);
        }
        let callers: Vec<_> = (0..40)
            .map(|caller: usize| {
                let pool = pool.clone();
                rt::spawn(async move {
                    let mut opened = 0;
                    for turn in 0..25 {
                        let polls = 1 + (caller + turn) % 9;
                        if let Some(Ok(stream)) = cancel_at(polls, restless(pool.open())).await {
                            opened += 1;
                            if (caller + turn).is_multiple_of(11) {
                                stream.connection().die();
                            }
                        }
                    }
                    opened
                })
            })
            .collect();
        let mut opened = 0;
        for caller in callers {
            opened += caller.await;
        }
        assert!(opened > 0);
        assert_eq!(pool.stats().total_streams, opened);
        assert!(pool.len() <= 4 && pool.stats().waiting == 0);
        pool.close().await;
        assert_eq!(dialler.under_way(), 0);
        assert!(fakes.iter().all(|fake| fake.streams() == 0));
        drop((pool, dialler));
        eventually("nobody holds any", || fakes.iter().all(|fake| fake.handles() == 1)).await;
    });
}
