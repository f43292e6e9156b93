//! From a request to a running child.

use std::env;
use std::ffi::CString;
use std::io::{self, PipeReader, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rustix::io::{fcntl_dupfd_cloexec, ioctl_fionbio, retry_on_intr};
use rustix::process::{Pid, WaitOptions, waitpid};

use super::child::Child;
use super::{FdLimits, Launch, SpawnError, SpawnStage, User, environment, lookup};
use crate::errno::error_text;
use crate::fd::enlarge_pipe;
use crate::sys::{self, Failure, Image, SignalsBlocked, Step, Terminal};

/// Starts a command in a process group of its own, with pipes for its standard streams and a
/// stream socket pair for each extra descriptor.
///
/// - The first argument of the request is thrown away: the child sees `path` in its place. A path
///   without a slash is looked for in this process's PATH; one with a slash is used as it is,
///   relative to `cwd`.
/// - Without `cwd` the child runs where this process does. Without [`Launch::env`] it has this
///   process's environment, and PWD when `cwd` is set. Of several entries for one name the last
///   counts; entries without `=` pass as they are.
/// - The child inherits nothing but descriptors 0, 1, 2 and the extra ones, each under one number
///   only, and no end of them stays open here: when it closes one, its end is seen. Its signal mask
///   is empty, and handlers and ignored SIGINT, SIGQUIT, SIGPIPE and SIGCHLD are back at their
///   defaults.
/// - The ends kept here are non-blocking, close-on-exec, and share no open file description with
///   the child. On Linux pipes hold up to 1 MiB, as far as the system allows.
///
/// Blocks until the child runs the program or has failed to. A process that was started with
/// SIGCHLD ignored has it set to its default, as children cannot be waited for otherwise.
///
/// `docs/protocols/agentproto.md` section 6, steps 5 and 6, and section 14, H14, H15 and H25.
///
/// # Errors
///
/// With [`SpawnStage::Build`] for extra descriptors that are refused, pipes that cannot be made and
/// a `SUDO_UID` that is no number; with [`SpawnStage::Start`] for everything else.
pub fn spawn(launch: Launch<'_>) -> Result<Child, SpawnError> {
    start(launch, None)
}

/// As [`spawn`]; with the master of a terminal the child leads a session on it instead of having
/// pipes.
pub(crate) fn start(
    launch: Launch<'_>,
    master: Option<BorrowedFd<'_>>,
) -> Result<Child, SpawnError> {
    let Launch { request, env, search_path, user, fd_limits } = launch;
    let ids = ids(user)?;
    check_fds(&request.fds, fd_limits)?;
    let ends = Ends::new(&request.fds, master)
        .map_err(|(what, error)| SpawnError::failed(SpawnStage::Build, what, &error))?;

    let refused = |text: String| SpawnError::refused(SpawnStage::Start, text);
    let program = lookup::find(&request.path, search_path).map_err(refused)?;
    let what = format!("fork/exec {}", program.display());
    let nul = |in_what: &str| refused(format!("exec: {in_what} contains NUL"));
    let program = CString::new(program.into_os_string().into_vec()).map_err(|_| nul("path"))?;
    let arguments = request.argv.iter().flatten().skip(1);
    let argv = [&request.path]
        .into_iter()
        .chain(arguments)
        .map(|argument| CString::new(argument.as_str()).map_err(|_| nul("argument")));
    let argv = argv.collect::<Result<_, _>>()?;
    let dir = match request.cwd.as_str() {
        "" => None,
        cwd => Some(CString::new(cwd).map_err(|_| nul("directory"))?),
    };
    let envp = environment::entries(env, &request.cwd)
        .map_err(|problem| refused(format!("exec: {problem}")))?;

    // Only fork, pipes, group and ids are left to the standard library; the image does the rest.
    let mut command = Command::new("/");
    if ends.child.terminal.is_none() {
        // The leader of a session is that of a group, and must not have been one before.
        command.process_group(0);
    }
    command.stdin(ends.child.stdin).stdout(ends.child.stdout).stderr(ends.child.stderr);
    if let Some((uid, gid)) = ids {
        command.uid(uid).gid(gid);
    }
    Image::new(program, argv, envp, dir, ends.child.extra, ends.child.report)
        .on_terminal(ends.child.terminal)
        .attach(&mut command);

    sys::restore_child_signal();
    let spawned = {
        let _blocked = SignalsBlocked::new();
        command.spawn()
    };
    // The child's ends live in the command: without this, no end would ever be seen.
    drop(command);
    let spawned = spawned.map_err(|error| start_error(&what, ids, &error))?;
    let pid = Pid::from_child(&spawned);
    // It only holds the number: all waiting is done in one place (H23).
    drop(spawned);

    if let Some(failure) = read_report(ends.report) {
        let _ = retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()));
        let error = io::Error::from_raw_os_error(failure.errno);
        let what = match failure.step {
            Step::Chdir => format!("chdir {}", request.cwd),
            Step::Descriptor(number) => format!("{what}: descriptor {number}"),
            Step::Terminal => format!("{what}: terminal"),
            Step::Exec => what,
        };
        return Err(SpawnError::failed(SpawnStage::Start, &what, &error));
    }
    Ok(Child::new(pid, ends.parent))
}

/// What the standard library could not do: fork, mostly, or change to another user.
fn start_error(what: &str, ids: Option<(u32, u32)>, error: &io::Error) -> SpawnError {
    let mut text = format!("{what}: {}", error_text(error));
    if let (Some((uid, gid)), io::ErrorKind::PermissionDenied) = (ids, error.kind()) {
        text.push_str(&format!(" (as user {uid}, group {gid})"));
    }
    SpawnError { stage: SpawnStage::Start, text, os_error: error.raw_os_error() }
}

/// User and group to change to.
fn ids(user: User) -> Result<Option<(u32, u32)>, SpawnError> {
    match user {
        User::Own => Ok(None),
        User::Ids { uid, gid } => Ok(Some((uid, gid))),
        User::Sudo => {
            let variable =
                |name| env::var_os(name).map(|value| value.to_string_lossy().into_owned());
            sudo_ids(variable("SUDO_UID").as_deref(), variable("SUDO_GID").as_deref())
        }
    }
}

fn sudo_ids(uid: Option<&str>, gid: Option<&str>) -> Result<Option<(u32, u32)>, SpawnError> {
    let Some(uid) = uid.filter(|uid| !uid.is_empty()) else { return Ok(None) };
    let Ok(uid) = uid.parse() else {
        let text = format!("SUDO_UID is not a user number: {uid:?}");
        return Err(SpawnError::refused(SpawnStage::Build, text));
    };
    let gid = gid.and_then(|gid| gid.parse().ok()).unwrap_or(uid);
    Ok(Some((uid, gid)))
}

fn check_fds(fds: &[u32], limits: FdLimits) -> Result<(), SpawnError> {
    let refused = |text: String| Err(SpawnError::refused(SpawnStage::Build, text));
    if fds.len() > limits.count {
        return refused(format!("{} extra descriptors exceed {}", fds.len(), limits.count));
    }
    let mut sorted = fds.to_vec();
    sorted.sort_unstable();
    let mut previous = None;
    for number in sorted {
        if number < 3 {
            return refused(format!("extra descriptor {number} is a standard stream"));
        }
        // Whatever the limit, a number must be one the system can count to.
        if number > limits.highest || i32::try_from(number).is_err() {
            return refused(format!("extra descriptor {number} exceeds {}", limits.highest));
        }
        if previous == Some(number) {
            return refused(format!("extra descriptor {number} is asked for twice"));
        }
        previous = Some(number);
    }
    Ok(())
}

/// Both ends of everything between a child and its parent.
struct Ends {
    parent: ParentEnds,
    child: ChildEnds,
    report: PipeReader,
}

/// The parent's ends, all non-blocking.
pub(super) struct ParentEnds {
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
    pub(super) extra: Vec<(u32, OwnedFd)>,
}

struct ChildEnds {
    stdin: Stdio,
    stdout: Stdio,
    stderr: Stdio,
    extra: Vec<(OwnedFd, u32)>,
    report: OwnedFd,
    /// What its standard streams are instead, when it runs on a terminal.
    terminal: Option<Terminal>,
}

impl Ends {
    fn new(fds: &[u32], master: Option<BorrowedFd<'_>>) -> Result<Self, (&'static str, io::Error)> {
        let pipe = || io::pipe().map_err(|error| ("pipe", error));
        let ours = |end: OwnedFd| {
            ioctl_fionbio(&end, true).map_err(|error| ("pipe", error.into()))?;
            enlarge_pipe(end.as_fd());
            Ok(end)
        };
        // No child's end may have a number that another one is going to get.
        let above = fds.iter().max().map_or(3, |highest| highest.saturating_add(1));
        let copy_out_of_the_way = |end: BorrowedFd<'_>| {
            let above = i32::try_from(above).unwrap_or(i32::MAX);
            fcntl_dupfd_cloexec(end, above).map_err(|error| ("fcntl", error.into()))
        };
        let out_of_the_way = |end: OwnedFd| copy_out_of_the_way(end.as_fd());

        let (our_report, report) = pipe()?;
        let mut our_extra = Vec::with_capacity(fds.len());
        let mut extra = Vec::with_capacity(fds.len());
        for number in fds {
            let (our, end) = UnixStream::pair().map_err(|error| ("socketpair", error))?;
            our.set_nonblocking(true).map_err(|error| ("socketpair", error))?;
            our_extra.push((*number, our.into()));
            extra.push((out_of_the_way(end.into())?, *number));
        }
        let report = out_of_the_way(report.into())?;
        if let Some(master) = master {
            let null = Stdio::null;
            let terminal = Some(Terminal {
                master: copy_out_of_the_way(master)?,
                #[cfg(not(any(target_os = "linux", target_os = "android")))]
                name: rustix::pty::ptsname(master, Vec::new())
                    .map_err(|error| ("ptsname", error.into()))?,
            });
            let parent = ParentEnds { stdin: None, stdout: None, stderr: None, extra: our_extra };
            let child = ChildEnds {
                stdin: null(),
                stdout: null(),
                stderr: null(),
                extra,
                report,
                terminal,
            };
            return Ok(Self { parent, child, report: our_report });
        }
        let (stdin, our_stdin) = pipe()?;
        let (our_stdout, stdout) = pipe()?;
        let (our_stderr, stderr) = pipe()?;
        Ok(Self {
            parent: ParentEnds {
                stdin: Some(ours(our_stdin.into())?),
                stdout: Some(ours(our_stdout.into())?),
                stderr: Some(ours(our_stderr.into())?),
                extra: our_extra,
            },
            child: ChildEnds {
                stdin: stdin.into(),
                stdout: stdout.into(),
                stderr: stderr.into(),
                extra,
                report,
                terminal: None,
            },
            report: our_report,
        })
    }
}

/// What went wrong in the child. It says nothing when it became the program.
fn read_report(mut report: PipeReader) -> Option<Failure> {
    let mut bytes = [0; Failure::SIZE];
    report.read_exact(&mut bytes).ok()?;
    Some(Failure::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sudo() {
        assert_eq!(sudo_ids(None, Some("5")), Ok(None));
        assert_eq!(sudo_ids(Some(""), None), Ok(None));
        assert_eq!(sudo_ids(Some("1000"), Some("100")), Ok(Some((1000, 100))));
        assert_eq!(sudo_ids(Some("1000"), None), Ok(Some((1000, 1000))));
        assert_eq!(sudo_ids(Some("1000"), Some("x")), Ok(Some((1000, 1000))));
        let error = sudo_ids(Some("root"), None).unwrap_err();
        assert_eq!(error.text, "SUDO_UID is not a user number: \"root\"");
    }

    #[test]
    fn descriptors_are_checked() {
        let check = |fds: &[u32]| check_fds(fds, FdLimits::default()).map_err(|error| error.text);
        assert_eq!(check(&[255, 3, 9]), Ok(()));
        for (fds, text) in [
            (&[3, 2][..], "extra descriptor 2 is a standard stream"),
            (&[0], "extra descriptor 0 is a standard stream"),
            (&[256], "extra descriptor 256 exceeds 255"),
            (&[u32::MAX], "extra descriptor 4294967295 exceeds 255"),
            (&[7, 3, 7], "extra descriptor 7 is asked for twice"),
        ] {
            assert_eq!(check(fds), Err(text.to_owned()));
        }
        let many: Vec<u32> = (3..68).collect();
        assert_eq!(check(&many), Err("65 extra descriptors exceed 64".to_owned()));
        assert!(check_fds(&[u32::MAX], FdLimits { highest: u32::MAX, count: 1 }).is_err());
    }
}
