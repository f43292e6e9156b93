//! `trunkline forward`: ports of this machine that lead to an agent's network.

use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use trunkline_tokio::tunnel::{Dialect, Tunnel};

use super::reach;
use crate::report::{Failure, Outcome, say};

/// Forward ports of this machine through a relay to where an agent can reach.
///
/// The agent has to allow it (`trunkline join --allow HOST:PORT`). Runs until it is told to end.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ForwardArgs {
    #[command(flatten)]
    relay: reach::Relay,
    /// The agent's name.
    name: String,
    /// Listen on PORT (0 picks one) of ADDR, 127.0.0.1 where it is left out, and forward each
    /// connection to HOST:HOSTPORT as the agent sees it. Repeat for more.
    #[arg(short = 'L', required = true, value_name = "[ADDR:]PORT:HOST:HOSTPORT")]
    listen: Vec<Rule>,
}

/// One port, and where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    address: String,
    port: u16,
    host: String,
    host_port: u16,
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not [ADDR:]PORT:HOST:HOSTPORT");
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            // Addresses with colons stand in brackets.
            let (part, behind) = match rest.strip_prefix('[') {
                Some(inner) => {
                    let (part, behind) = inner.split_once(']').ok_or_else(wrong)?;
                    (part, behind.strip_prefix(':').unwrap_or(behind))
                }
                None => rest.split_once(':').unwrap_or((rest, "")),
            };
            parts.push(part);
            rest = behind;
        }
        let (address, [port, host, host_port]) = match parts[..] {
            [port, host, host_port] => ("127.0.0.1", [port, host, host_port]),
            [address, port, host, host_port] => (address, [port, host, host_port]),
            _ => return Err(wrong()),
        };
        let address = if matches!(address, "" | "*") { "0.0.0.0" } else { address };
        let (port, host_port) =
            (port.parse().map_err(|_| wrong())?, host_port.parse().map_err(|_| wrong())?);
        if host.is_empty() || host_port == 0 {
            return Err(wrong());
        }
        Ok(Self { address: address.to_owned(), port, host: host.to_owned(), host_port })
    }
}

/// The way to the agent; made anew when it is lost and somebody wants to go there.
struct Way {
    args: ForwardArgs,
    tunnel: Mutex<Option<Tunnel>>,
}

impl Way {
    async fn tunnel(&self) -> Result<Tunnel, Failure> {
        let mut held = self.tunnel.lock().await;
        if let Some(tunnel) = held.as_ref().filter(|tunnel| tunnel.connection().opens()) {
            return Ok(tunnel.clone());
        }
        let tunnel = self.args.relay.tunnel(&self.args.name).await?;
        Ok(held.insert(tunnel).clone())
    }
}

/// Runs `trunkline forward`.
pub(crate) async fn run(args: ForwardArgs) -> Outcome {
    let rules = args.listen.clone();
    let way = Arc::new(Way { args, tunnel: Mutex::new(None) });
    if way.tunnel().await?.dialect() == Dialect::Original {
        return Err(Failure::local("this agent cannot forward ports: it is not one of ours"));
    }
    for rule in rules {
        let listener = TcpListener::bind((rule.address.as_str(), rule.port)).await;
        let bound = listener.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = bound.map_err(|error| {
            Failure::local(format!("cannot listen on {}:{}: {error}", rule.address, rule.port))
        })?;
        say(format_args!("{address} leads to {}:{}", rule.host, rule.host_port));
        tokio::spawn(listen(listener, rule, Arc::clone(&way)));
    }
    let asked = crate::signals::asked_to_end()
        .map_err(|error| Failure::local(format!("cannot watch signals: {error}")))?;
    tokio::select! {
        _ = asked => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn listen(listener: TcpListener, rule: Rule, way: Arc<Way>) {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                let (rule, way) = (rule.clone(), Arc::clone(&way));
                tokio::spawn(async move { carry(socket, &rule, &way).await });
            }
            Err(error) => {
                say(format_args!("a connection could not be accepted: {error}"));
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

/// Has the socket's peer see a break, once it is dropped: a close alone would tell an end.
fn break_off(socket: &TcpStream) {
    let _ = socket.set_zero_linger();
}

async fn carry(socket: TcpStream, rule: &Rule, way: &Way) {
    let _ = socket.set_nodelay(true);
    let tunnel = match way.tunnel().await {
        Ok(tunnel) => tunnel,
        Err(failure) => {
            failure.report();
            return break_off(&socket);
        }
    };
    match tunnel.open_forward(&rule.host, rule.host_port).await {
        Ok(raw) => {
            let joined =
                raw.join_socket_or(TokioIo::new(socket), |socket| break_off(socket.inner())).await;
            if let Err(error) = joined {
                tracing::info!(%error, "a forwarded connection broke");
            }
        }
        Err(error) => {
            break_off(&socket);
            say(format_args!("cannot forward to {}:{}: {error}", rule.host, rule.host_port));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_those_of_ssh() {
        let rule = |text: &str| {
            text.parse::<Rule>().map(|rule| {
                format!("{} {} {} {}", rule.address, rule.port, rule.host, rule.host_port)
            })
        };
        assert_eq!(rule("2222:127.0.0.1:22").unwrap(), "127.0.0.1 2222 127.0.0.1 22");
        assert_eq!(rule("0.0.0.0:80:db:5432").unwrap(), "0.0.0.0 80 db 5432");
        assert_eq!(rule("[::1]:80:[fe80::1]:22").unwrap(), "::1 80 fe80::1 22");
        assert_eq!(rule("*:80:a:1").unwrap(), "0.0.0.0 80 a 1");
        for wrong in ["", "80", "80:a", "80:a:0", "a:b:c", "1:2:3:4:5", "80::1", "[::1:80:a:1"] {
            assert!(rule(wrong).is_err(), "{wrong}");
        }
    }
}
