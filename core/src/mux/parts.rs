//! How a wire is built from the shared parts.
//!
//! The parts never call back and know no frames. A wire's `Connection` holds them side by side,
//! calls them, and decides by what they return:
//!
//! | part | what it holds | what the wire adds |
//! |---|---|---|
//! | [`Streams<S>`] | slots, keys, wire ids, backlog, lists | `S`, its own state of a stream: at most 40 bytes |
//! | [`Inbox`] | unread bytes of all streams, and the [`Budget`](crate::Budget) | when to grant |
//! | [`Lanes<C>`] | control frames, unsent bytes, turns, writers in line for room | `C`, its control frames; heads; credit |
//! | [`Events`] | what the user is told, once and in order | nothing |
//! | [`Window`], [`Tuner`], [`RoundTrip`] | receive windows as arithmetic | [`WindowRule`]; how a grant is said |
//! | [`Input<HEAD>`] | chunks taken apart at any byte | what a head means |
//! | [`Guards`], [`Pressure`] | meters; how short memory is | what counts as useless |
//! | [`Life`], [`Every`] | closing, the reason, deadlines | goodbye frames; pings and keep-alive |
//!
//! Inside a call a stream is a [`Slot`]: `streams.named(key)` for a user's key, `streams.find(id)`
//! for a frame. A slot is good while the call lasts. A stream stays until both ends of it are over:
//! `streams.forget(slot)` (no user) and `streams.release(slot)` (the wire id is free).
//!
//! ```text
//! open     events/life say whether; streams.insert(id, true, S) -> slot; SYN: a flag in S, and
//!          streams.push(List::Control, slot, Kind::Control) (or it travels with the first data)
//! SYN in   streams.find(id) is None?  streams.waiting() < backlog and Pressure < NoStreams?
//!          streams.insert(id, false, S); streams.await_accept(slot); events.tell_acceptable()
//! accept   streams.accept() -> slot; none: events.block_accept()
//! data in  window.receive(.., len)?  as it arrives, in slices:
//!          input.payload(left) -> (bytes, chunk); inbox.push(..); streams.tell_readable(slot)
//! read     inbox.pop(..) -> taken; window.read(.., &taken) is Some? a flag in S, List::Control, and
//!          window.grant() (or announce()) when the frame is made, so that grants merge;
//!          nothing there: the end, or streams.block_read(slot)
//! write    lanes.write(now, streams, slot, data, credit) -> taken; credit -= taken; 0: Blocked
//! credit   credit += n; streams.tell_writable(slot) if the stream waited for credit
//! finish   a flag in S; lanes.stop_writing(); lanes.make_ready(streams, slot)
//! reset    lanes.clear(), inbox.clear() (or keep it for drain), a flag, List::Control, tell both
//! forget   lanes.stop_writing(), inbox.clear(); streams.forget(slot)
//! over     (both ends said so on the wire) lanes.clear(); window.end(); streams.release(slot)
//!
//! poll_transmit   1. lanes.pop_control()               -> a frame of the connection
//!                 2. streams.pop(List::Control)        -> a frame of that stream; push again if more
//!                 3. lanes.next_turn(streams)          -> lanes.take(.., frame_size) -> a data frame;
//!                    lanes.make_ready() again if the stream has more; FIN when its data is gone
//!                 then life.transmitted(now, taken, lanes.has_output(streams))
//! handle_input    inbox.next_turn(); input.push(chunk); then take apart what is there, while not
//!                 lanes.is_choked(); poll_transmit goes on with it once it is not choked any more
//! wants_input     !lanes.is_choked() && input.pending() == 0 && not over
//!
//! Memory: inbox.set_bookkeeping(streams.memory() + lanes.memory() + ..) after an insertion; when
//! inbox.pressure() is Reset after an inbox.push: reset inbox.longest(), or end with Flood::Memory.
//! Windows that grow: ping while large data comes; what it answers is
//! tuner.round_trip.sample().
//! ```
//!
//! The end of a connection: `life.end(reason)`, goodbye frames by `lanes.push_control`, then
//! `events.tell_closed(reason)`: whoever waits is told, then `Closed`.

pub(crate) use super::events::Events;
pub(crate) use super::guards::{Guards, Pressure};
pub(crate) use super::inbox::{Inbox, Taken};
pub(crate) use super::input::Input;
pub(crate) use super::lanes::Lanes;
pub(crate) use super::life::{Every, Life, Phase, earliest};
pub(crate) use super::lists::{Kind, List};
pub(crate) use super::receivequeue::ReceiveQueue;
pub(crate) use super::roundtrip::RoundTrip;
pub(crate) use super::sendqueue::SendQueue;
pub(crate) use super::streams::{Slot, Stream, Streams};
pub(crate) use super::tuner::{Tuner, WindowRule};
pub(crate) use super::window::Window;
