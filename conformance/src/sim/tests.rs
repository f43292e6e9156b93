use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use trunkline_core::{CloseReason, Direction, Instant, Machine, Segment};

use super::*;

/// Sends back what it gets, and leaves when the other side has.
#[derive(Debug, Default)]
struct Echo {
    queue: VecDeque<Bytes>,
    /// Reads no more while so many pieces wait.
    most: usize,
    closed: Option<CloseReason>,
    times: Vec<Instant>,
}

impl Machine for Echo {
    type Input = Bytes;
    type Output = Segment;
    type Event = ();

    fn handle_input(&mut self, now: Instant, input: Bytes) {
        self.times.push(now);
        self.queue.push_back(input);
    }
    fn handle_eof(&mut self, _: Instant) {
        self.closed = Some(CloseReason::Eof { mid_frame: false });
    }
    fn handle_failure(&mut self, _: Instant, _: Direction, os_error: Option<i32>) {
        self.closed = Some(CloseReason::Transport { os_error });
    }
    fn handle_timeout(&mut self, _: Instant) {}
    fn wants_input(&self) -> bool {
        self.closed.is_none() && self.queue.len() <= self.most
    }
    fn poll_transmit(&mut self, _: Instant) -> Option<Segment> {
        self.queue.pop_front().map(Segment::whole)
    }
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    fn poll_event(&mut self) -> Option<()> {
        None
    }
    fn closed(&self) -> Option<&CloseReason> {
        self.closed.as_ref()
    }
}

/// Wakes at once, for ever.
#[derive(Debug, Default)]
struct Restless;

impl Machine for Restless {
    type Input = Bytes;
    type Output = Segment;
    type Event = ();

    fn handle_input(&mut self, _: Instant, _: Bytes) {}
    fn handle_eof(&mut self, _: Instant) {}
    fn handle_failure(&mut self, _: Instant, _: Direction, _: Option<i32>) {}
    fn handle_timeout(&mut self, _: Instant) {}
    fn wants_input(&self) -> bool {
        true
    }
    fn poll_transmit(&mut self, _: Instant) -> Option<Segment> {
        None
    }
    fn poll_timeout(&self) -> Option<Instant> {
        Some(Instant::ORIGIN)
    }
    fn poll_event(&mut self) -> Option<()> {
        None
    }
    fn closed(&self) -> Option<&CloseReason> {
        None
    }
}

#[test]
fn what_is_echoed_comes_back_whole_over_any_link() {
    seeds(200, |rng| {
        let text = rng.bytes(3_000);
        let script = Script::new().send(text.clone()).after(text.len()).end();
        let mut pair = Pair::random(Echo { most: 3, ..Echo::default() }, script, rng);
        pair.run(|_| false).map_err(|stuck| stuck.to_string())?;
        if pair.b.heard() != text || pair.a.closed().is_none() {
            return Err(format!("{} bytes came back; {}", pair.b.heard().len(), pair.trace));
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn the_same_seed_does_the_same_again() {
    let run = |seed| {
        let mut rng = Rng::new(seed);
        let script = Script::new().send(vec![7; 9_000]).after(9_000).end();
        let mut pair = Pair::random(Echo::default(), script, &mut rng);
        pair.trace.keep(usize::MAX);
        pair.run(|_| false).unwrap();
        pair.trace.to_string()
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
fn time_jumps_to_what_happens_next() {
    let hour = Duration::from_secs(3_600);
    let script = Script::new().pause(hour).send("a").after(1).pause(hour).send("b").after(2).end();
    let mut pair = Pair::new(Echo::default(), script);
    pair.run(|_| false).unwrap();
    assert_eq!(pair.a.times, [Instant::ORIGIN + hour, Instant::ORIGIN + hour + hour]);
    assert_eq!((pair.now(), pair.b.heard()), (Instant::ORIGIN + hour + hour, &b"ab"[..]));
}

#[test]
fn what_waits_in_vain_is_noticed_and_told_with_what_happened() {
    let mut pair = Pair::new(Echo::default(), Script::new().send("ab").after(3));
    let stuck = pair.run_until(|_| false, |pair| pair.b.heard().len() == 3).unwrap_err();
    assert_eq!(stuck.why, Why::Idle);
    assert!(stuck.to_string().contains("A: 2 bytes arrive"), "{stuck}");
    pair.run_until(|_| false, |pair| pair.b.heard() == b"ab").unwrap();
}

#[test]
fn what_runs_in_circles_is_noticed() {
    let mut pair = Pair::new(Restless, Script::new());
    assert_eq!(pair.run(|_| false).unwrap_err().why, Why::Circles);
    let mut pair = Pair::new(Echo::default(), Script::new());
    assert_eq!(pair.run(|_| true).unwrap_err().why, Why::Circles);
}

#[test]
fn what_goes_on_for_ever_is_noticed() {
    let mut pair = Pair::new(Echo::default(), Script::new());
    let again = |pair: &mut Pair<Echo, Script>| {
        let next = pair.now() + Duration::from_secs(60);
        pair.wake_at(next);
        false
    };
    assert_eq!(pair.run(again).unwrap_err().why, Why::Horizon);
}

#[test]
fn a_machine_that_wants_no_input_holds_its_peer_back() {
    let script = Script::new().send(vec![1; 100]).send(vec![2; 100]);
    let mut pair = Pair::new(Echo::default(), script);
    (pair.there.shape.room, pair.back.shape.room) = (30, 50);
    pair.there.fault(0, Fault::Stall(None));
    pair.run(|_| false).unwrap();
    // It has 20 bytes of one piece and the whole next one: 30 under way there, 50 back.
    assert_eq!((pair.there.held(), pair.back.held(), pair.back.taken()), (30, 50, 150));
    pair.there.resume();
    pair.run(|_| false).unwrap();
    assert_eq!(pair.b.heard().len(), 200);
}

#[test]
fn both_ends_see_a_reset_and_what_came_before_it() {
    let mut pair = Pair::new(Echo::default(), Script::new().send("abc").after(2).send("def"));
    pair.there.fault(2, Fault::Reset);
    pair.run(|_| false).unwrap();
    assert_eq!((pair.b.heard(), pair.b.saw_failure(), pair.b.saw_end()), (&b"ab"[..], true, false));
    let script = Script::new().send("abc").pause(Duration::from_secs(1)).send("def");
    let mut pair = Pair::new(Echo::default(), script);
    pair.there.fault(2, Fault::Reset);
    pair.run(|_| false).unwrap();
    assert_eq!(pair.a.closed(), Some(&CloseReason::Transport { os_error: Some(104) }));
}

#[test]
fn a_wrong_clock_is_what_its_machine_sees_and_nobody_else() {
    let hour = Duration::from_secs(3_600);
    let mut pair = Pair::new(Echo::default(), Script::new().send("a").pause(hour).send("b"));
    pair.clock_a.forward(hour);
    pair.run(|_| false).unwrap();
    assert_eq!(pair.a.times, [Instant::ORIGIN + hour, Instant::ORIGIN + hour + hour]);
    assert_eq!(pair.now(), Instant::ORIGIN + hour);
}

#[test]
fn a_run_for_some_time_ends_at_that_time() {
    let mut pair = Pair::new(Echo::default(), Script::new());
    pair.run_for(Duration::from_secs(90), |_| false).unwrap();
    assert_eq!(pair.now(), Instant::from_millis(90_000));
}

/// A message, which no link cuts.
#[derive(Clone, Debug, PartialEq)]
struct Message(&'static str);

impl Freight for Message {
    const CUTS: bool = false;

    fn size(&self) -> usize {
        self.0.len()
    }
    fn cut(&mut self, _: usize) -> Self {
        self.clone()
    }
    fn join(mut pieces: Vec<Self>) -> Self {
        pieces.remove(0)
    }
}

impl Outgoing for Message {
    type Freight = Self;

    fn load(self) -> Self {
        self
    }
}

/// A machine of messages.
#[derive(Debug, Default)]
struct Talker {
    say: VecDeque<Message>,
    heard: Vec<Message>,
    failed: bool,
}

impl Machine for Talker {
    type Input = Message;
    type Output = Message;
    type Event = ();

    fn handle_input(&mut self, _: Instant, input: Message) {
        self.heard.push(input);
    }
    fn handle_eof(&mut self, _: Instant) {
        self.failed = true;
    }
    fn handle_failure(&mut self, _: Instant, _: Direction, _: Option<i32>) {
        self.failed = true;
    }
    fn handle_timeout(&mut self, _: Instant) {}
    fn wants_input(&self) -> bool {
        !self.failed
    }
    fn poll_transmit(&mut self, _: Instant) -> Option<Message> {
        self.say.pop_front()
    }
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    fn poll_event(&mut self) -> Option<()> {
        None
    }
    fn closed(&self) -> Option<&CloseReason> {
        None
    }
}

#[test]
fn messages_arrive_whole_over_any_link_and_break_between_each_other() {
    let says = [Message("one"), Message(""), Message("three")];
    let talker = || Talker { say: says.clone().into(), ..Talker::default() };
    seeds(100, |rng| {
        let mut pair = Pair::random(talker(), Talker::default(), rng);
        pair.run(|_| false).map_err(|stuck| stuck.to_string())?;
        if pair.b.heard == says { Ok(()) } else { Err(format!("{:?}", pair.b.heard)) }
    })
    .unwrap();
    for (offset, whole) in [(0, 0), (1, 0), (2, 0), (3, 1), (5, 2), (7, 2), (8, 3)] {
        let mut pair = Pair::new(talker(), Talker::default());
        pair.there.fault(offset, Fault::Reset);
        pair.run(|_| false).unwrap();
        assert_eq!((pair.b.heard.len(), pair.b.failed), (whole, true), "at {offset}");
    }
}
