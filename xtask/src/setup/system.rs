//! Programs of the system that tests start, and Debian's packages of them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{quietly, succeeds};

/// A program, and the Debian package that brings it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
}

const fn program(name: &'static str, package: &'static str) -> Program {
    Program { name, package }
}

/// What the tests start: a terminal, shells that check completions, a typesetter that checks the
/// manual page, both ends of SSH, the compiler of the original peers, a program that asks its
/// terminal, and the store that relays share.
pub(crate) const PROGRAMS: [Program; 13] = [
    program("script", "bsdutils"),
    program("bash", "bash"),
    program("zsh", "zsh"),
    program("fish", "fish"),
    program("groff", "groff"),
    program("ssh", "openssh-client"),
    program("sshd", "openssh-server"),
    program("go", "golang-go"),
    program("python3", "python3"),
    program("redis-server", "redis-server"),
    program("chromium", "chromium"),
    program("node", "nodejs"),
    program("npm", "npm"),
];

/// What counts instructions for the benchmarks' gate.
pub(crate) const VALGRIND: Program = program("valgrind", "valgrind");

/// Where servers and by-hand installations lie, which not every `PATH` names.
const ELSEWHERE: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/usr/local/go/bin"];

impl Program {
    /// Whether it can be started.
    pub(crate) fn is_here(self) -> bool {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = env::split_paths(&path).chain(ELSEWHERE.map(PathBuf::from));
        is_in(self.name, folders)
    }

    /// Installs its package: as root, or by a `sudo` that asks nothing.
    pub(crate) fn install(self) -> Result<(), String> {
        if !succeeds(Command::new("apt-get").arg("--version")) {
            return Err("apt-get is not here to install it".into());
        }
        let prefix: &[&str] = if is_root() {
            &[]
        } else if succeeds(Command::new("sudo").args(["-n", "true"])) {
            &["sudo", "-n"]
        } else {
            return Err("only root can install it".into());
        };
        // The lists of packages may be missing or too old for their servers.
        apt(prefix, &["install", "-y", "--no-install-recommends", self.package]).or_else(|_| {
            apt(prefix, &["update"])?;
            apt(prefix, &["install", "-y", "--no-install-recommends", self.package])
        })
    }
}

fn apt(prefix: &[&str], args: &[&str]) -> Result<(), String> {
    let words = [prefix, &["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"], args].concat();
    let (first, rest) = words.split_first().ok_or("no command")?;
    quietly(Command::new(first).args(rest), "apt-get")
}

fn is_root() -> bool {
    let asked = Command::new("id").arg("-u").output();
    asked.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).trim() == "0")
}

fn is_in(name: &str, folders: impl IntoIterator<Item = PathBuf>) -> bool {
    folders.into_iter().any(|folder| is_program(&folder.join(name)))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_a_file_that_may_be_started() {
        assert!(is_in("sh", ["/nonexistent", "/bin"].map(PathBuf::from)));
        assert!(!is_in("sh", ["/nonexistent".into()]));
        assert!(!is_in("passwd", ["/etc".into()]), "not executable");
        assert!(!is_in("etc", ["/".into()]), "a folder");
    }

    #[test]
    fn a_failed_command_is_told_by_its_own_words() {
        let told =
            quietly(Command::new("sh").args(["-c", "echo 'E: no such thing' >&2; exit 9"]), "sh");
        assert_eq!(told, Err("sh failed (no such thing)".into()));
        assert!(quietly(&mut Command::new("/nonexistent"), "it").is_err());
    }
}
