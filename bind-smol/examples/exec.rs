//! Runs a command on an agent and shows what it says, over smol.
//!
//! ```sh
//! cargo run -p trunkline-smol --example exec
//! cargo run -p trunkline-smol --example exec -- --via 'ssh host trunkline agent' -- ls -l
//! ```
//!
//! Without `--via` the agent is served in this very process, at the other end of a pair of sockets.

#[cfg(all(unix, feature = "host"))]
fn main() -> std::process::ExitCode {
    end(smol::block_on(run()))
}

#[cfg(all(unix, feature = "host"))]
async fn run() -> std::io::Result<trunkline_smol::ExitStatus> {
    use smol::net::unix::UnixStream;
    use std::io;
    use trunkline_smol::{Agent, ExecRequest, ServeOptions, exec_over, serve};

    let (via, command) = arguments();
    let request = ExecRequest {
        path: command[0].clone(),
        argv: Some(command),
        // The same as for the agent itself: folder, environment, no extra descriptors.
        ..ExecRequest::default()
    };
    let mut exec = match via {
        // Whatever leads to an agent: the command line's stdin and stdout carry the session.
        Some(line) => Agent::via(line).exec(request)?,
        // Any transport will do; here it is a socket, with an agent at its other end.
        None => {
            let (local, remote) = UnixStream::pair()?;
            smol::spawn(serve(remote, ServeOptions::default())).detach();
            exec_over(local, request)?
        }
    };

    // Both outputs are read as they come; one that nobody reads would hold the other up in the end.
    let (stdout, stderr) = (exec.take_stdout(), exec.take_stderr());
    let errors = smol::spawn(show(stderr, io::stderr()));
    show(stdout, io::stdout()).await?;
    errors.await?;

    // The input was not taken: waiting ends it.
    Ok(exec.wait().await)
}

/// Shows how it ended. A lost session has no code, and must not look like a success.
#[cfg(all(unix, feature = "host"))]
fn end(status: std::io::Result<trunkline_smol::ExitStatus>) -> std::process::ExitCode {
    let code = match status {
        Ok(status) => {
            eprintln!("{status}");
            status.code().and_then(|code| u8::try_from(code).ok())
        }
        Err(error) => {
            eprintln!("lost: {error}");
            None
        }
    };
    code.unwrap_or(255).into()
}

/// Copies an output of the command, in the chunks in which it comes.
#[cfg(all(unix, feature = "host"))]
async fn show(
    from: Option<trunkline_smol::Reader>,
    mut to: impl std::io::Write,
) -> std::io::Result<()> {
    let Some(mut from) = from else { return Ok(()) };
    while let Some(chunk) = from.read_chunk().await? {
        to.write_all(&chunk)?;
    }
    to.flush()
}

/// `[--via LINE] [--] [COMMAND [ARGUMENT...]]`
#[cfg(all(unix, feature = "host"))]
fn arguments() -> (Option<String>, Vec<String>) {
    let mut words = std::env::args().skip(1).peekable();
    let via = words.next_if(|word| word == "--via").and_then(|_| words.next());
    let _ = words.next_if(|word| word == "--");
    let command: Vec<String> = words.collect();
    let default = || vec!["uname".to_owned(), "-a".to_owned()];
    (via, if command.is_empty() { default() } else { command })
}

#[cfg(not(all(unix, feature = "host")))]
fn main() {}
