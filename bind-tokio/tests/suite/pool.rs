//! The pool, over connections that do as a test says.

use std::future::Future as _;
use std::io;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use crate::rt::{self, Pool, PoolError, PoolPolicy, Pooled as _};

use super::pool_fake::{Dialler, Ends, Fake};
use super::support::{eventually, turn};

const SOON: Option<Duration> = Some(Duration::from_millis(10));

fn pool_error(error: &io::Error) -> &PoolError {
    PoolError::of(error).unwrap_or_else(|| panic!("not the pool's: {error:?}"))
}

#[test]
fn one_connection_is_dialled_and_shared() {
    rt::each(async || {
        let fake = Fake::default();
        let dialler = Dialler::with(Ends::With(fake.clone()));
        let pool = dialler.pool(|_| ());
        assert_eq!((pool.len(), dialler.begun()), (0, 0));
        for _ in 0..10 {
            assert!(pool.get().await.unwrap().is_same(&fake));
        }
        let streams = [pool.open().await.unwrap(), pool.open().await.unwrap()];
        assert!(streams.iter().all(|stream| stream.connection().is_same(&fake)));
        let stats = pool.stats();
        assert_eq!((stats.total_connections, stats.active_connections), (1, 1));
        assert_eq!((stats.idle_connections, stats.total_streams), (0, 2));
        drop(streams);
        assert_eq!(pool.stats().idle_connections, 1);
        assert_eq!(dialler.begun(), 1);
    });
}

#[test]
fn callers_beyond_the_largest_size_wait_for_the_dials_under_way() {
    rt::each(async || {
        let dialler = Dialler::default();
        let pool = dialler.pool(|config| config.max_size = 2);
        let callers: Vec<_> = (0..6)
            .map(|_| {
                let pool = pool.clone();
                rt::spawn(async move { pool.get().await.unwrap() })
            })
            .collect();
        eventually("six wait", || pool.stats().waiting == 6).await;
        eventually("two are dialled", || dialler.begun() == 2).await;
        let (first, second) = (Fake::default(), Fake::default());
        dialler.end(1, Ends::With(first.clone()));
        for caller in callers {
            assert!(caller.await.is_same(&first));
        }
        dialler.end(0, Ends::With(second));
        eventually("both are kept", || pool.len() == 2).await;
        assert_eq!((dialler.begun(), pool.stats().waiting), (2, 0));
    });
}

#[test]
fn a_dial_that_fails_is_told_to_all_who_wait() {
    rt::each(async || {
        let dialler = Dialler::default();
        let pool = dialler.pool(|config| config.max_size = 1);
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let pool = pool.clone();
                rt::spawn(async move { pool.open().await.unwrap_err() })
            })
            .collect();
        eventually("three wait", || pool.stats().waiting == 3).await;
        dialler.end(0, Ends::Failing(io::ErrorKind::ConnectionRefused));
        for caller in callers {
            let error = caller.await;
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
            assert!(matches!(pool_error(&error), PoolError::Dial(_)));
            assert!(error.to_string().starts_with("no connection could be made: "), "{error}");
        }
        // Behind the pause it is dialled again.
        dialler.end(1, Ends::With(Fake::default()));
        pool.get().await.unwrap();
        assert_eq!((pool.stats().failed_connections, dialler.begun()), (1, 2));
    });
}

#[test]
fn a_dial_that_takes_too_long_is_dropped() {
    rt::each(async || {
        let dialler = Dialler::default();
        let pool = dialler.pool(|config| config.connect_timeout = SOON);
        let error = pool.get().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(matches!(pool_error(&error), PoolError::TimedOut));
        eventually("it is dropped", || dialler.under_way() == 0).await;
        assert_eq!(pool.stats().failed_connections, 1);
    });
}

#[test]
fn a_dial_that_panics_is_one_that_failed() {
    rt::each(async || {
        let dialler = Dialler::default();
        let pool = dialler.pool(|_| ());
        dialler.end(0, Ends::Panicking);
        let error = pool.get().await.unwrap_err();
        assert!(matches!(pool_error(&error), PoolError::Dial(_)), "{error}");
        dialler.end(1, Ends::With(Fake::default()));
        pool.get().await.unwrap();
        pool.close().await;
    });
}

#[test]
fn a_dial_that_succeeds_although_the_pool_was_closed_is_closed_too() {
    rt::each(async || {
        let fake = Fake::default();
        let late = fake.clone();
        let (tell, told) = std::sync::mpsc::sync_channel::<Pool<Fake>>(1);
        let told = std::sync::Mutex::new(told);
        // It ends in the very poll in which the pool is closed.
        let pool = Pool::new(Default::default(), move || {
            let pool = told.lock().unwrap().recv().unwrap();
            let late = late.clone();
            async move {
                let mut cx = Context::from_waker(Waker::noop());
                let _ = pin!(pool.close()).as_mut().poll(&mut cx);
                Ok(late)
            }
        });
        tell.send(pool.clone()).unwrap();
        let error = pool.get().await.expect_err("the pool was closed");
        assert!(matches!(pool_error(&error), PoolError::Closed));
        pool.close().await;
        assert!(fake.is_closed());
        assert_eq!((pool.len(), pool.stats().total_connections), (0, 0));
    });
}

#[test]
fn open_tries_once_more_when_the_connection_had_died() {
    rt::each(async || {
        let dialler = Dialler::default();
        let pool = dialler.pool(|_| ());
        let fakes = [Fake::default(), Fake::default(), Fake::default()];
        for (number, fake) in fakes.iter().enumerate() {
            dialler.end(number, Ends::With(fake.clone()));
        }
        fakes[0].fail(&[true]);
        let stream = pool.open().await.unwrap();
        assert!(stream.connection().is_same(&fakes[1]));
        // Twice in a row is told.
        fakes[1].fail(&[true]);
        fakes[2].fail(&[true]);
        let error = pool.open().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!((pool.len(), pool.stats().total_streams, dialler.begun()), (0, 1, 3));
    });
}

#[test]
fn open_that_fails_on_a_live_connection_is_told_at_once_and_keeps_it() {
    rt::each(async || {
        let fake = Fake::default();
        let dialler = Dialler::with(Ends::With(fake.clone()));
        let pool = dialler.pool(|_| ());
        fake.fail(&[false]);
        assert_eq!(pool.open().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert!(pool.open().await.unwrap().connection().is_same(&fake));
        assert_eq!(dialler.begun(), 1);
    });
}

#[test]
fn a_connection_that_ended_is_not_given_out_and_counts_for_nothing() {
    rt::each(async || {
        let dialler = Dialler::default();
        let pool = dialler.pool(|config| config.health_check_interval = SOON);
        let (first, second) = (Fake::default(), Fake::default());
        dialler.end(0, Ends::With(first.clone()));
        dialler.end(1, Ends::With(second.clone()));
        pool.get().await.unwrap();
        first.die();
        assert_eq!((pool.len(), pool.is_empty(), pool.stats().idle_connections), (0, true, 0));
        eventually("a health check finds it", || pool.stats().health_check_failures == 1).await;
        assert_eq!(first.handles(), 1, "the pool still holds it");
        assert!(pool.get().await.unwrap().is_same(&second));
    });
}

#[test]
fn connections_that_nobody_uses_are_closed_in_order_down_to_the_smallest_size() {
    rt::each(async || {
        let dialler = Dialler::default();
        let pool = dialler.pool(|config| {
            (config.max_idle_time, config.min_size) = (Some(Duration::from_millis(40)), 3);
        });
        let fakes = [Fake::default(), Fake::default(), Fake::default()];
        for (number, fake) in fakes.iter().enumerate() {
            dialler.end(number, Ends::With(fake.clone()));
        }
        pool.warm_up().await.unwrap();
        assert_eq!(pool.len(), 3);
        pool.warm_up().await.unwrap();
        assert_eq!(dialler.begun(), 3);

        let dialler = Dialler::default();
        let pool = dialler.pool(|config| {
            let grow = PoolPolicy::LeastStreams { grow_at: 1 };
            (config.max_idle_time, config.policy) = (Some(Duration::from_millis(40)), grow);
        });
        let fakes = [Fake::default(), Fake::default()];
        for (number, fake) in fakes.iter().enumerate() {
            dialler.end(number, Ends::With(fake.clone()));
        }
        let streams = (pool.open().await.unwrap(), pool.open().await.unwrap());
        assert_eq!(pool.len(), 2);
        let kept = streams.1.connection().clone();
        drop(streams.0);
        eventually("one of them is closed", || pool.len() == 1).await;
        assert!(!kept.is_closed(), "it has a stream");
        drop(streams.1);
        // The smallest size stays.
        assert!(pool.get().await.unwrap().is_same(&kept));
    });
}

#[test]
fn put_of_a_foreign_connection_is_ignored() {
    rt::each(async || {
        let fake = Fake::default();
        let pool = Dialler::with(Ends::With(fake.clone())).pool(|_| ());
        let held = pool.get().await.unwrap();
        pool.put(&held);
        pool.put(&Fake::default());
        fake.die();
        pool.put(&held);
        pool.close().await;
        pool.put(&held);
        assert_eq!(pool.len(), 0);
    });
}

#[test]
fn a_warm_up_ends_with_the_first_error() {
    rt::each(async || {
        let dialler = Dialler::default();
        let pool = dialler.pool(|config| config.min_size = 2);
        dialler.end(0, Ends::Failing(io::ErrorKind::AddrNotAvailable));
        let error = pool.warm_up().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        dialler.end(1, Ends::With(Fake::default()));
        eventually("the other one is kept", || pool.len() == 1).await;
        pool.close().await;
        assert!(matches!(pool_error(&pool.warm_up().await.unwrap_err()), PoolError::Closed));
        assert_eq!(dialler.begun(), 2);
    });
}

#[test]
fn a_pool_that_may_have_no_connection_is_exhausted() {
    rt::each(async || {
        let dialler = Dialler::default();
        let pool = dialler.pool(|config| config.max_size = 0);
        for error in [pool.get().await.unwrap_err(), pool.open().await.unwrap_err()] {
            assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
            assert!(matches!(pool_error(&error), PoolError::Exhausted));
        }
    });
}

#[test]
fn close_waits_until_every_connection_is_closed_in_order() {
    rt::each(async || {
        let fake = Fake::default();
        let dialler = Dialler::with(Ends::With(fake.clone()));
        let pool = dialler.pool(|_| ());
        let stream = pool.open().await.unwrap();
        fake.close_slowly();
        let closing = rt::spawn({
            let pool = pool.clone();
            async move { pool.close().await }
        });
        eventually("it is being closed", || fake.is_closed()).await;
        let mut again = pin!(pool.close());
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..10 {
            assert!(again.as_mut().poll(&mut cx).is_pending());
            turn().await;
        }
        fake.let_close();
        closing.await;
        again.await;
        assert!(matches!(pool_error(&pool.get().await.unwrap_err()), PoolError::Closed));
        drop(stream);
        assert_eq!((pool.is_closed(), fake.handles()), (true, 2));
    });
}

#[test]
fn close_refuses_who_waits_and_drops_the_dials() {
    rt::each(async || {
        let dialler = Dialler::default();
        let pool = dialler.pool(|config| config.min_size = 2);
        let waiting = rt::spawn({
            let pool = pool.clone();
            async move { (pool.get().await.unwrap_err(), pool.warm_up().await.unwrap_err()) }
        });
        eventually("it is dialled", || dialler.begun() == 1).await;
        pool.close().await;
        assert_eq!(dialler.under_way(), 0);
        let (get, warm_up) = waiting.await;
        assert!(matches!(pool_error(&get), PoolError::Closed));
        assert!(matches!(pool_error(&warm_up), PoolError::Closed));
    });
}

#[test]
fn the_last_handle_takes_its_connections_and_dials_along_but_not_those_of_others() {
    rt::each(async || {
        let dialler = Dialler::default();
        let pool = dialler.pool(|config| config.policy = PoolPolicy::LeastStreams { grow_at: 1 });
        let fake = Fake::default();
        dialler.end(0, Ends::With(fake.clone()));
        let stream = pool.open().await.unwrap();
        let waiting = rt::spawn({
            let pool = pool.clone();
            async move { pool.open().await.map(drop) }
        });
        eventually("another is dialled", || dialler.begun() == 2).await;
        drop(waiting);
        drop(pool);
        eventually("the dial is dropped", || dialler.under_way() == 0).await;
        // What is left are the stream's and this test's.
        eventually("the pool holds it no more", || fake.handles() == 2).await;
        assert!(!fake.is_closed());
        drop(stream);
    });
}

#[test]
fn callers_are_spread_over_connections_by_their_streams() {
    rt::each(async || {
        let dialler = Dialler::default();
        let pool = dialler.pool(|config| {
            (config.max_size, config.policy) = (3, PoolPolicy::LeastStreams { grow_at: 2 });
        });
        let fakes: Vec<_> = (0..3).map(|_| Fake::default()).collect();
        for (number, fake) in fakes.iter().enumerate() {
            // Several callers are in the middle of opening at the same time.
            fake.open_slowly(3);
            dialler.end(number, Ends::With(fake.clone()));
        }
        let opening: Vec<_> = (0..6)
            .map(|_| {
                let pool = pool.clone();
                rt::spawn(async move { pool.open().await.unwrap() })
            })
            .collect();
        let mut streams = Vec::new();
        for opening in opening {
            streams.push(opening.await);
        }
        let counts: Vec<_> = fakes.iter().map(|fake| fake.streams()).collect();
        assert_eq!(counts, [2, 2, 2]);
        // At its largest size it shares.
        let seventh = pool.open().await.unwrap();
        assert_eq!(seventh.connection().streams(), 3);
    });
}
