//! How a relay is reached.

use std::path::{Path, PathBuf};

use trunkline_tokio::tunnel::{DIALECT_HEADER, DIALECT_VERSION, Dialect, Tunnel, TunnelOptions};
use trunkline_tokio::{
    Connection, DialError, DialOptions, Side, carrier, dial, websocket_over, yamux,
};

use crate::report::Failure;

/// The relay, and what lets this side in.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Relay {
    /// Address of the relay: https://HOST or https://HOST:PORT; http:// for one without TLS. The environment
    /// variable TRUNKLINE_RELAY names it otherwise.
    #[arg(long, value_name = "URL")]
    relay: Option<String>,
    /// File with the relay's login token. The environment variable TRUNKLINE_LOGIN_TOKEN holds it
    /// otherwise.
    #[arg(long, value_name = "FILE")]
    login_token_file: Option<PathBuf>,
    /// Trust the certificates of this file too, in PEM.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// A token, from its file or from the environment.
pub(super) fn token(file: Option<&Path>, variable: &str) -> Result<Option<String>, Failure> {
    let Some(path) = file else {
        return Ok(std::env::var(variable).ok().filter(|token| !token.is_empty()));
    };
    let secrets = crate::relay::tokens::read_secrets(path).map_err(Failure::usage)?;
    Ok(secrets.first().map(|secret| secret.expose().to_owned()))
}

/// An address of the relay: its own with this path behind it.
pub(crate) fn address(base: &str, path: &str) -> String {
    format!("{}{path}", base.trim_end_matches('/'))
}

/// Whether the handshake's answer agrees to our own stream types.
pub(super) fn dialect(headers: &trunkline_tokio::ResponseHeaders) -> Dialect {
    let agreed = headers.first(DIALECT_HEADER) == Some(DIALECT_VERSION);
    if agreed { Dialect::Own } else { Dialect::Original }
}

/// The multiplexer of a tunnel. An original's terminals speak in the frames of yamux: only there are
/// their ends kept, for a read never goes beyond one then.
pub(crate) fn multiplexer(dialect: Dialect) -> yamux::Config {
    let mut config = yamux::Config::agent_tunnel();
    config.frame_marks = dialect == Dialect::Original;
    config
}

/// Dials, and runs yamux inside the WebSocket.
pub(crate) async fn connect(options: DialOptions) -> std::io::Result<(Connection, Dialect)> {
    let (websocket, headers) = dial(options.header(DIALECT_HEADER, DIALECT_VERSION)).await?;
    let dialect = dialect(&headers);
    let machine = yamux::Connection::new(Side::Client, multiplexer(dialect))
        .map_err(std::io::Error::other)?;
    Ok((websocket_over(websocket, machine, carrier::Config::default()), dialect))
}

impl Relay {
    /// Opens the way to an agent.
    pub(super) async fn tunnel(&self, name: &str) -> Result<Tunnel, Failure> {
        let preset = || std::env::var("TRUNKLINE_RELAY").ok().filter(|url| !url.is_empty());
        let base = self.relay.clone().or_else(preset).ok_or_else(|| {
            Failure::usage("which relay? Name it with --relay URL, or in TRUNKLINE_RELAY")
        })?;
        if !crate::relay::is_id(name) {
            return Err(Failure::usage(format!("{name:?} cannot be the name of an agent")));
        }
        let mut options = DialOptions::new(address(&base, &format!("/-/open/{name}")));
        options.ca_file.clone_from(&self.ca_file);
        let token = token(self.login_token_file.as_deref(), "TRUNKLINE_LOGIN_TOKEN")?;
        if let Some(token) = token {
            options = options.header("Authorization", format!("Bearer {token}"));
        }
        let (connection, dialect) =
            connect(options).await.map_err(|error| refused(&error, name))?;
        let mut options = TunnelOptions::default();
        options.dialect = dialect;
        Ok(Tunnel::new(connection, options))
    }
}

/// Why the relay was of no use, in one line.
fn refused(error: &std::io::Error, name: &str) -> Failure {
    match DialError::of(error).and_then(DialError::status) {
        Some(404) => Failure::local(format!("no agent named {name:?} has joined the relay")),
        Some(401 | 403) => Failure::local(
            "the relay wants a login token, and not this one: see --login-token-file",
        ),
        _ => Failure::local(format!("cannot reach the relay: {error}")),
    }
}
