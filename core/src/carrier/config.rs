//! Settings of a carrier: `docs/protocols/agent-tunnel.md` section 2.

use core::time::Duration;

use crate::mux::Side;

/// How the bytes of a machine become messages.
///
/// Message boundaries carry no meaning for any reader of this wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Grouping {
    /// One message for what is sent at once, up to 64 KiB; a larger frame alone.
    #[default]
    Flush,
    /// Two messages for a frame with a payload, its head and the payload, as in the original.
    HeadAndPayload,
}

/// What becomes of a text message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Text {
    /// It ends the connection, with the code 1003.
    #[default]
    Refused,
    /// Its bytes are taken as if it were binary, as in the original.
    AsBytes,
}

/// How this side takes its leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Farewell {
    /// A close with the code 1000; the peer's is awaited for at most so long. A peer that is to be
    /// blamed is told so in a close as well.
    Close1000Wait(Duration),
    /// Without a word: the original's close never reaches the wire.
    None,
}

/// What the end of the transport is without a close before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BareEnd {
    /// A loss.
    #[default]
    Loss,
    /// The peer's orderly end, as in the original, whose peers never send a close.
    Orderly,
}

/// What counts as a sign of life while a ping waits for its pong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LifeSigns {
    /// Any message: a pong may stand behind megabytes of data.
    #[default]
    AnyMessage,
    /// Only the pong, as in the original.
    Pongs,
}

/// When to ask whether the peer lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pings {
    /// Time between two pings; zero: none are sent.
    pub interval: Duration,
    /// How long the pong may take, from when the ping was due.
    pub timeout: Duration,
}

/// Settings of a [`Carrier`](super::Carrier).
///
/// `Default` is what Trunkline requires; [`reference`](Self::reference) behaves like the original
/// wherever the two differ.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// How bytes become messages.
    pub grouping: Grouping,
    /// Text messages.
    pub text: Text,
    /// Pings of this side; `None`: it sends none. 30 s, and 10 s for the pong.
    pub pings: Option<Pings>,
    /// What keeps the deadline of a pong away.
    pub life_signs: LifeSigns,
    /// The largest message taken in, in bytes: the largest window in force plus 64 KiB, since a peer
    /// may send a whole window at once. 4 MiB + 64 KiB. A larger one ends the connection with 1009.
    pub max_message: usize,
    /// The end from this side.
    pub close: Farewell,
    /// The end of the transport.
    pub bare_end: BareEnd,
    /// Whether the carrier answers the peer's pings and its close. True; set it to false above a
    /// WebSocket library that does both itself.
    pub answers_pings: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            grouping: Grouping::default(),
            text: Text::default(),
            pings: Some(Pings {
                interval: Duration::from_secs(30),
                timeout: Duration::from_secs(10),
            }),
            life_signs: LifeSigns::default(),
            max_message: (4 << 20) + (64 << 10),
            close: Farewell::Close1000Wait(Duration::from_secs(1)),
            bare_end: BareEnd::default(),
            answers_pings: true,
        }
    }
}

impl Config {
    /// The original's behaviour in every setting where Trunkline's differs: its server pings every
    /// 20 s and waits 5 s for the pong, its agents do not ping.
    ///
    /// The limit of a message stays Trunkline's; the original has none.
    #[must_use]
    pub fn reference(side: Side) -> Self {
        let pings = Pings { interval: Duration::from_secs(20), timeout: Duration::from_secs(5) };
        Self {
            grouping: Grouping::HeadAndPayload,
            text: Text::AsBytes,
            pings: match side {
                Side::Server => Some(pings),
                Side::Client => None,
            },
            life_signs: LifeSigns::Pongs,
            close: Farewell::None,
            bare_end: BareEnd::Orderly,
            ..Self::default()
        }
    }
}
