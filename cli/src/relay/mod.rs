//! The relay: agents join it, people reach them through it.
// Where something is refused the error is the answer itself.
#![allow(clippy::result_large_err)]

mod access;
mod agents;
mod api;
mod body;
mod console;
mod demo;
mod files;
mod gate;
mod guests;
mod joins;
mod kept;
mod limit;
mod login;
mod opens;
mod options;
mod page;
mod peers;
mod place;
mod proxy;
mod redis;
mod routes;
mod server;
pub(crate) mod tokens;
mod upgrade;
mod ways;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use joins::is_id;
pub(crate) use options::RelayArgs;

use crate::report::{Failure, Outcome, say};
use agents::Agents;
use gate::Gate;
use peers::Peers;
use tokio::sync::watch;
use trunkline_tokio::tunnel::{Directory, NoDirectory};

/// A relay's state, shared by everything it does.
#[derive(Debug)]
pub(crate) struct Relay {
    options: RelayArgs,
    gate: Gate,
    agents: Agents,
    directory: Arc<dyn Directory>,
    peers: Arc<Peers>,
    /// What people call it, and other relays.
    name: String,
    started: u64,
    secure: bool,
    /// Whether the relay is to end. Whoever waits for that keeps it from ending, for a while.
    ending: watch::Sender<bool>,
}

impl Relay {
    /// How its addresses begin.
    const fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    /// How long an agent that has just left is waited for.
    const fn patience(&self) -> Duration {
        Duration::from_secs(self.options.wait)
    }
}

/// Runs `trunkline relay`.
pub(crate) async fn run(args: RelayArgs) -> Outcome {
    if args.demo {
        return demo::run(args).await;
    }
    let relay = start(args).await?;
    relay.serve().await
}

/// Makes a relay that listens, and serves nobody yet.
async fn start(mut args: RelayArgs) -> Result<server::Listening, Failure> {
    let tls = server::tls(&args)?;
    let gate = Gate::of(&args).map_err(Failure::usage)?;
    let listener = server::listen(&args.listen, &gate).await?;
    if let (None, Ok(at)) = (&args.advertise, listener.local_addr())
        && !at.ip().is_unspecified()
    {
        let scheme = if tls.is_some() { "https" } else { "http" };
        args.advertise = Some(format!("{scheme}://{at}"));
    }
    let relay = Relay {
        name: args.name.clone().unwrap_or_else(host_name),
        started: agents::now_ms(),
        secure: tls.is_some(),
        agents: Agents::default(),
        directory: directory(&args, &gate)?,
        peers: Arc::default(),
        ending: watch::Sender::new(false),
        gate,
        options: args,
    };
    let relay = Arc::new(relay);
    tokio::spawn(Arc::clone(&relay).let_go());
    let listening = server::Listening::new(listener, tls, relay)?;
    say(format_args!("relay listens on {}", listening.address()));
    Ok(listening)
}

/// What relays share, when there is more than one.
fn directory(args: &RelayArgs, gate: &Gate) -> Result<Arc<dyn Directory>, Failure> {
    let in_environment = || std::env::var("TRUNKLINE_STORE").ok().filter(|url| !url.is_empty());
    let Some(store) = args.store.clone().or_else(in_environment) else {
        return Ok(Arc::new(NoDirectory));
    };
    if args.advertise.is_none() {
        let line = "other relays must know how to reach this one: add --advertise URL";
        return Err(Failure::usage(line));
    }
    if gate.asks() && gate.peer_token().is_none() {
        let line = "relays of one store need a token of their own: add --peer-token-file FILE";
        return Err(Failure::usage(line));
    }
    Ok(Arc::new(redis::RedisDirectory::new(&store).map_err(Failure::usage)?))
}

fn host_name() -> String {
    let uname = rustix::system::uname();
    uname.nodename().to_string_lossy().into_owned()
}
