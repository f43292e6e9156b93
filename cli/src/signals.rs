//! Signals sent to this process that are meant for the command.

use std::io;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use trunkline_host::{ignores_signal, signal_number};

/// Two Ctrl-C within this time mean: give up.
const IMPATIENCE: Duration = Duration::from_secs(1);

/// What a signal asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Pass this signal on.
    Forward(i32),
    /// Stop waiting.
    GiveUp,
}

/// Whether a signal ends a program that does not handle it and may be sent by hand to that end.
pub(crate) fn ends(number: i32) -> bool {
    ["INT", "TERM", "HUP", "QUIT"].iter().any(|name| signal_number(name) == Some(number))
}

/// The signals that are passed on.
pub(crate) struct Signals {
    signals: Vec<(i32, Signal)>,
    interrupt: i32,
    last_interrupt: Option<Instant>,
}

impl Signals {
    /// Takes over the signals that are passed on.
    pub(crate) fn new() -> io::Result<Self> {
        let mut signals = Vec::new();
        for name in ["INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "WINCH"] {
            // What this process was told to ignore (`nohup`) is not for the command either.
            if let Some(number) = signal_number(name).filter(|number| !ignores_signal(*number)) {
                signals.push((number, signal(SignalKind::from_raw(number))?));
            }
        }
        Ok(Self {
            signals,
            interrupt: SignalKind::interrupt().as_raw_value(),
            last_interrupt: None,
        })
    }

    /// The next one that ends a program which does not handle it. Cancel safe.
    pub(crate) async fn ending(&mut self) -> i32 {
        loop {
            let number = self.any().await;
            if ends(number) {
                return number;
            }
        }
    }

    async fn any(&mut self) -> i32 {
        std::future::poll_fn(|cx| {
            for (number, signal) in &mut self.signals {
                if signal.poll_recv(cx).is_ready() {
                    return Poll::Ready(*number);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// The next one. Cancel safe.
    pub(crate) async fn next(&mut self) -> Wish {
        let number = self.any().await;
        if number == self.interrupt {
            let now = Instant::now();
            let last = self.last_interrupt.replace(now);
            if last.is_some_and(|last| now.duration_since(last) <= IMPATIENCE) {
                return Wish::GiveUp;
            }
        }
        Wish::Forward(number)
    }
}

/// Ready, with the signal, when this process is asked to end; interrupts from the terminal are ignored meanwhile,
/// because they are for whoever sits there.
pub(crate) fn asked_to_end() -> io::Result<impl Future<Output = i32> + Send + 'static> {
    let kinds = [SignalKind::terminate(), SignalKind::hangup()];
    let mut ends = Vec::new();
    // What this process was told to ignore (`nohup`) is not for the command either.
    for kind in kinds.into_iter().filter(|kind| !ignores_signal(kind.as_raw_value())) {
        ends.push((kind.as_raw_value(), signal(kind)?));
    }
    let ignored = [signal(SignalKind::interrupt())?, signal(SignalKind::quit())?];
    Ok(async move {
        let number = std::future::poll_fn(|cx| {
            for (number, end) in &mut ends {
                if end.poll_recv(cx).is_ready() {
                    return Poll::Ready(*number);
                }
            }
            Poll::Pending
        });
        let number = number.await;
        drop(ignored);
        number
    })
}
