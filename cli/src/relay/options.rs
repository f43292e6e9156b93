//! The command line of `trunkline relay`.

use std::path::PathBuf;
use std::time::Duration;

/// Where a relay listens unless it is told otherwise.
pub(super) const LISTEN: &str = "127.0.0.1:8080";

/// Run a relay: agents join it, and people reach them through it.
///
/// Agents dial the relay (`trunkline join`), so they need no address of their own. What they serve
/// is then at /NAME/ of the relay, or at NAME.DOMAIN with --domain; `trunkline shell` and `trunkline
/// forward` open terminals and ports through it. Its own page lists the agents.
///
/// Without --tokens and a login token it listens on loopback only, and lets everybody there in.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RelayArgs {
    /// Address and port to listen on; port 0 picks one.
    #[arg(long, value_name = "ADDR", default_value = LISTEN)]
    pub(crate) listen: String,
    /// File with a line 'NAME TOKEN' or 'NAME TOKEN OWNER' for each agent that may join; reread on
    /// SIGHUP.
    #[arg(long, value_name = "FILE")]
    pub(crate) tokens: Option<PathBuf>,
    /// File with the token that lets people in: the page, the proxy, shell and forward. The
    /// environment variable TRUNKLINE_LOGIN_TOKEN holds it otherwise.
    #[arg(long, value_name = "FILE")]
    pub(crate) login_token_file: Option<PathBuf>,
    /// Let everybody use the page, the proxy, shell and forward without a login. Agents still need
    /// their tokens.
    #[arg(long, conflicts_with = "login_token_file")]
    pub(crate) no_login: bool,
    /// Give each agent the host name NAME.DOMAIN, instead of the path /NAME/, which leads there.
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) domain: Option<String>,
    /// Certificate chain in PEM: the relay speaks TLS. Needs --tls-key.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Private key in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Store that several relays share, to find which of them holds an agent: redis://HOST:PORT/DB or
    /// unix:///PATH. A password in it is better given in TRUNKLINE_STORE.
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// Address at which the other relays reach this one: http://HOST:PORT [default: the one that it
    /// listens on, when that is not every address].
    #[arg(long, value_name = "URL")]
    pub(crate) advertise: Option<String>,
    /// File with the token by which relays of one store know each other; --store needs it where
    /// people log in.
    #[arg(long, value_name = "FILE")]
    pub(crate) peer_token_file: Option<PathBuf>,
    /// What the relay is called on its page and by other relays [default: the host's name].
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Believe X-Forwarded-For, -Host and -Proto: a reverse proxy in front sets them.
    #[arg(long)]
    pub(crate) trust_forwarded: bool,
    /// How long a request waits for an agent that has just left.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub(crate) wait: u64,
    /// Give up a request when its agent says nothing for so many seconds; 0 waits for ever.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) answer_timeout: u64,
    /// Largest body of unknown length, in bytes, that is kept for an agent that needs its length: an
    /// original's.
    #[arg(long, value_name = "N", default_value = "8M", value_parser = crate::fs::sizes::parse)]
    pub(crate) keep_body: i64,
    /// Start a relay, an agent and a small web server here, and say what to try. Who comes from this
    /// machine gets a shell of yours.
    #[arg(long, conflicts_with_all = ["tokens", "login_token_file", "domain", "tls_cert", "store"])]
    pub(crate) demo: bool,
}

impl RelayArgs {
    /// How long the head of an answer may take.
    pub(super) fn answer_time(&self) -> Option<Duration> {
        (self.answer_timeout > 0).then(|| Duration::from_secs(self.answer_timeout))
    }
}
