//! The wires, and pairs of connections over them.

use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use trunkline_core::{smux, wormhole, yamux};

use crate::cases::wire::{Line, Wire, wire};
use crate::rt::{self, Connection, ReadHalf, Side, Stream, WriteHalf};

/// What a wire in memory keeps in each direction.
const CAPACITY: usize = 64 << 10;

/// One wire, as a test changes it: by one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Yamux,
    Smux1,
    Smux2,
    Wormhole,
    /// Yamux inside WebSocket messages.
    WebSocket,
}

impl Kind {
    /// A connection over a transport of the runtime's.
    pub(crate) fn over(self, transport: impl Transport, side: Side) -> Connection {
        match self {
            Self::Yamux => {
                let mut config = yamux::Config::default();
                config.hash_seed = 1;
                rt::connection_over(transport, yamux::Connection::new(side, config).unwrap())
            }
            Self::Smux1 | Self::Smux2 => {
                let mut config = smux::Config::default();
                config.hash_seed = 1;
                config.version =
                    if self == Self::Smux1 { smux::Version::One } else { smux::Version::Two };
                rt::connection_over(transport, smux::Connection::new(side, config).unwrap())
            }
            Self::Wormhole => {
                let mut config = wormhole::Config::default();
                config.hash_seed = 1;
                rt::connection_over(transport, wormhole::Connection::new(side, config).unwrap())
            }
            Self::WebSocket => {
                let mut config = yamux::Config::default();
                config.hash_seed = 1;
                let machine = yamux::Connection::new(side, config).unwrap();
                let websocket = pin!(rt::accept_upgraded(transport, side, Default::default()));
                let Poll::Ready(websocket) =
                    websocket.poll(&mut Context::from_waker(Waker::noop()))
                else {
                    panic!("it waits");
                };
                rt::websocket_over(websocket, machine, rt::carrier::Config::default())
            }
        }
    }

    /// Two connected ends over a wire in memory, and that wire to play with.
    pub(crate) fn pair(self) -> (Connection, Connection, Line) {
        self.pair_with(CAPACITY, |end| end, |end| end)
    }

    /// The same over transports that are made of the wire's ends.
    pub(crate) fn pair_with<A: Wire, B: Wire>(
        self,
        capacity: usize,
        client: impl FnOnce(crate::cases::wire::End) -> A,
        server: impl FnOnce(crate::cases::wire::End) -> B,
    ) -> (Connection, Connection, Line) {
        let (local, remote, line) = wire(capacity);
        let client = self.over(rt::Over(client(local)), Side::Client);
        let server = self.over(rt::Over(server(remote)), Side::Server);
        (client, server, line)
    }

    /// Two connected ends over real sockets.
    pub(crate) fn sockets(self) -> (Connection, Connection) {
        let (local, remote) = rt::socket_pair();
        (self.over(local, Side::Client), self.over(remote, Side::Server))
    }
}

/// A transport of the runtime's.
pub(crate) use crate::rt::Transport;

/// A stream of the client's, and the same at the server. Something is written, so that the peer
/// learns of it on every wire; it is read again.
pub(crate) async fn stream(client: &Connection, server: &Connection) -> (Stream, Stream) {
    let mut ours = client.open().await.unwrap();
    rt::write_all(&mut ours, b"!").await.unwrap();
    let mut theirs = server.accept().await.unwrap();
    assert_eq!(rt::read_exact(&mut theirs, 1).await.unwrap(), b"!");
    (ours, theirs)
}

/// Gives everything that comes on a stream back, to its end.
pub(crate) async fn echo(stream: Stream) {
    let (mut reader, mut writer) = stream.into_split();
    while let Some(mut chunk) = reader.read_chunk().await.unwrap() {
        writer.write_bytes(&mut chunk).await.unwrap();
    }
    rt::close(&mut writer).await.unwrap();
}

/// Ends a stream in order and reads its other direction to its end, where the wire can end one
/// alone; nothing more may come.
pub(crate) async fn end(mut reader: ReadHalf, mut writer: WriteHalf) {
    rt::close(&mut writer).await.unwrap();
    if reader.stream().abilities().half_close {
        assert_eq!(reader.read_chunk().await.unwrap(), None);
    }
}

/// Gives back what comes on every stream that the peer opens.
pub(crate) fn serve(server: Connection) -> rt::Task<()> {
    rt::spawn(async move {
        while let Ok(stream) = server.accept().await {
            rt::spawn(echo(stream)).detach();
        }
    })
}

/// The same tests over every wire, each as a test of its own.
macro_rules! over_each_wire {
    ($($test:ident),* $(,)?) => {
        over_each_wire!(@ yamux Yamux $($test)*);
        over_each_wire!(@ smux1 Smux1 $($test)*);
        over_each_wire!(@ smux2 Smux2 $($test)*);
        over_each_wire!(@ wormhole Wormhole $($test)*);
        over_each_wire!(@ websocket WebSocket $($test)*);
    };
    (@ $wire:ident $kind:ident $($test:ident)*) => {
        mod $wire {
            $(
                #[test]
                fn $test() {
                    crate::rt::each(async || {
                        super::$test(crate::cases::mux::wires::Kind::$kind).await;
                    });
                }
            )*
        }
    };
}

pub(crate) use over_each_wire;
