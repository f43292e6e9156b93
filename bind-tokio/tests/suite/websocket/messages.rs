//! Streams and sinks of messages that are no library's.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use trunkline_core::{TimeoutKind, Violation};

use super::raw::{machine, pinging, quiet};
use crate::cases::mux::wires::{echo, stream};
use crate::cases::support::Pattern;
use crate::rt::{self, CloseReason, Connection, Message, Side, carrier};

/// One direction: one message at a time.
#[derive(Default)]
struct Place {
    message: VecDeque<Message>,
    ended: bool,
    waiting: Vec<Waker>,
}

#[derive(Clone, Default)]
struct Way(Arc<Mutex<Place>>);

impl Way {
    fn change<T>(&self, change: impl FnOnce(&mut Place) -> T) -> T {
        let mut place = self.0.lock().unwrap();
        let result = change(&mut place);
        let waiting = std::mem::take(&mut place.waiting);
        drop(place);
        waiting.into_iter().for_each(Waker::wake);
        result
    }

    /// Ready once something holds; whoever waits is woken by any change.
    fn poll<T>(&self, cx: &mut Context<'_>, look: impl FnOnce(&mut Place) -> Option<T>) -> Poll<T> {
        let mut place = self.0.lock().unwrap();
        match look(&mut place) {
            Some(found) => Poll::Ready(found),
            None => {
                place.waiting.push(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// One end of a WebSocket that was never one.
struct Own {
    input: Way,
    output: Way,
}

impl Drop for Own {
    fn drop(&mut self) {
        self.input.change(|place| place.ended = true);
        self.output.change(|place| place.ended = true);
    }
}

impl futures_core::Stream for Own {
    type Item = io::Result<Message>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.input.poll(cx, |place| match place.message.pop_front() {
            Some(message) => Some(Some(message)),
            None => place.ended.then_some(None),
        });
        if next.is_ready() {
            self.input.change(|_| ());
        }
        next.map(|next| next.map(Ok))
    }
}

impl futures_sink::Sink<Message> for Own {
    type Error = &'static str;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.output.poll(cx, |place| match place.ended {
            true => Some(Err("the other end is gone")),
            false => place.message.is_empty().then_some(Ok(())),
        })
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Self::Error> {
        self.output.change(|place| {
            assert!(place.message.is_empty(), "it was not ready");
            place.message.push_back(message);
        });
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.poll_ready(cx)
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.output.change(|place| place.ended = true);
        Poll::Ready(Ok(()))
    }
}

fn ways() -> (Own, Own) {
    let (up, down) = (Way::default(), Way::default());
    (Own { input: down.clone(), output: up.clone() }, Own { input: up, output: down })
}

fn pair(config: impl Fn(Side) -> carrier::Config) -> (Connection, Connection) {
    let (client, server) = ways();
    let over = |own, side| rt::messages_over(own, machine(side), config(side));
    (over(client, Side::Client), over(server, Side::Server))
}

#[test]
fn any_stream_and_sink_of_messages_carries_streams() {
    rt::each(async || {
        const COUNT: usize = 1_000_000;
        for reference in [false, true] {
            // The carrier answers the pings here, since nobody else does.
            let (client, server) = pair(|side| {
                let usual = pinging(std::time::Duration::from_millis(2), LATE);
                if reference { carrier::Config::reference(side) } else { usual }
            });
            let (ours, theirs) = stream(&client, &server).await;
            rt::spawn(echo(theirs)).detach();
            let (mut reader, mut writer) = ours.into_split();
            let writing = rt::spawn(async move {
                let all = Pattern::new().head(COUNT);
                rt::write_all(&mut writer, &all).await.unwrap();
                rt::close(&mut writer).await.unwrap();
            });
            let read = rt::read_to_end(&mut reader).await.unwrap();
            assert!(read == Pattern::new().head(COUNT), "other bytes");
            writing.await;
            assert_eq!(client.close().await, CloseReason::Local);
            server.closed().await;
        }
    });
}

const LATE: std::time::Duration = std::time::Duration::from_secs(40);

#[test]
fn an_end_that_is_dropped_is_a_loss_for_the_other() {
    rt::each(async || {
        let (client, server) = ways();
        let client = rt::messages_over(client, machine(Side::Client), quiet());
        drop(server);
        let reason = client.closed().await;
        let lost = matches!(reason, CloseReason::Eof { .. } | CloseReason::Transport { .. });
        assert!(lost, "{reason:?}");
    });
}

#[test]
fn what_is_too_large_or_text_is_refused_here_too() {
    rt::each(async || {
        for wrong in [Message::Text("hello".into()), Message::Binary(vec![0; 5 << 20].into())] {
            let (client, server) = ways();
            let client = rt::messages_over(client, machine(Side::Client), quiet());
            server.output.change(|place| place.message.push_back(wrong));
            let reason = client.closed().await;
            assert!(matches!(reason, CloseReason::Violation(Violation::Carrier(_))), "{reason:?}");
            drop(server);
        }
    });
}

#[test]
fn an_end_that_takes_nothing_more_is_noticed_by_the_pings() {
    rt::each(async || {
        let soon = std::time::Duration::from_millis(5);
        let (client, server) = ways();
        let client = rt::messages_over(client, machine(Side::Client), pinging(soon, soon));
        // It neither reads nor answers.
        assert_eq!(client.closed().await, CloseReason::Timeout(TimeoutKind::KeepAlive));
        drop(server);
    });
}
