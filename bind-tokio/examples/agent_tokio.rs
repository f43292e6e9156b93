//! An agent: serves one session on stdin and stdout, over tokio.
//!
//! Whatever starts it and holds both its pipes is the local side:
//! `cargo run -p trunkline-tokio --example exec -- --via target/debug/examples/agent_tokio -- uname -a`.

#[cfg(all(unix, feature = "host"))]
#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<std::process::ExitCode> {
    use tokio::signal::unix::{SignalKind, signal};
    use trunkline_tokio::{ServeOptions, serve_stdio};

    // An agent that simply died of a signal would leave its command behind: it passes it on.
    let kind = SignalKind::terminate();
    let mut terminated = signal(kind)?;
    let stop = async move {
        terminated.recv().await;
        kind.as_raw_value()
    };
    let status = serve_stdio(ServeOptions::default())?.stop_when(stop).await;
    Ok(status.into())
}

#[cfg(not(all(unix, feature = "host")))]
fn main() {}
