//! Connections on which nobody has been let in yet: some at a time, and not for long.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use super::limit::network;

/// How long a connection may go on without anybody being let in: the page and a login by hand have
/// room in it, and what a browser finds closed it opens anew.
const STAY: Duration = Duration::from_secs(60);

/// Half of the descriptors are for guests at most, when the system does not say how many there are.
const UNKNOWN: u64 = 1024;

/// Counts guests, and turns away those that are too many.
#[derive(Debug)]
pub(super) struct Guests {
    counts: Mutex<BTreeMap<IpAddr, usize>>,
    most: usize,
    most_of_one: usize,
}

/// One connection. It counts until somebody is let in on it, or it is dropped.
#[derive(Debug)]
pub(super) struct Guest {
    guests: Arc<Guests>,
    from: IpAddr,
    is_in: AtomicBool,
}

impl Guests {
    /// At most half of this process's descriptors, and of one address an eighth; addresses that stand
    /// for many (`is_proxied`), and this machine's own, have no bound of their own.
    pub(super) fn new(is_proxied: bool) -> Arc<Self> {
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(UNKNOWN);
        let most = usize::try_from(descriptors / 2).unwrap_or(usize::MAX).max(16);
        Self::bounded(most, if is_proxied { most } else { most / 4 })
    }

    fn bounded(most: usize, most_of_one: usize) -> Arc<Self> {
        Arc::new(Self { counts: Mutex::default(), most, most_of_one })
    }

    /// Takes a connection in; `None` when there are too many.
    pub(super) fn take(self: &Arc<Self>, from: IpAddr) -> Option<Arc<Guest>> {
        let from = network(from);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, own) = (counts.values().sum::<usize>(), counts.get(&from).copied());
        let own = own.unwrap_or_default();
        if all >= self.most || (own >= self.most_of_one && !from.is_loopback()) {
            return None;
        }
        counts.insert(from, own + 1);
        Some(Arc::new(Guest { guests: Arc::clone(self), from, is_in: AtomicBool::new(false) }))
    }

    fn leave(&self, from: IpAddr) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&from) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&from);
            }
        }
    }
}

impl Guest {
    /// Somebody was let in: it counts no more, and may stay.
    pub(super) fn let_in(&self) {
        if !self.is_in.swap(true, Ordering::Relaxed) {
            self.guests.leave(self.from);
        }
    }

    /// Ready when it has stayed too long without that.
    pub(super) async fn overdue(&self) {
        tokio::time::sleep(STAY).await;
        if self.is_in.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.let_in();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_bounded_and_who_is_let_in_is_none() {
        let guests = Guests::bounded(4, 2);
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let first = guests.take(one).unwrap();
        let second = guests.take(one).unwrap();
        assert!(guests.take(one).is_none(), "others have room too");
        first.let_in();
        first.let_in();
        let third = guests.take(one).unwrap();
        assert!(guests.take(one).is_none());
        let rest = [guests.take(other).unwrap(), guests.take(other).unwrap()];
        assert!(guests.take(IpAddr::from([127, 0, 0, 1])).is_none(), "all of them are bounded");
        drop((first, second, third, rest));
        assert!(guests.counts.lock().unwrap().is_empty());
        let own: Vec<_> = (0..4).map(|_| guests.take(IpAddr::from([127, 0, 0, 1]))).collect();
        assert!(own.iter().all(Option::is_some), "this machine's own have no bound of their own");
    }
}
