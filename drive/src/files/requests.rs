//! File requests as futures, and who waits for room.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use trunkline_core::agentproto::{FileOp, FileRequest, FileResponse};

use super::error::{Asked, FileFault};
use crate::session::LocalState;
use crate::shared::After;
use crate::{Session, SessionError};

/// Requests in flight of all handles together, unless another number is set.
const IN_FLIGHT: usize = 64;

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    Answered(Box<FileResponse>),
    TimedOut,
    Lost,
}

/// A request that was handed to the machine and not yet taken back.
#[derive(Debug, Default)]
struct Slot {
    waker: Option<Waker>,
    outcome: Option<Outcome>,
}

/// Who waits for which answer, and who waits for room, in order of asking.
#[derive(Debug)]
pub(crate) struct Requests {
    limit: usize,
    slots: BTreeMap<u32, Slot>,
    /// Slots without an outcome.
    pending: usize,
    queue: VecDeque<(u64, Option<Waker>)>,
    last_ticket: u64,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            limit: IN_FLIGHT,
            slots: BTreeMap::new(),
            pending: 0,
            queue: VecDeque::new(),
            last_ticket: 0,
        }
    }
}

impl Requests {
    /// Changes how many may be in flight.
    pub(crate) fn set_limit(&mut self, limit: usize) -> Option<Waker> {
        self.limit = limit.max(1);
        self.next()
    }

    /// Takes in what became of a request; whoever dropped it is not told.
    pub(crate) fn settle(&mut self, id: u32, outcome: Outcome, after: &mut After) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        if slot.outcome.replace(outcome).is_none() {
            self.pending -= 1;
        }
        after.wake(slot.waker.take());
        after.wake(self.next());
    }

    /// Who is next to ask, if there is room.
    pub(crate) fn next(&mut self) -> Option<Waker> {
        if self.pending >= self.limit {
            return None;
        }
        self.queue.front_mut().and_then(|(_, waker)| waker.take())
    }

    /// Nobody needs to wait for room any more: the session is over.
    pub(crate) fn wake_all(&mut self, after: &mut After) {
        for (_, waker) in &mut self.queue {
            after.wake(waker.take());
        }
    }

    /// Whether it is the turn of this one, who has a ticket or has just come.
    fn is_turn(&self, ticket: Option<u64>) -> bool {
        let first = self.queue.front().map(|(first, _)| *first);
        self.pending < self.limit && (first.is_none() || first == ticket)
    }

    /// Leaves a waker in the queue, behind everybody else the first time.
    fn wait(&mut self, ticket: Option<u64>, waker: &Waker) -> u64 {
        let place = self.queue.iter_mut().find(|(place, _)| Some(*place) == ticket);
        if let Some((ticket, place)) = place {
            *place = Some(waker.clone());
            return *ticket;
        }
        self.last_ticket += 1;
        self.queue.push_back((self.last_ticket, Some(waker.clone())));
        self.last_ticket
    }

    /// Leaves the queue; who is next may go instead.
    fn leave(&mut self, ticket: u64) -> Option<Waker> {
        self.queue.retain(|(place, _)| *place != ticket);
        self.next()
    }

    fn sent(&mut self, id: u32, waker: &Waker) {
        self.slots.insert(id, Slot { waker: Some(waker.clone()), outcome: None });
        self.pending += 1;
    }

    /// Takes a request out, with what became of it.
    fn remove(&mut self, id: u32) -> Option<Outcome> {
        let slot = self.slots.remove(&id)?;
        self.pending -= usize::from(slot.outcome.is_none());
        slot.outcome
    }
}

#[derive(Debug)]
enum Stage {
    New(FileRequest),
    Queued(u64, FileRequest),
    Sent(u32),
    Over,
}

/// One request, from the wait for room to the answer. Dropping it gives the request up.
#[derive(Debug)]
pub(crate) struct Asking {
    session: Session,
    asked: Option<Asked>,
    opens: bool,
    stage: Stage,
}

impl Asking {
    /// A request, not sent before it is polled; its errors name this path if it has none.
    pub(crate) fn new(session: &Session, request: FileRequest, opened: &str) -> Self {
        Self {
            session: session.share(),
            asked: Some(Asked::new(&request, opened)),
            opens: matches!(request.op, FileOp::OPEN | FileOp::CREATE | FileOp::OPEN_FILE),
            stage: Stage::New(request),
        }
    }

    fn ask(&mut self, cx: &Context<'_>, ticket: Option<u64>, request: FileRequest) -> Begun {
        let (asked, next) = self.session.shared().command_if(|state| {
            if let Some(error) = state.sending_over() {
                return ((Begun::Failed(error), None), false);
            }
            if !state.waiters.requests.is_turn(ticket) || !state.machine.request_room() {
                let ticket = state.waiters.requests.wait(ticket, cx.waker());
                return ((Begun::Queued(ticket, request), None), false);
            }
            let requests = &mut state.waiters.requests;
            if let Some(ticket) = ticket {
                requests.queue.retain(|(place, _)| *place != ticket);
            }
            let asked = match state.machine.request(request) {
                Ok(id) => {
                    requests.sent(id, cx.waker());
                    Begun::Sent(id)
                }
                Err(misuse) => Begun::Failed(SessionError::Misuse(misuse).into()),
            };
            ((asked, requests.next()), true)
        });
        wake(next);
        asked
    }

    fn poll_answer(&self, cx: &Context<'_>, id: u32) -> Poll<Answer> {
        self.session.shared().look(|state| {
            let requests = &mut state.waiters.requests;
            let Some(slot) = requests.slots.get_mut(&id) else {
                return Poll::Ready(Answer::Lost(state.lost_session()));
            };
            if slot.outcome.is_none() {
                match &mut slot.waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    none => *none = Some(cx.waker().clone()),
                }
                return Poll::Pending;
            }
            Poll::Ready(match requests.remove(id) {
                Some(Outcome::Answered(response)) => Answer::Response(*response),
                Some(Outcome::TimedOut) => Answer::TimedOut,
                Some(Outcome::Lost) | None => Answer::Lost(state.lost_session()),
            })
        })
    }

    fn asked(&mut self) -> Asked {
        // Taken once, with the outcome.
        self.asked.take().unwrap_or_else(|| Asked::new(&FileRequest::default(), ""))
    }
}

/// What became of the attempt to ask.
enum Begun {
    Failed(io::Error),
    Queued(u64, FileRequest),
    Sent(u32),
}

enum Answer {
    Response(FileResponse),
    TimedOut,
    Lost(io::Error),
}

impl Future for Asking {
    type Output = io::Result<FileResponse>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let (ticket, request) = match std::mem::replace(&mut this.stage, Stage::Over) {
            Stage::New(request) => (None, request),
            Stage::Queued(ticket, request) => (Some(ticket), request),
            Stage::Sent(id) => {
                let Poll::Ready(answer) = this.poll_answer(cx, id) else {
                    this.stage = Stage::Sent(id);
                    return Poll::Pending;
                };
                let asked = this.asked();
                return Poll::Ready(match answer {
                    Answer::Response(response) => asked.check(response),
                    Answer::TimedOut => Err(asked.failed(FileFault::TimedOut).into()),
                    Answer::Lost(error) => Err(error),
                });
            }
            Stage::Over => panic!("a request polled after its end"),
        };
        match this.ask(cx, ticket, request) {
            Begun::Failed(error) => {
                this.leave(ticket);
                return Poll::Ready(Err(error));
            }
            Begun::Queued(ticket, request) => this.stage = Stage::Queued(ticket, request),
            Begun::Sent(id) => this.stage = Stage::Sent(id),
        }
        Poll::Pending
    }
}

impl Asking {
    fn leave(&self, ticket: Option<u64>) {
        if let Some(ticket) = ticket {
            wake(self.session.shared().look(|state| state.waiters.requests.leave(ticket)));
        }
    }

    fn give_up(&self, id: u32) {
        let next = self.session.shared().command(|state| {
            let outcome = state.waiters.requests.remove(id);
            match outcome {
                None => drop(state.machine.cancel(id)),
                // It was opened, and nobody will ever know.
                Some(Outcome::Answered(response)) if self.opens && response.errno == 0 => {
                    close(state, response.handle);
                }
                Some(_) => {}
            }
            state.waiters.requests.next()
        });
        wake(next);
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Queued(ticket, _) => self.leave(Some(ticket)),
            Stage::Sent(id) => self.give_up(id),
            Stage::New(_) | Stage::Over => {}
        }
    }
}

/// Closes a handle, unless there is none or the session is over, which closes all.
pub(crate) fn close(state: &mut LocalState, handle: u32) {
    if handle != 0 {
        let _ = state.machine.close_handle(handle);
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
