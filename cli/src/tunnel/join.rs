//! `trunkline join`: be an agent of a relay.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use trunkline_tokio::tunnel::{
    AgentOptions, Backoff, Dialect, LocalService, Shell, Target, serve_tunnel,
};
use trunkline_tokio::{CloseReason, DialError, DialOptions};

use super::facts::{self, Abilities};
use super::reach;
use crate::report::{Failure, Outcome, say};

/// Join a relay, so that people can reach this machine through it.
///
/// Nothing is served but what is asked for: a local web server with --http, a shell with --shell,
/// connections to other ports with --allow. The connection is made anew when it is lost, after 1
/// second, doubling up to a minute.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct JoinArgs {
    /// Address of the relay: wss://HOST or wss://HOST:PORT; ws:// for one without TLS.
    #[arg(value_name = "URL")]
    pub(crate) relay: String,
    /// The name to join under.
    #[arg(long, value_name = "NAME")]
    pub(crate) id: String,
    /// File with this agent's token. The environment variable TRUNKLINE_TOKEN holds it otherwise.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Send the token in the address, as servers of the original want it; it may end up in their
    /// logs then.
    #[arg(long)]
    pub(crate) token_in_url: bool,
    /// Serve the web server at this address: HOST:PORT, or http://HOST:PORT/PATH.
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<String>,
    /// Pass the Host of the request on, instead of the web server's own.
    #[arg(long, requires = "http")]
    pub(crate) keep_host: bool,
    /// Serve terminals: a login shell, or whatever command a caller asks for.
    #[arg(long)]
    pub(crate) shell: bool,
    /// Let connections be forwarded to this host and port; * is every port. Repeat for more.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) allow: Vec<Target>,
    /// Trust the certificates of this file too, in PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// End when the connection is lost or does not come about, instead of trying again.
    #[arg(long)]
    pub(crate) once: bool,
}

/// What came of one connection.
enum Ended {
    /// It was there, and is over.
    Left(CloseReason),
    /// It did not come about.
    Failed(std::io::Error),
}

/// Runs `trunkline join`.
pub(crate) async fn run(args: JoinArgs) -> Outcome {
    let asked = crate::signals::asked_to_end()
        .map_err(|error| Failure::local(format!("cannot watch signals: {error}")))?;
    let served = stay(args);
    tokio::select! {
        outcome = served => outcome,
        _ = asked => Ok(ExitCode::SUCCESS),
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::SUCCESS),
    }
}

/// Joins again and again.
pub(crate) async fn stay(args: JoinArgs) -> Outcome {
    if !crate::relay::is_id(&args.id) {
        let line = "a name is 1 to 63 letters, digits, '-', '_' and '.', and begins with one of the first two";
        return Err(Failure::usage(format!("--id {:?}: {line}", args.id)));
    }
    let options = Arc::new(options(&args)?);
    let token = reach::token(args.token_file.as_deref(), "TRUNKLINE_TOKEN")?;
    let mut backoff = Backoff::new();
    loop {
        let begun = Instant::now();
        let ended = once(&args, token.as_deref(), &options).await;
        backoff.lost(begun.elapsed());
        let line = match &ended {
            Ended::Left(reason) => format!("the connection to the relay is over: {reason}"),
            Ended::Failed(error) => format!("cannot join: {error}"),
        };
        let refused = match &ended {
            Ended::Failed(error) => {
                matches!(DialError::of(error).and_then(DialError::status), Some(400 | 401 | 403))
                    || error.kind() == std::io::ErrorKind::InvalidInput
            }
            Ended::Left(_) => false,
        };
        if args.once || refused {
            return Err(Failure::local(line));
        }
        let wait = backoff.wait(jitter());
        say(format_args!("{line}; trying again in {:.1} s", wait.as_secs_f64()));
        tokio::time::sleep(wait).await;
    }
}

fn options(args: &JoinArgs) -> Result<AgentOptions, Failure> {
    let mut options = AgentOptions::default();
    if let Some(address) = &args.http {
        let service = LocalService::new(address);
        options.http = Some(service.map_err(|line| Failure::usage(format!("--http: {line}")))?);
    }
    options.keep_host = args.keep_host;
    options.shell = args.shell.then(Shell::new);
    options.allowed = args.allow.iter().cloned().collect();
    if args.http.is_none() && !args.shell && args.allow.is_empty() {
        say("nothing is served: see --http, --shell and --allow");
    }
    let abilities = Abilities {
        http: args.http.is_some(),
        shell: args.shell,
        forwards: options.allowed.iter().collect(),
    };
    options.info = Arc::new(move || facts::document(&abilities));
    Ok(options)
}

async fn once(args: &JoinArgs, token: Option<&str>, options: &Arc<AgentOptions>) -> Ended {
    let mut path = format!("/api/tunnel/{}", args.id);
    let mut headers = Vec::new();
    match token {
        Some(token) if args.token_in_url => {
            path.push_str("?token=");
            path.extend(token.bytes().map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                    char::from(byte).to_string()
                }
                byte => format!("%{byte:02X}"),
            }));
        }
        Some(token) => headers.push(("Authorization".to_owned(), format!("Bearer {token}"))),
        None => {}
    }
    let mut dial = DialOptions::new(reach::address(&args.relay, &path));
    dial.headers = headers;
    dial.ca_file.clone_from(&args.ca_file);
    match reach::connect(dial).await {
        Err(error) => Ended::Failed(error),
        Ok((connection, dialect)) => {
            let kind = match dialect {
                Dialect::Own => "",
                Dialect::Original => " (an original: HTTP calls and terminals only)",
            };
            say(format_args!("joined as {}{kind}", args.id));
            Ended::Left(serve_tunnel(connection, dialect, Arc::clone(options)).await)
        }
    }
}

/// Anything, so that agents which lost the same relay do not come back in one moment.
fn jitter() -> u32 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::hash::RandomState::new().build_hasher().finish() as u32
}
