//! What a subscriber is told of multiplexed connections. A test of its own process: whether anybody
//! listens is known to all of it.

// The schedules use all of it.
#[allow(dead_code)]
mod sim;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use sim::mux::echoes;

/// What a subscriber was told of this library: the fields of each span and how often it was entered,
/// and the span of each event.
#[derive(Debug, Default)]
struct Heard {
    spans: BTreeMap<u64, String>,
    entered: BTreeMap<u64, usize>,
    inside: Vec<u64>,
    events: Vec<(String, Option<u64>)>,
}

#[derive(Clone, Default)]
struct Ears(Arc<Mutex<Heard>>, Arc<AtomicU64>);

/// Fields as text.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!("{}={value:?} ", field.name());
    }
}

impl Subscriber for Ears {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("trunkline_drive::mux")
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let id = self.1.fetch_add(1, Ordering::Relaxed) + 1;
        let mut text = Text(format!("{} ", attributes.metadata().name()));
        attributes.record(&mut text);
        self.0.lock().unwrap().spans.insert(id, text.0);
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let mut heard = self.0.lock().unwrap();
        let current = heard.inside.last().copied().filter(|_| event.is_contextual());
        let parent = event.parent().map(Id::into_u64).or(current);
        heard.events.push((text.0, parent));
    }

    fn enter(&self, id: &Id) {
        let mut heard = self.0.lock().unwrap();
        heard.inside.push(id.into_u64());
        *heard.entered.entry(id.into_u64()).or_default() += 1;
    }

    fn exit(&self, _: &Id) {
        self.0.lock().unwrap().inside.pop();
    }
}

#[test]
fn each_connection_has_a_span_to_which_all_its_events_belong() {
    for kind in 0..4 {
        let ears = Ears::default();
        tracing::subscriber::with_default(ears.clone(), || echoes(kind as u64, kind));
        let heard = ears.0.lock().unwrap();
        let spans: Vec<_> = heard.spans.iter().collect();
        let [(client, of_client), (server, of_server)] = spans.as_slice() else {
            panic!("{spans:?}");
        };
        let wire = ["yamux", "smux", "smux", "wormhole"][kind];
        for (span, side) in [(of_client, "Client"), (of_server, "Server")] {
            assert!(span.starts_with("connection id="), "{span}");
            assert!(span.contains(&format!("wire=\"{wire}\" side={side}")), "{span}");
        }
        assert_ne!(of_client.split(' ').nth(1), of_server.split(' ').nth(1), "one number for two");
        assert!(heard.entered[client] > 1 && heard.entered[server] > 1, "nobody drives there");
        assert!(heard.inside.is_empty());
        let within = |what: &str, span: u64| {
            let of = |(text, parent): &&(String, _)| text.contains(what) && *parent == Some(span);
            heard.events.iter().filter(of).count()
        };
        let streams = 1 + kind;
        for (span, opened, accepted) in [(**client, streams, 0), (**server, 0, streams)] {
            assert_eq!(within("connection begun", span), 1, "{heard:?}");
            assert_eq!(within("stream opened", span), opened, "{heard:?}");
            assert_eq!(within("stream accepted", span), accepted, "{heard:?}");
            assert_eq!(within("connection over", span), 1, "{heard:?}");
        }
        assert!(heard.events.iter().all(|(_, span)| span.is_some()), "{heard:?}");
    }
}
