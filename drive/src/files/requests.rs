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

/// Bytes that all open files together hold beyond what they are asked for: what was read ahead, and
/// what was written and not answered.
const AHEAD: usize = 16 << 20;

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
    queue: VecDeque<Place>,
    last_ticket: u64,
    /// Bytes that files hold beyond what they are asked for.
    ahead: usize,
}

/// A place in the queue for room.
#[derive(Debug)]
struct Place {
    ticket: u64,
    waker: Option<Waker>,
    /// Whose turn it is goes when it is polled: it may never be, so it holds up nobody.
    casual: bool,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            limit: IN_FLIGHT,
            slots: BTreeMap::new(),
            pending: 0,
            queue: VecDeque::new(),
            last_ticket: 0,
            ahead: 0,
        }
    }
}

impl Requests {
    /// Changes how many may be in flight.
    pub(crate) fn set_limit(&mut self, limit: usize) -> Vec<Waker> {
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
        after.wake.extend(self.next());
    }

    /// Who may ask now, if there is room: the first in the queue, with casual ones in front of it,
    /// who leave the queue with that.
    pub(crate) fn next(&mut self) -> Vec<Waker> {
        let mut wakers = Vec::new();
        while self.pending < self.limit
            && let Some(first) = self.queue.front_mut()
        {
            wakers.extend(first.waker.take());
            if !first.casual {
                break;
            }
            self.queue.pop_front();
        }
        wakers
    }

    /// Nobody needs to wait for room any more: the session is over.
    pub(crate) fn wake_all(&mut self, after: &mut After) {
        for place in &mut self.queue {
            after.wake(place.waker.take());
        }
    }

    /// Bytes that files may hold beyond what they are asked for.
    pub(crate) const fn ahead_room(&self) -> usize {
        AHEAD.saturating_sub(self.ahead)
    }

    /// Counts what a file holds instead of what it held.
    pub(crate) const fn count_ahead(&mut self, held: usize, before: usize) {
        self.ahead = self.ahead.saturating_sub(before).saturating_add(held);
    }

    /// Whether it is the turn of this one, who has a ticket or has just come.
    fn is_turn(&self, ticket: Option<u64>) -> bool {
        let turn = match (self.queue.front(), ticket) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(first), Some(ticket)) => {
                // Or a casual one, whose place has come and gone.
                first.ticket == ticket || self.queue.iter().all(|place| place.ticket != ticket)
            }
        };
        turn && self.pending < self.limit
    }

    /// Leaves a waker in the queue, behind everybody else the first time.
    fn wait(&mut self, ticket: Option<u64>, waker: &Waker, casual: bool) -> u64 {
        let place = self.queue.iter_mut().find(|place| Some(place.ticket) == ticket);
        if let Some(place) = place {
            place.waker = Some(waker.clone());
            return place.ticket;
        }
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        self.queue.push_back(Place { ticket, waker: Some(waker.clone()), casual });
        ticket
    }

    /// Leaves the queue; who is next may go instead.
    pub(crate) fn leave(&mut self, ticket: u64) -> Vec<Waker> {
        self.queue.retain(|place| place.ticket != ticket);
        self.next()
    }

    fn sent(&mut self, id: u32, waker: Option<Waker>) {
        self.slots.insert(id, Slot { waker, outcome: None });
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

    fn ask(&self, cx: Option<&Context<'_>>, turn: Turn, request: FileRequest) -> Begun {
        let ticket = turn.ticket();
        let (begun, next) = self.session.shared().command_if(|state| {
            if let Some(error) = state.sending_over() {
                return ((Begun::Failed(error), Vec::new()), false);
            }
            if !state.waiters.requests.is_turn(ticket) || !state.machine.request_room() {
                let casual = matches!(turn, Turn::Casual(_));
                let ticket = cx.map(|cx| state.waiters.requests.wait(ticket, cx.waker(), casual));
                return ((Begun::Queued(ticket, request), Vec::new()), false);
            }
            let requests = &mut state.waiters.requests;
            if let Some(ticket) = ticket {
                requests.queue.retain(|place| place.ticket != ticket);
            }
            let begun = match state.machine.request(request) {
                Ok(id) => {
                    requests.sent(id, cx.map(|cx| cx.waker().clone()));
                    Begun::Sent(id)
                }
                Err(misuse) => Begun::Failed(SessionError::Misuse(misuse).into()),
            };
            ((begun, requests.next()), true)
        });
        wake(next);
        begun
    }

    /// Sends a request that was not, if there is room now; says whether it was.
    ///
    /// If there is none, the task is told when there is, by a place in the queue that holds up nobody
    /// though it is never polled again. Without a context nobody is told.
    pub(crate) fn start(
        &mut self,
        cx: Option<&Context<'_>>,
        place: &mut Option<u64>,
    ) -> io::Result<bool> {
        let request = match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::New(request) => request,
            stage => {
                self.stage = stage;
                return Ok(true);
            }
        };
        match self.ask(cx, Turn::Casual(*place), request) {
            Begun::Failed(error) => Err(error),
            Begun::Queued(ticket, request) => {
                *place = ticket.or(*place);
                self.stage = Stage::New(request);
                Ok(false)
            }
            Begun::Sent(id) => {
                *place = None;
                self.stage = Stage::Sent(id);
                Ok(true)
            }
        }
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

    /// Ready with the answer to a request that [`start`](Self::start) has sent.
    pub(crate) fn poll_sent(&mut self, cx: &Context<'_>) -> Poll<io::Result<FileResponse>> {
        let Stage::Sent(id) = self.stage else {
            return Poll::Ready(Err(io::Error::other("the request is over")));
        };
        let Poll::Ready(answer) = self.poll_answer(cx, id) else { return Poll::Pending };
        self.stage = Stage::Over;
        let asked = self.asked();
        Poll::Ready(match answer {
            Answer::Response(response) => asked.check(response),
            Answer::TimedOut => Err(asked.failed(FileFault::TimedOut).into()),
            Answer::Lost(error) => Err(error),
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
    Queued(Option<u64>, FileRequest),
    Sent(u32),
}

/// How somebody comes to ask, with the ticket of earlier times.
#[derive(Clone, Copy, Debug)]
enum Turn {
    InOrder(Option<u64>),
    Casual(Option<u64>),
}

impl Turn {
    const fn ticket(self) -> Option<u64> {
        match self {
            Self::InOrder(ticket) | Self::Casual(ticket) => ticket,
        }
    }
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
                this.stage = Stage::Sent(id);
                return this.poll_sent(cx);
            }
            Stage::Over => panic!("a request polled after its end"),
        };
        match this.ask(Some(cx), Turn::InOrder(ticket), request) {
            Begun::Failed(error) => {
                leave(&this.session, ticket);
                return Poll::Ready(Err(error));
            }
            Begun::Queued(place, request) => {
                this.stage = Stage::Queued(place.or(ticket).unwrap_or_default(), request);
            }
            Begun::Sent(id) => this.stage = Stage::Sent(id),
        }
        Poll::Pending
    }
}

impl Asking {
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
            Stage::Queued(ticket, _) => leave(&self.session, Some(ticket)),
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

/// Gives up a place in the queue for room.
pub(crate) fn leave(session: &Session, ticket: Option<u64>) {
    if let Some(ticket) = ticket {
        wake(session.shared().look(|state| state.waiters.requests.leave(ticket)));
    }
}

fn wake(wakers: Vec<Waker>) {
    for waker in wakers {
        waker.wake();
    }
}
