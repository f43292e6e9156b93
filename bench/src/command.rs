//! Processes that are measured: how long they take, what they burn, what they keep.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;

/// The programs that are measured.
#[derive(Debug)]
pub(crate) struct Programs {
    /// The command itself.
    pub(crate) trunkline: PathBuf,
    /// The Go peer, where its source and a Go toolchain are.
    pub(crate) go: Option<PathBuf>,
}

impl Programs {
    /// Builds what is not built: the command by cargo with the profile of this program, the peer by
    /// Go.
    pub(crate) fn build() -> Result<Self, Failure> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .ok_or_else(|| Failure::new("this crate lies in no workspace"))?;
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "-p", "trunkline"]).current_dir(root);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        succeed(&mut build, "building the command")?;
        let own = env::current_exe()
            .map_err(|error| Failure::new(format!("this program is nowhere: {error}")))?;
        let trunkline = own.with_file_name("trunkline");
        if !trunkline.is_file() {
            return Err(Failure::new(format!("{} was not built", trunkline.display())));
        }
        Ok(Self { trunkline, go: go_peer(root, &own)? })
    }

    /// The command, with an environment that cannot change what is measured.
    pub(crate) fn trunkline(&self) -> Command {
        let mut command = Command::new(&self.trunkline);
        command.env_remove("TRUNKLINE_VIA").env_remove("RUST_LOG");
        command
    }
}

/// The peer in Go: its agent, and a local side that starts one.
fn go_peer(root: &Path, own: &Path) -> Result<Option<PathBuf>, Failure> {
    let source = root.join("conformance/peers/agentproto");
    if !source.join("go.mod").is_file() {
        eprintln!("bench: no Go peer: {} is not there", source.display());
        return Ok(None);
    }
    let built = own.with_file_name("agentproto-peer");
    let mut build = Command::new("go");
    build.arg("build").arg("-o").arg(&built).arg(".").current_dir(&source);
    if build.stdin(Stdio::null()).output().is_err() {
        eprintln!("bench: no Go peer: there is no Go toolchain to build it");
        return Ok(None);
    }
    succeed(&mut build, "building the Go peer")?;
    Ok(Some(built))
}

/// What one run of a command took, everything below it included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// From start to end.
    pub(crate) wall: Duration,
    /// User and system time of all its processes.
    pub(crate) cpu: Duration,
}

/// Runs a command that must succeed, and says what it took.
pub(crate) fn cost(command: &mut Command) -> Result<Cost, Failure> {
    let before = children_cpu()?;
    let start = Instant::now();
    let status = command
        .status()
        .map_err(|error| Failure::new(format!("{command:?} did not start: {error}")))?;
    let wall = start.elapsed();
    if !status.success() {
        return Err(Failure::new(format!("{command:?} ended with {status}")));
    }
    Ok(Cost { wall, cpu: children_cpu()?.saturating_sub(before) })
}

/// Runs a command for its effect alone.
pub(crate) fn succeed(command: &mut Command, what: &str) -> Result<(), Failure> {
    match command.stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("{what} failed: {status}"))),
        Err(error) => Err(Failure::new(format!("{what} failed: {error}"))),
    }
}

/// User and system time of all processes that were waited for, and of those that they waited for.
///
/// The system tells it in hundredths of a second.
fn children_cpu() -> Result<Duration, Failure> {
    let text = fs::read_to_string("/proc/self/stat")
        .map_err(|error| Failure::new(format!("/proc/self/stat cannot be read: {error}")))?;
    // The second field is a name in parentheses, which may hold anything.
    let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ticks: u64 = fields.skip(13).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}

/// A number behind a key in a file under `/proc` of a process, such as `VmHWM` in `status`.
pub(crate) fn told_of(pid: u32, file: &str, key: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The children of a process.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists =
        tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|child| child.parse().ok())
        .collect()
}

/// The first child that a process has, waited for for a while.
pub(crate) fn first_child(pid: u32) -> Result<u32, Failure> {
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until {
        if let Some(child) = children(pid).first() {
            return Ok(*child);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(Failure::new(format!("process {pid} started nothing within 10 s")))
}

/// A file of so many bytes in memory, where there is such a place and room for it.
#[derive(Debug)]
pub(crate) struct Input(PathBuf);

impl Input {
    pub(crate) fn new(size: u64) -> Result<Self, Failure> {
        use std::io::Write as _;
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { memory.to_path_buf() } else { env::temp_dir() };
        let input = Self(folder.join(format!("trunkline-bench-{}", std::process::id())));
        let failed = |error| Failure::new(format!("{} cannot be made: {error}", input.0.display()));
        let mut file = fs::File::create(&input.0).map_err(failed)?;
        let block: Vec<u8> =
            (0..1 << 20).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for _ in 0..size >> 20 {
            file.write_all(&block).map_err(failed)?;
        }
        Ok(input)
    }

    /// Opens it for a command to read.
    pub(crate) fn open(&self) -> Result<fs::File, Failure> {
        fs::File::open(&self.0)
            .map_err(|error| Failure::new(format!("{} is gone: {error}", self.0.display())))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_child_burns_is_counted() {
        let cost = cost(
            Command::new("sh").args(["-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"]),
        )
        .unwrap();
        assert!(cost.cpu >= Duration::from_millis(20), "{cost:?}");
    }

    #[test]
    fn a_command_that_fails_is_no_measurement() {
        assert!(cost(&mut Command::new("false")).is_err());
    }

    #[test]
    fn a_process_tells_its_memory_and_its_children() {
        let mut child = Command::new("sh").args(["-c", "sleep 60; :"]).spawn().unwrap();
        let sleeper = first_child(child.id());
        assert!(told_of(child.id(), "status", "VmHWM").unwrap() > 0);
        child.kill().unwrap();
        child.wait().unwrap();
        let _ = Command::new("kill").arg(sleeper.unwrap().to_string()).status();
    }
}
