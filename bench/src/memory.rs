//! The scenario `memory`: what both sides keep while a command writes without end, and what a peer
//! gets for an announcement.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use trunkline_core::agentproto::{Agent, Config, ExecRequest, Frame, Local, encode};
use trunkline_core::{Instant, Machine};

use crate::command::{Programs, first_child, told_of};
use crate::stats::Summary;
use crate::table::{Goal, Row};
use crate::{Failure, Options};

/// The most that a side may keep, in MiB.
const RESIDENT: f64 = 32.0;

/// A DATA frame that announces 2^60 bytes.
const ANNOUNCED: &[u8] = b"\xa3\x61d\x5b\x10\x00\x00\x00\x00\x00\x00\x00";

/// Sessions that are announced something, to make a small cost visible.
const SESSIONS: usize = 1_000;

pub(crate) fn run(options: &Options, programs: &Programs) -> Result<Vec<Row>, Failure> {
    let mut rows = streaming(options, programs)?;
    rows.extend(announcing()?);
    rows.extend(announcing_to_an_agent(programs)?);
    Ok(rows)
}

/// Streams through a command and a reader that takes it all.
fn streaming(options: &Options, programs: &Programs) -> Result<Vec<Row>, Failure> {
    let gib: u64 = if options.quick { 1 } else { 10 };
    let mut exec = programs.trunkline();
    exec.args(["exec", "--", "head", "-c", &(gib << 30).to_string(), "/dev/zero"]);
    let mut child = spawn(exec.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let agent = first_child(child.id())?;
    let mut output = child.stdout.take().ok_or_else(|| Failure::new("no stdout"))?;
    let mut buffer = vec![0; 256 << 10];
    let (mut total, mut looked) = (0, 0);
    let (mut local_peak, mut agent_peak) = (0, 0);
    let (mut local_calls, mut agent_calls) = (0.0, 0.0);
    loop {
        let count = output
            .read(&mut buffer)
            .map_err(|error| Failure::new(format!("reading what exec wrote: {error}")))?;
        total += count as u64;
        // The peak only grows, so the last look is the one that counts.
        if count == 0 || total - looked >= 64 << 20 {
            looked = total;
            local_peak = told_of(child.id(), "status", "VmHWM").unwrap_or(local_peak);
            agent_peak = told_of(agent, "status", "VmHWM").unwrap_or(agent_peak);
            local_calls = calls_per_mib(child.id(), total).unwrap_or(local_calls);
            agent_calls = calls_per_mib(agent, total).unwrap_or(agent_calls);
        }
        if count == 0 {
            break;
        }
    }
    end(&mut child)?;
    if total != gib << 30 || local_peak == 0 || agent_peak == 0 {
        return Err(Failure::new(format!("{total} bytes of {gib} GiB came, or nobody was seen")));
    }
    let case = format!("{gib} GiB from a command");
    let row = |who, peak: u64| {
        let peak = Summary::of([peak as f64 / 1024.0])?;
        Some(Row::new("memory", case.clone(), who, "MiB", peak).goal(Goal::AtMost(RESIDENT)))
    };
    let calls = |who, calls| {
        Some(Row::new("memory", case.clone(), who, "calls/MiB", Summary::of([calls])?))
    };
    let rows = [
        row("local side, peak", local_peak),
        row("agent, peak", agent_peak),
        calls("local side, reads and writes", local_calls),
        calls("agent, reads and writes", agent_calls),
    ];
    Ok(rows.into_iter().flatten().collect())
}

/// Calls that read or wrote something, by a process that has moved so many bytes.
fn calls_per_mib(pid: u32, bytes: u64) -> Option<f64> {
    let calls = told_of(pid, "io", "syscr")? + told_of(pid, "io", "syscw")?;
    (bytes > 0).then(|| calls as f64 / (bytes as f64 / f64::from(1 << 20)))
}

/// Many sessions in this process, each announced 2^60 bytes: what the announcement makes resident.
fn announcing() -> Result<Vec<Row>, Failure> {
    let request = || ExecRequest { path: "cat".into(), ..ExecRequest::default() };
    let locals = growth(|| {
        let mut local = Local::new(Config::default());
        local.exec(Instant::ORIGIN, request(), None).ok()?;
        Some(local)
    })?;
    let exec = encode(&Frame::exec(request())).map_err(|error| Failure::new(error.to_string()))?;
    let exec = exec.into_bytes();
    let agents = growth(|| {
        let mut agent = Agent::new(Config::default());
        agent.handle_input(Instant::ORIGIN, exec.clone());
        while agent.poll_event().is_some() {}
        Some(agent)
    })?;
    let row = |who, bytes| {
        let figure = Summary::of([bytes])?;
        let row = Row::new("memory", "2^60 bytes announced", who, "B", figure);
        // A violation has a few words to keep; a page is already too much.
        Some(row.goal(Goal::AtMost(4096.0)))
    };
    Ok([row("local session, growth", locals), row("agent session, growth", agents)]
        .into_iter()
        .flatten()
        .collect())
}

fn growth<M: Machine<Input = Bytes>>(mut start: impl FnMut() -> Option<M>) -> Result<f64, Failure> {
    let refused = || Failure::new("a session could not be started");
    let mut sessions =
        (0..SESSIONS).map(|_| start().ok_or_else(refused)).collect::<Result<Vec<_>, _>>()?;
    let before = own_resident()?;
    for session in &mut sessions {
        session.handle_input(Instant::ORIGIN, Bytes::from_static(ANNOUNCED));
        while session.poll_event().is_some() {}
    }
    Ok(own_resident()?.saturating_sub(before) as f64 / SESSIONS as f64)
}

/// Resident bytes of this process.
fn own_resident() -> Result<u64, Failure> {
    let kib = told_of(std::process::id(), "status", "VmRSS");
    kib.map(|kib| kib << 10).ok_or_else(|| Failure::new("this process has no VmRSS"))
}

/// A real agent whose command runs: its peak before and after.
fn announcing_to_an_agent(programs: &Programs) -> Result<Vec<Row>, Failure> {
    let mut command = programs.trunkline();
    command.arg("agent").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut agent = spawn(&mut command)?;
    let mut input = agent.stdin.take().ok_or_else(|| Failure::new("no stdin"))?;
    let output = agent.stdout.take().ok_or_else(|| Failure::new("no stdout"))?;
    let argv = Some(vec!["sleep".into(), "2".into()]);
    let request = ExecRequest { path: "sleep".into(), argv, ..ExecRequest::default() };
    let exec = encode(&Frame::exec(request)).map_err(|error| Failure::new(error.to_string()))?;
    let written = |error| Failure::new(format!("writing to an agent: {error}"));
    input.write_all(&exec.into_bytes()).map_err(written)?;
    first_child(agent.id())?;
    let peak = || told_of(agent.id(), "status", "VmHWM").unwrap_or(0);
    let before = peak();
    input.write_all(ANNOUNCED).map_err(written)?;
    drop(input);
    // It hangs its command up after its grace time, or sees it end: until then it can be looked at.
    let mut after = before;
    let drained = std::thread::spawn(move || std::io::copy(&mut { output }, &mut std::io::sink()));
    while !drained.is_finished() {
        after = after.max(peak());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    end(&mut agent)?;
    if before == 0 {
        return Err(Failure::new("the agent was not seen"));
    }
    let figure = Summary::of([(after - before) as f64]);
    let row = |figure| {
        Row::new("memory", "2^60 bytes announced", "agent process, growth", "KiB", figure)
            .goal(Goal::AtMost(256.0))
    };
    Ok(figure.map(row).into_iter().collect())
}

fn spawn(command: &mut Command) -> Result<Child, Failure> {
    command.spawn().map_err(|error| Failure::new(format!("{command:?} did not start: {error}")))
}

fn end(child: &mut Child) -> Result<(), Failure> {
    match child.wait() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("a measured command ended with {status}"))),
        Err(error) => Err(Failure::new(format!("a measured command was lost: {error}"))),
    }
}
