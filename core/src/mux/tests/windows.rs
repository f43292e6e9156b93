//! Windows over a simulated link: do they fill it, and do they stay small where they may?
//!
//! Arithmetic alone, over millions of frames: Miri has nothing to look for here.
#![cfg(not(miri))]

use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;

use crate::Instant;
use crate::mux::parts::{Pressure, Slot, Taken, Tuner, Window, WindowRule};

const SLOT: Slot = Slot(0);

/// How a wire says a grant.
#[derive(Clone, Copy, PartialEq)]
enum Wire {
    /// As an increment; pings measure the way (yamux, wormhole).
    Pings,
    /// As a total of what was read and the window; no pings, and the sender first believes in
    /// 256 KiB (smux 2).
    Totals,
}

/// A link, a sender that always has more, and a reader that takes what comes.
struct Link {
    wire: Wire,
    /// Bytes a second.
    rate: u64,
    /// One way.
    delay: Duration,
    /// How long data lies before the reader takes it.
    pause: Duration,
    frame: u32,
}

#[derive(Debug)]
enum Event {
    Arrive(u32),
    Read,
    Grant { more: u32, total: Option<u64> },
    Ping,
    Pong(Instant),
}

struct Run {
    received_by: BTreeMap<u64, u64>,
    received: u64,
    size: u32,
    most_in_flight: u64,
}

impl Link {
    fn run(&self, tuner: &mut Tuner, window: &mut Window, millis: u64) -> Run {
        let mut events: BTreeMap<(Instant, u64), Event> = BTreeMap::new();
        let mut number = 0;
        let mut at = |events: &mut BTreeMap<(Instant, u64), Event>, when: Instant, event| {
            number += 1;
            events.insert((when, number), event);
        };
        let end = Instant::ORIGIN + Duration::from_millis(millis);
        let (mut now, mut free_at) = (Instant::ORIGIN, Instant::ORIGIN);
        let (mut sent, mut limit) = (0_u64, 256 << 10_u64);
        let mut run = Run { received_by: BTreeMap::new(), received: 0, size: 0, most_in_flight: 0 };
        let (mut read, mut since, mut waiting) = (0_u64, Instant::ORIGIN, false);
        loop {
            // The sender: one frame after the other, as credit allows.
            while sent < limit && free_at <= now {
                let len = (limit - sent).min(u64::from(self.frame));
                let took = Duration::from_nanos(len * 1_000_000_000 / self.rate);
                free_at = now.max(free_at) + took;
                sent += len;
                at(&mut events, free_at + self.delay, Event::Arrive(len as u32));
            }
            run.most_in_flight = run.most_in_flight.max(sent - read);
            let next = events.keys().next().map(|key| key.0);
            let wake = (sent < limit).then_some(free_at);
            let Some(when) = next.into_iter().chain(wake).min() else { break };
            now = when;
            if now > end {
                break;
            }
            let Some(entry) = events.first_entry().filter(|entry| entry.key().0 <= now) else {
                continue;
            };
            match entry.remove() {
                Event::Arrive(len) => {
                    run.received += u64::from(len);
                    run.received_by.insert(now.as_nanos() / 1_000_000, run.received);
                    window.receive_any(now, tuner, SLOT, len);
                    if !waiting {
                        (since, waiting) = (now, true);
                        at(&mut events, now + self.pause, Event::Read);
                    }
                }
                Event::Read => {
                    waiting = false;
                    // In pieces, as a reader takes them.
                    while read < run.received {
                        let len = (run.received - read).min(u64::from(self.frame));
                        read += len;
                        let bytes = Bytes::from_static(&[0; 1 << 20]).slice(..len as usize);
                        let unread = (run.received - read) as usize;
                        let taken = Taken { bytes, since, unread, pressure: Pressure::Free };
                        let grant = window.read(now, tuner, &taken);
                        let first = self.wire == Wire::Totals && read == len;
                        if grant.is_some() || first {
                            let (mut more, mut total) = (0, None);
                            if self.wire == Wire::Totals {
                                let window = window.announce(now, tuner, SLOT, unread);
                                total = Some(read + u64::from(window));
                            } else {
                                more = window.grant(now, tuner, SLOT);
                            }
                            at(&mut events, now + self.delay, Event::Grant { more, total });
                        }
                    }
                    if tuner.take_probe() {
                        at(&mut events, now + self.delay, Event::Ping);
                        at(&mut events, now + self.delay * 2, Event::Pong(now));
                    }
                }
                Event::Grant { more, total } => {
                    limit = total.unwrap_or(limit + u64::from(more)).max(sent);
                    free_at = free_at.max(now);
                }
                Event::Ping => {}
                Event::Pong(asked) => {
                    tuner.round_trip.sample(now, now.saturating_since(asked));
                }
            }
        }
        run.size = window.size();
        run
    }
}

impl Run {
    fn before(&self, at: Duration) -> u64 {
        let millis = u64::try_from(at.as_millis()).unwrap();
        self.received_by.range(..=millis).next_back().map_or(0, |(_, bytes)| *bytes)
    }
}

fn rule(wire: Wire, initial: u32) -> WindowRule {
    let rule = WindowRule::new(initial, 16 << 20);
    if wire == Wire::Totals { rule.without_pings() } else { rule }
}

/// The long link of the goals: 1 Gbit/s, 50 ms there and back.
fn long(wire: Wire, frame: u32) -> Link {
    Link { wire, rate: 125_000_000, delay: Duration::from_millis(25), pause: Duration::ZERO, frame }
}

fn fills_the_long_link(wire: Wire, initial: u32, frame: u32) {
    let rule = rule(wire, initial);
    let mut tuner = Tuner::new(rule, 32 << 20);
    let mut window = Window::new(rule.initial).believed(256 << 10);
    let link = long(wire, frame);
    let run = link.run(&mut tuner, &mut window, 6_000);
    let ideal = link.rate * 6 - link.rate / 40;
    let last = run.received - run.before(Duration::from_millis(4_500));
    let share = run.received * 1_000 / ideal;
    let late = last * 1_000 / (link.rate * 3 / 2);
    assert!(share >= 950, "{share} of 1000 with frames of {frame}");
    assert!(late >= 990, "{late} of 1000 in the last quarter");
    assert!(run.size <= 16 << 20);
}

#[test]
fn a_window_of_256_kib_grows_until_a_long_link_is_full() {
    for frame in [32 << 10, 256 << 10] {
        fills_the_long_link(Wire::Pings, 256 << 10, frame);
    }
}

#[test]
fn without_pings_the_time_between_a_grant_and_its_data_tells_the_way() {
    for frame in [32 << 10, 65_535] {
        fills_the_long_link(Wire::Totals, 256 << 10, frame);
    }
    for frame in [32 << 10, 65_535] {
        fills_the_long_link(Wire::Totals, 64 << 10, frame);
    }
}

#[test]
fn a_near_link_keeps_its_window_however_fast_it_is() {
    for wire in [Wire::Pings, Wire::Totals] {
        for (rate, micros) in [(8_000_000_000, 20), (4_000_000_000, 50), (125_000_000, 150)] {
            let delay = Duration::from_micros(micros);
            let link = Link { wire, rate, delay, pause: Duration::ZERO, frame: 32 << 10 };
            let rule = rule(wire, 256 << 10);
            let (mut tuner, mut window) = (Tuner::new(rule, 32 << 20), Window::new(rule.initial));
            let run = link.run(&mut tuner, &mut window, 50);
            assert_eq!(run.size, 256 << 10, "{rate} bytes a second, {micros} us");
            assert!(run.most_in_flight <= 256 << 10);
        }
    }
}

#[test]
fn a_slow_reader_keeps_its_window_however_long_the_link_is() {
    for wire in [Wire::Pings, Wire::Totals] {
        let link = Link { pause: Duration::from_secs(1), ..long(wire, 32 << 10) };
        let rule = rule(wire, 256 << 10);
        let (mut tuner, mut window) = (Tuner::new(rule, 32 << 20), Window::new(rule.initial));
        tuner.round_trip.sample(Instant::ORIGIN, Duration::from_millis(50));
        let run = link.run(&mut tuner, &mut window, 20_000);
        assert_eq!(run.size, 256 << 10);
        assert!(run.received > 1 << 20);
    }
}

#[test]
fn all_windows_together_grow_by_no_more_than_their_bound() {
    let rule = rule(Wire::Pings, 256 << 10);
    let mut tuner = Tuner::new(rule, 1 << 20);
    let mut window = Window::new(rule.initial);
    long(Wire::Pings, 32 << 10).run(&mut tuner, &mut window, 1_000);
    assert_eq!(tuner.grown(), 1 << 20);
    assert_eq!(window.size(), (1 << 20) + (256 << 10));
    let mut other = Window::new(rule.initial);
    long(Wire::Pings, 32 << 10).run(&mut tuner, &mut other, 1_000);
    assert_eq!(other.size(), 256 << 10);
    window.end(&mut tuner);
    assert_eq!(tuner.grown(), 0);
}

#[test]
fn an_idle_window_runs_down_to_its_start_and_grows_again() {
    let rule = rule(Wire::Pings, 256 << 10);
    let (mut tuner, mut window) = (Tuner::new(rule, 32 << 20), Window::new(rule.initial));
    long(Wire::Pings, 32 << 10).run(&mut tuner, &mut window, 1_000);
    assert!(window.size() > 4 << 20);
    let mut later = Instant::ORIGIN + Duration::from_secs(60);
    let mut grants = 0;
    // A trickle: nothing is granted until what was granted before has run down.
    while window.granted() > 100 << 10 {
        later = later + Duration::from_millis(1);
        assert!(window.receive(later, &mut tuner, SLOT, 1_000));
        let bytes = Bytes::from_static(&[0; 1_000]);
        let taken = Taken { bytes, since: later, unread: 0, pressure: Pressure::Free };
        if window.read(later, &mut tuner, &taken).is_some() {
            window.grant(later, &mut tuner, SLOT);
            grants += 1;
            break;
        }
    }
    assert_eq!(grants, 1);
    assert_eq!(window.size(), 256 << 10);
    assert_eq!(window.granted(), 256 << 10);
    assert_eq!(tuner.grown(), 0);
}

#[test]
fn grants_follow_the_half_window_rule_of_the_original() {
    let rule = rule(Wire::Pings, 262_144).fixed();
    let (mut tuner, mut window) = (Tuner::new(rule, 0), Window::new(rule.initial));
    let now = Instant::ORIGIN;
    assert!(window.receive(now, &mut tuner, SLOT, 262_144));
    assert!(!window.receive(now, &mut tuner, SLOT, 1));
    let mut read = |len: usize, unread| {
        let bytes = Bytes::from_static(&[0; 262_144]).slice(..len);
        let taken = Taken { bytes, since: now, unread, pressure: Pressure::Free };
        window.read(now, &mut tuner, &taken)?;
        Some(window.grant(now, &mut tuner, SLOT))
    };
    assert_eq!(read(131_071, 131_073), None);
    assert_eq!(read(1, 131_072), Some(131_072));
    assert_eq!(read(131_071, 1), None);
    assert_eq!(read(1, 0), Some(131_072));
}
