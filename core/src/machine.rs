//! The one shape that every wire has.

use crate::{CloseReason, Instant};

/// A direction of a transport, seen from this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the peer.
    Read,
    /// To the peer.
    Write,
}

/// A protocol as a plain value: input and time go in, output, events and a deadline come out.
///
/// # The four families of methods
///
/// - **Inputs** (`handle_*`): what the world does to the machine. They return nothing: after a
///   violation there can be goodbye bytes to send, which an early `?` in a driver would skip. The
///   end shows as one `Closed` event and as [`closed`](Self::closed) for ever after.
/// - **Commands** (inherent methods such as `write`, `read`, `signal`, `close`): what the user
///   wants. They return small enums in which "not now" is a value; misuse is a variant, never a
///   panic.
/// - **Outputs** (`poll_*`): what the machine wants from its driver. "More bytes needed" is never an
///   error, it is `None`.
/// - **Getters** (`wants_input`, `closed`, `stats`): free to call at any time.
///
/// # The loop
///
/// After any call with `&mut self`, poll transmit, event and timeout until they have nothing more.
/// The three are separate so that a full transport never holds up an event, and what to send is
/// decided as late as possible: when the transport has room.
///
/// ```
/// use bytes::Bytes;
/// use trunkline_core::{Instant, Machine};
///
/// # trait Transport { fn read(&mut self) -> Option<Bytes>; fn write(&mut self, parts: &[&[u8]]);
/// #     fn shut_down(&mut self); fn now(&self) -> Instant; fn wait(&mut self, at: Option<Instant>); }
/// fn drive<M, T>(machine: &mut M, transport: &mut T, mut on_event: impl FnMut(&mut M, M::Event))
/// where
///     M: Machine<Input = Bytes, Output = trunkline_core::Segment>,
///     T: Transport,
/// {
///     loop {
///         while let Some(segment) = machine.poll_transmit(transport.now()) {
///             transport.write(&segment.slices()); // a vectored write
///         }
///         while let Some(event) = machine.poll_event() {
///             on_event(machine, event); // may call commands
///         }
///         if machine.closed().is_some() {
///             return transport.shut_down(); // everything was drained above
///         }
///         transport.wait(machine.poll_timeout()); // until readable, or until that time
///         let now = transport.now();
///         if machine.poll_timeout().is_some_and(|at| at <= now) {
///             machine.handle_timeout(now);
///         }
///         if machine.wants_input() {
///             match transport.read() {
///                 Some(bytes) => machine.handle_input(now, bytes),
///                 None => machine.handle_eof(now),
///             }
///         }
///     }
/// }
/// ```
///
/// # What every machine promises
///
/// The same input gives the same bytes per stream and the same order of all other events, however
/// it is cut into pieces and however the polls interleave. No input makes a machine panic, work
/// per byte is constant, and memory stays within its limits whatever a peer announces.
pub trait Machine {
    /// What arrives: `Bytes` for a byte machine, a message for a message machine.
    type Input;
    /// What leaves: a [`Segment`](crate::Segment), or a message.
    type Output;
    /// What the user is told.
    type Event;

    /// Takes in what arrived, of any size and cut anywhere.
    ///
    /// May be called while [`wants_input`](Self::wants_input) is false; the machine then keeps the
    /// bytes unparsed.
    fn handle_input(&mut self, now: Instant, input: Self::Input);

    /// Notes that the peer's direction has ended: nothing more will arrive.
    fn handle_eof(&mut self, now: Instant);

    /// Notes that the transport failed, and in which direction.
    ///
    /// After a failed read nothing more arrives. After a failed write nothing more leaves, but
    /// what the peer sent before it went may still arrive: go on reading.
    fn handle_failure(&mut self, now: Instant, direction: Direction, os_error: Option<i32>);

    /// Notes that nothing more arrives, for a reason that whatever carries the bytes knows (a close
    /// of its own, a rule that was broken, a missing sign of life).
    ///
    /// What is provided takes it for a transport that failed.
    fn handle_lost(&mut self, now: Instant, reason: CloseReason) {
        let _ = reason;
        self.handle_failure(now, Direction::Read, None);
    }

    /// Acts on every deadline that `now` has reached; harmless when none has.
    fn handle_timeout(&mut self, now: Instant);

    /// Whether the driver should read more: back-pressure. While false, do not read.
    fn wants_input(&self) -> bool;

    /// The next thing to send, when there is one. Call it when the transport has room.
    fn poll_transmit(&mut self, now: Instant) -> Option<Self::Output>;

    /// When [`handle_timeout`](Self::handle_timeout) must be called next, if ever.
    fn poll_timeout(&self) -> Option<Instant>;

    /// The next event, when there is one.
    fn poll_event(&mut self) -> Option<Self::Event>;

    /// Why the machine is over, once it is; sticky. Drain `poll_transmit` before hanging up.
    fn closed(&self) -> Option<&CloseReason>;
}
