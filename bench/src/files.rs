//! The scenario `files`: transfers beside sftp, scp, rsync and the Go peer's agent; over a long fat
//! link, and without one.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::command::{Cost, Programs, cost};
use crate::relay::Link;
use crate::stats::Summary;
use crate::table::{Goal, Row};
use crate::{Failure, Options};

/// 200 ms there and back, 1 Gbit/s.
const LINK: Link = Link { delay: Duration::from_millis(100), bytes_per_second: 125_000_000 };

const ROUND_TRIP: f64 = 0.2;

const SFTP_SERVER: &str = "/usr/lib/openssh/sftp-server";

/// Small files that a peer gets, and how many there would be.
const FEW: usize = 200;
const MANY: usize = 10_000;

/// A folder in memory with what is transferred, and the scripts that lead over the link.
struct Place {
    dir: PathBuf,
    link: String,
}

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Get,
    Put,
}

impl Way {
    const BOTH: [Self; 2] = [Self::Get, Self::Put];

    const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
        }
    }
}

pub(crate) fn run(options: &Options, programs: &Programs) -> Result<Vec<Row>, Failure> {
    let place = Place::new()?;
    let mut rows = Vec::new();
    over_the_link(options, programs, &place, &mut rows)?;
    small_files(options, programs, &place, &mut rows)?;
    listing(options, programs, &place, &mut rows)?;
    loopback(options, programs, &place, &mut rows)?;
    Ok(rows)
}

/// One large file over the link, as a rate: peers with a small window get a smaller file.
fn over_the_link(
    options: &Options,
    programs: &Programs,
    place: &Place,
    rows: &mut Vec<Row>,
) -> Result<(), Failure> {
    let (large, small) = if options.quick { (256, 16) } else { (1_024, 64) };
    let runs = if options.quick { 1 } else { 3 };
    let (large_file, small_file) = (place.file("large", large)?, place.file("small", small)?);
    let target = place.dir.join("target");
    let timed = |mib: usize, mut commands: Vec<Command>| -> Result<Summary, Failure> {
        let mut rates = Vec::new();
        for command in &mut commands {
            remove(&target);
            let taken = cost(command)?.wall.as_secs_f64();
            rates.push(mib as f64 * 1.048_576 / taken);
        }
        remove(&target);
        Summary::of(rates).ok_or_else(|| Failure::new("nothing was measured"))
    };
    let repeated = |make: &dyn Fn() -> Result<Command, Failure>| {
        (0..runs).map(|_| make()).collect::<Result<Vec<_>, _>>()
    };
    let raw = timed(large, repeated(&|| place.raw(&large_file))?)?;
    rows.push(Row::new("files", format!("{large} MiB, link alone"), "cat", "MB/s", raw));
    for way in Way::BOTH {
        let case = |mib| format!("{} {mib} MiB, 200 ms, 1 Gbit/s", way.name());
        let ours = |agent: &str, file: &Path| place.trunkline(programs, agent, way, file, &target);
        let own = place.own_agent(programs);
        let figure = timed(large, repeated(&|| Ok(ours(&own, &large_file)))?)?;
        let row = Row::new("files", case(large), "trunkline", "MB/s", figure);
        rows.push(row.beside("link", raw).goal(Goal::RatioAtLeast(0.9)));
        if let Some(go) = &programs.go {
            let agent = format!("{} {} agent", place.link, go.display());
            let figure = timed(large, repeated(&|| Ok(ours(&agent, &large_file)))?)?;
            let who = "trunkline, Go agent";
            rows.push(Row::new("files", case(large), who, "MB/s", figure).beside("link", raw));
        }
        for (who, make) in PEERS {
            let figure = timed(small, vec![make(place, true, way, &small_file, &target)?])?;
            rows.push(Row::new("files", case(small), who, "MB/s", figure).beside("link", raw));
        }
    }
    Ok(())
}

/// Many small files over the link: all of them with the command, few with sftp, and scaled.
fn small_files(
    options: &Options,
    programs: &Programs,
    place: &Place,
    rows: &mut Vec<Row>,
) -> Result<(), Failure> {
    let (few, many) = if options.quick { (20, 2_000) } else { (FEW, MANY) };
    let (few_tree, many_tree) = (place.tree("few", few)?, place.tree("many", many)?);
    let target = place.dir.join("target");
    for way in Way::BOTH {
        let case = format!("{} {MANY} files of 4 KiB, 200 ms", way.name());
        let scaled = |cost: Cost, count: usize| {
            Summary::of([cost.wall.as_secs_f64() * MANY as f64 / count as f64])
                .ok_or_else(|| Failure::new("nothing was measured"))
        };
        remove(&target);
        let own = place.own_agent(programs);
        let ours =
            scaled(cost(&mut place.trunkline(programs, &own, way, &many_tree, &target))?, many)?;
        remove(&target);
        let sftp = scaled(cost(&mut sftp(place, true, way, &few_tree, &target)?)?, few)?;
        remove(&target);
        let row = Row::new("files", case.clone(), "trunkline", "s", ours);
        rows.push(row.beside("sftp", sftp).goal(Goal::RatioAtMost(0.1)));
        rows.push(Row::new("files", case.clone(), format!("sftp, {few} and scaled"), "s", sftp));
        // rsync streams a tree: it is fast here, and the whole tree can be measured.
        let rsync = scaled(cost(&mut rsync(place, true, way, &many_tree, &target)?)?, many)?;
        rows.push(Row::new("files", case, "rsync", "s", rsync));
    }
    remove(&target);
    Ok(())
}

/// A long listing over the link, in round trips.
fn listing(
    options: &Options,
    programs: &Programs,
    place: &Place,
    rows: &mut Vec<Row>,
) -> Result<(), Failure> {
    let count = if options.quick { 2_000 } else { MANY };
    let tree = place.tree("many", count)?;
    let mut ls = programs.trunkline();
    ls.args(["fs", "ls", "-l", "--via", &place.own_agent(programs)]).arg(&tree);
    let trips =
        cost(ls.stdin(Stdio::null()).stdout(Stdio::null()))?.wall.as_secs_f64() / ROUND_TRIP;
    let figure = Summary::of([trips]).ok_or_else(|| Failure::new("nothing was measured"))?;
    let case = format!("ls -l of {count} entries");
    rows.push(Row::new("files", case, "trunkline", "round trips", figure).goal(Goal::AtMost(6.0)));
    Ok(())
}

/// One large file without a link: CPU of all processes together.
fn loopback(
    options: &Options,
    programs: &Programs,
    place: &Place,
    rows: &mut Vec<Row>,
) -> Result<(), Failure> {
    let mib = if options.quick { 512 } else { 1_024 };
    let file = place.file("large", mib)?;
    let target = place.dir.join("target");
    let runs = options.runs(5);
    let burnt = |make: &dyn Fn() -> Result<Command, Failure>| -> Result<Summary, Failure> {
        let mut figures = Vec::new();
        for _ in 0..runs {
            remove(&target);
            figures.push(cost(&mut make()?)?.cpu.as_secs_f64() * 1e9 / (mib << 20) as f64);
        }
        remove(&target);
        Summary::of(figures).ok_or_else(|| Failure::new("nothing was measured"))
    };
    let cats = burnt(&|| {
        let mut cat = Command::new("sh");
        cat.args(["-c", "cat \"$0\" | cat >\"$1\""]).arg(&file).arg(&target);
        cat.stdin(Stdio::null());
        Ok(cat)
    })?;
    const CATS: &str = "cat FILE|cat >FILE";
    rows.push(Row::new("files", format!("{mib} MiB, loopback"), CATS, "s of CPU/GB", cats));
    for way in Way::BOTH {
        let case = format!("{} {mib} MiB, loopback", way.name());
        let agent = format!("'{}' agent", programs.trunkline.display());
        let ours = burnt(&|| Ok(place.trunkline(programs, &agent, way, &file, &target)))?;
        let row = Row::new("files", case.clone(), "trunkline", "s of CPU/GB", ours);
        rows.push(row.beside(CATS, cats).goal(Goal::RatioAtMost(3.0)));
        for (who, make) in PEERS {
            let figure = burnt(&|| make(place, false, way, &file, &target))?;
            let row = Row::new("files", case.clone(), who, "s of CPU/GB", figure);
            rows.push(row.beside(CATS, cats));
        }
    }
    Ok(())
}

/// Makes the command of a peer that moves one file or tree, over the link or without.
type Peer = fn(&Place, bool, Way, &Path, &Path) -> Result<Command, Failure>;

const PEERS: [(&str, Peer); 3] = [("sftp", sftp), ("scp", scp), ("rsync", rsync)];

fn sftp(place: &Place, link: bool, way: Way, from: &Path, to: &Path) -> Result<Command, Failure> {
    let batch = place.dir.join("batch");
    let line = format!("{} -r {} {}\n", way.name(), from.display(), to.display());
    let written = match (way, from.is_dir()) {
        // It puts a tree only into a folder that is there.
        (Way::Put, true) => format!("mkdir {}\n{line}", to.display()),
        _ => line,
    };
    fs::write(&batch, written).map_err(|error| Failure::new(error.to_string()))?;
    let mut command = Command::new("sftp");
    command.arg("-q").arg("-D").arg(place.server(link)?).arg("-b").arg(batch);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    Ok(command)
}

fn scp(place: &Place, link: bool, way: Way, from: &Path, to: &Path) -> Result<Command, Failure> {
    let mut command = Command::new("scp");
    command.arg("-q").arg("-r").arg("-D").arg(place.server(link)?);
    far(&mut command, way, from, to);
    Ok(command)
}

fn rsync(place: &Place, link: bool, way: Way, from: &Path, to: &Path) -> Result<Command, Failure> {
    let far_side = if link { format!("exec {} \"$@\"", place.link) } else { "exec \"$@\"".into() };
    let script = place.script("rsync-rsh", &format!("shift\n{far_side}"))?;
    let mut command = Command::new("rsync");
    command.args(["-r", "--inplace", "-e"]).arg(script);
    far(&mut command, way, from, to);
    Ok(command)
}

/// Names the one side as another machine's.
fn far(command: &mut Command, way: Way, from: &Path, to: &Path) {
    let far = |path: &Path| format!("far:{}", path.display());
    let near = |path: &Path| path.display().to_string();
    let (from, to) = match way {
        Way::Get => (far(from), near(to)),
        Way::Put => (near(from), far(to)),
    };
    command.args([from, to]).stdin(Stdio::null()).stdout(Stdio::null());
}

impl Place {
    fn new() -> Result<Self, Failure> {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
        let dir = parent.join(format!("trunkline-files-{}", std::process::id()));
        fs::create_dir_all(&dir)
            .map_err(|error| Failure::new(format!("{}: {error}", dir.display())))?;
        Ok(Self { dir, link: LINK.command()? })
    }

    /// A file of so many MiB, made once.
    fn file(&self, name: &str, mib: usize) -> Result<PathBuf, Failure> {
        let path = self.dir.join(name);
        let failed = |error| Failure::new(format!("{}: {error}", path.display()));
        if fs::metadata(&path).is_ok_and(|found| found.len() == (mib as u64) << 20) {
            return Ok(path);
        }
        let mut file = fs::File::create(&path).map_err(failed)?;
        let block: Vec<u8> =
            (0..1 << 20).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8 | 1).collect();
        for _ in 0..mib {
            file.write_all(&block).map_err(failed)?;
        }
        Ok(path)
    }

    /// A folder of so many files of 4 KiB, made once.
    fn tree(&self, name: &str, count: usize) -> Result<PathBuf, Failure> {
        let dir = self.dir.join(name);
        let failed = |error| Failure::new(format!("{}: {error}", dir.display()));
        if !dir.is_dir() {
            fs::create_dir(&dir).map_err(failed)?;
            for at in 0..count {
                fs::write(dir.join(format!("file-{at}")), [b'x'; 4_096]).map_err(failed)?;
            }
        }
        Ok(dir)
    }

    fn script(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let path = self.dir.join(name);
        let failed = |error| Failure::new(format!("{}: {error}", path.display()));
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).map_err(failed)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(failed)?;
        Ok(path)
    }

    /// What sftp and scp start as their server.
    fn server(&self, link: bool) -> Result<PathBuf, Failure> {
        if !Path::new(SFTP_SERVER).is_file() {
            return Err(Failure::new(format!("{SFTP_SERVER} is not there: openssh-sftp-server")));
        }
        match link {
            true => self.script("sftp-far", &format!("exec {} {SFTP_SERVER}", self.link)),
            false => Ok(SFTP_SERVER.into()),
        }
    }

    /// The line that leads over the link to an agent of our own.
    fn own_agent(&self, programs: &Programs) -> String {
        format!("{} '{}' agent", self.link, programs.trunkline.display())
    }

    /// Bytes over the link and nothing else.
    fn raw(&self, file: &Path) -> Result<Command, Failure> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{} cat '{}' | cat >/dev/null", self.link, file.display()));
        command.stdin(Stdio::null());
        Ok(command)
    }

    fn trunkline(
        &self,
        programs: &Programs,
        via: &str,
        way: Way,
        from: &Path,
        to: &Path,
    ) -> Command {
        let mut command = programs.trunkline();
        command.args(["fs", way.name(), "-r", "--via", via]).arg(from).arg(to);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Takes away what a run has left, whatever it is.
fn remove(target: &Path) {
    let _ = fs::remove_file(target);
    let _ = fs::remove_dir_all(target);
}
