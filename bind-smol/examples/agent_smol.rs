//! An agent: serves one session on stdin and stdout, over smol.
//!
//! Whatever starts it and holds both its pipes is the local side:
//! `cargo run -p trunkline-smol --example exec -- --via target/debug/examples/agent_smol -- uname -a`.

#[cfg(all(unix, feature = "host"))]
fn main() -> std::io::Result<std::process::ExitCode> {
    use async_signal::{Signal, Signals};
    use futures_lite::StreamExt as _;
    use trunkline_smol::{ServeOptions, serve_stdio};

    // An agent that simply died of a signal would leave its command behind: it passes it on.
    let mut terminated = Signals::new([Signal::Term])?;
    let stop = async move {
        terminated.next().await;
        Signal::Term as i32
    };
    let status = smol::block_on(serve_stdio(ServeOptions::default())?.stop_when(stop));
    Ok(status.into())
}

#[cfg(not(all(unix, feature = "host")))]
fn main() {}
