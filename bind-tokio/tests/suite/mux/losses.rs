//! The link is lost at any moment: never a stream that seems to end in order, never a hang.

use super::wires::{Kind, over_each_wire, stream};
use crate::cases::support::{Pattern, turn};
use crate::cases::wire::Fate;
use crate::rt;

over_each_wire!(
    a_link_cut_at_any_byte_is_no_end,
    a_link_that_fails_to_write_at_any_byte_is_no_end,
    a_driver_that_is_gone_loses_the_connection,
);

const COUNT: usize = 2_000;

/// Sends a stream whole and in order, and says whether the other side read all of it.
async fn transfer(kind: Kind, prepare: impl FnOnce(&crate::cases::wire::Line)) -> bool {
    let (client, server, line) = kind.pair();
    prepare(&line);
    let sending = rt::spawn(async move {
        let Ok(mut stream) = client.open().await else { return client };
        let all = Pattern::new().head(COUNT);
        for piece in all.chunks(300) {
            if rt::write_all(&mut stream, piece).await.is_err() {
                return client;
            }
            turn().await;
        }
        let _ = rt::close(&mut stream).await;
        // It is over when the peer has ended it too, or is lost.
        let _ = rt::read_to_end(&mut stream).await;
        client
    });
    let whole = match server.accept().await {
        Err(_) => false,
        Ok(mut stream) => match rt::read_to_end(&mut stream).await {
            Err(_) => false,
            Ok(bytes) => {
                assert!(bytes == Pattern::new().head(COUNT), "an end after {}", bytes.len());
                true
            }
        },
    };
    server.abort();
    drop(sending.await);
    whole
}

async fn a_link_cut_at_any_byte_is_no_end(kind: Kind) {
    assert!(transfer(kind, |_| {}).await);
    for fate in [Fate::End, Fate::Reset] {
        let mut lost = 0;
        for count in (0..2_300).step_by(41) {
            lost += usize::from(!transfer(kind, |line| line.up.cut_after(count, fate)).await);
        }
        assert!(lost > 40, "{lost}");
    }
}

async fn a_link_that_fails_to_write_at_any_byte_is_no_end(kind: Kind) {
    for count in [0, 5, 700, 1_900] {
        assert!(!transfer(kind, |line| line.up.break_after(count)).await);
    }
}

async fn a_driver_that_is_gone_loses_the_connection(kind: Kind) {
    // The peer's whole end goes at once, in the middle of everything.
    let (client, server, line) = kind.pair();
    let (mut ours, theirs) = stream(&client, &server).await;
    line.down.cut(Fate::End);
    let error = rt::read_to_end(&mut ours).await.unwrap_err();
    assert!(rt::MuxError::of(&error).is_some(), "{error:?}");
    client.closed().await;
    drop((theirs, server));
}
