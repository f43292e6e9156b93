//! The agent's log records, told again through `tracing`.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use trunkline_core::agentproto::{Frame, FrameType};

use crate::rt;

use super::peer;
use super::support::{eventually, exited, options, program, sh, start_over};

/// One event as a subscriber sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    level: Option<Level>,
    pub(crate) message: String,
    pub(crate) source: String,
    pub(crate) attributes: String,
    fields: usize,
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields += 1;
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "attributes" => self.attributes = format!("{value:?}"),
            _ => {}
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields += 1;
        if field.name() == "source" {
            value.clone_into(&mut self.source);
        }
    }
}

/// What the agents of every test said. Tests tell their own by marks in the text.
static SEEN: Mutex<Vec<Seen>> = Mutex::new(Vec::new());

struct Ears;

impl Subscriber for Ears {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "trunkline::agent"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut seen = Seen { level: Some(*event.metadata().level()), ..Seen::default() };
        event.record(&mut seen);
        SEEN.lock().unwrap().push(seen);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Begins to listen, and gives a mark that no other test has.
pub(crate) fn listen() -> String {
    static ONCE: Once = Once::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    ONCE.call_once(|| tracing::subscriber::set_global_default(Ears).unwrap());
    format!("mark-{}-", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn heard(mark: &str) -> Vec<Seen> {
    let seen = SEEN.lock().unwrap();
    let marked = |seen: &&Seen| seen.message.contains(mark) || seen.attributes.contains(mark);
    seen.iter().filter(marked).cloned().collect()
}

#[test]
fn records_come_with_their_level_their_source_and_their_attributes() {
    rt::each(async || {
        let mark = listen();
        let (mut exec, mut peer, _line) = peer::exec(sh(""));
        let levels = [
            (i64::MIN, Level::TRACE),
            (-8, Level::TRACE),
            (-5, Level::TRACE),
            (-4, Level::DEBUG),
            (-1, Level::DEBUG),
            (0, Level::INFO),
            (3, Level::INFO),
            (4, Level::WARN),
            (7, Level::WARN),
            (8, Level::ERROR),
            (i64::MAX, Level::ERROR),
        ];
        for (number, _) in levels {
            let message = format!("{mark}{number}");
            peer.send(&peer::log(number, &message, &["a=1", "b=x y", "plain"])).await;
        }
        peer.send(&Frame::exit(0, "")).await;
        assert_eq!(exec.wait().await, exited(0));
        eventually("all are told", || heard(&mark).len() == levels.len()).await;
        for ((number, level), seen) in levels.into_iter().zip(heard(&mark)) {
            assert_eq!(seen.level, Some(level));
            assert_eq!(seen.message, format!("{mark}{number}"), "in order");
            assert_eq!(seen.source, "agent");
            assert_eq!(seen.attributes, "a=1 b=x y plain");
            assert_eq!(seen.fields, 3);
        }
    });
}

#[test]
fn the_agent_s_text_cannot_forge_lines_or_colours() {
    rt::each(async || {
        let mark = listen();
        let (mut exec, mut peer, _line) = peer::exec(sh(""));
        let message = format!("{mark}\x1b[31mred\r\nINFO forged\u{202e}{{}}");
        peer.send(&peer::log(0, &message, &["k=a\nb\x07", "\u{9b}2J"])).await;
        peer.send(&Frame::exit(0, "")).await;
        assert_eq!(exec.wait().await, exited(0));
        eventually("it is told", || heard(&mark).len() == 1).await;
        let seen = &heard(&mark)[0];
        assert_eq!(seen.message, format!("{mark}\\u{{1b}}[31mred\\r\\nINFO forged\\u{{202e}}{{}}"));
        assert_eq!(seen.attributes, "k=a\\nb\\u{7} \\u{9b}2J");
    });
}

#[test]
fn a_flood_of_records_is_cut_and_counted_and_delays_nothing() {
    rt::each(async || {
        let mark = listen();
        let (mut exec, mut peer, _line) = peer::exec(sh(""));
        for _ in 0..3_000 {
            peer.send(&peer::log(0, &mark, &[])).await;
        }
        peer.send(&Frame::exit(0, "")).await;
        assert_eq!(exec.wait().await, exited(0));
        let dropped = usize::try_from(exec.stats().logs_dropped).unwrap();
        eventually("the rest is told", || heard(&mark).len() + dropped == 3_000).await;
        // The burst, and what was earned while it came.
        assert!((1_000..2_000).contains(&heard(&mark).len()), "{dropped} dropped");
    });
}

#[test]
fn a_long_record_is_cut() {
    rt::each(async || {
        let mark = listen();
        let (mut exec, mut peer, _line) = peer::exec(sh(""));
        let long = mark.clone() + &"é".repeat(1 << 20);
        peer.send(&peer::log(0, &long, &["gone=1"])).await;
        peer.send(&Frame::exit(0, "")).await;
        assert_eq!(exec.wait().await, exited(0));
        eventually("it is told", || heard(&mark).len() == 1).await;
        let seen = &heard(&mark)[0];
        assert!((8_000..=8_192).contains(&seen.message.len()), "{}", seen.message.len());
        assert_eq!(seen.attributes, "");
    });
}

#[test]
fn a_real_agent_tells_what_it_does() {
    rt::each(async || {
        let mark = listen();
        let mut options = options();
        options.config.log_level = -8;
        let (mut exec, agent, _line) = start_over(program("/bin/echo", &[&mark]), options);
        assert_eq!(exec.wait().await, exited(0));
        assert_eq!(agent.await, 0);
        eventually("it is told", || !heard(&mark).is_empty()).await;
        let seen = &heard(&mark)[0];
        assert_eq!((seen.message.as_str(), seen.level), ("building command", Some(Level::TRACE)));
        assert!(seen.attributes.starts_with(&format!("path=/bin/echo argv=[/bin/echo {mark}]")));
    });
}

#[test]
fn records_of_a_query_are_told_too() {
    rt::each(async || {
        let mark = listen();
        let (local, remote, _line) = super::wire::wire(1_000);
        let mut peer = peer::Peer::new(remote);
        let asking = rt::spawn(rt::paths_over(rt::Over(local), rt::PathQuery::default()));
        peer.expect(FrameType::PATH_QUERY).await;
        peer.send(&peer::log(4, &mark, &[])).await;
        peer.send(&Frame::path_info(Default::default())).await;
        assert_eq!(asking.await.unwrap(), []);
        eventually("it is told", || heard(&mark).len() == 1).await;
    });
}
