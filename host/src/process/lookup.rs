//! Where a program is: the rules and words of Go's `exec.LookPath`.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

/// The file to execute for `program`; an error says why there is none.
///
/// With a slash it is taken as it is, without a look. Else it is looked for in `search_path`, or in
/// this process's PATH: never in that of the child's environment.
pub(super) fn find(program: &str, search_path: Option<&OsStr>) -> Result<PathBuf, String> {
    if program.is_empty() {
        return Err("exec: no command".to_owned());
    }
    if program.contains('/') {
        return Ok(PathBuf::from(program));
    }
    let own = if search_path.is_none() { env::var_os("PATH") } else { None };
    let search_path = search_path.or(own.as_deref()).unwrap_or_default();
    for dir in env::split_paths(search_path) {
        let file = dir.join(program);
        if !is_executable(&file) {
            continue;
        }
        if !dir.is_absolute() {
            // What the agent's directory happens to hold must not stand in for a system program.
            return Err(format!(
                "exec: {program:?}: cannot run executable found relative to current directory"
            ));
        }
        return Ok(file);
    }
    Err(format!("exec: {program:?}: executable file not found in $PATH"))
}

fn is_executable(file: &Path) -> bool {
    let Ok(metadata) = fs::metadata(file) else { return false };
    if metadata.is_dir() {
        return false;
    }
    match accessat(CWD, file, Access::EXEC_OK, AtFlags::EACCESS) {
        Ok(()) => true,
        // Sandboxes refuse the newer call that knows effective ids: the bits must do.
        Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => {
            metadata.permissions().mode() & 0o111 != 0
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::find;
    use std::ffi::OsStr;
    use std::path::Path;

    #[test]
    fn slashes_are_taken_as_they_are() {
        assert_eq!(find("./no/such", None).unwrap(), Path::new("./no/such"));
        assert_eq!(find("/no/such", None).unwrap(), Path::new("/no/such"));
    }

    #[test]
    fn names_are_looked_for() {
        let path = |path| Some(OsStr::new(path));
        assert_eq!(find("sh", path("/no/such::/bin")).unwrap(), Path::new("/bin/sh"));
        assert_eq!(find("sh", path("")).unwrap_err(), missing("sh"));
        assert_eq!(find("no such", path("/bin")).unwrap_err(), missing("no such"));
        assert_eq!(find("passwd", path("/etc")).unwrap_err(), missing("passwd"));
        assert_eq!(find(".", path("/bin")).unwrap_err(), missing("."));
        assert_eq!(find("..", path("/bin")).unwrap_err(), missing(".."));
        assert_eq!(find("", path("/bin")).unwrap_err(), "exec: no command");
    }

    fn missing(name: &str) -> String {
        format!("exec: {name:?}: executable file not found in $PATH")
    }

    #[test]
    fn relative_directories_are_not_trusted() {
        let up = "../".repeat(40);
        let error = find("sh", Some(OsStr::new(&format!("{up}bin:/bin")))).unwrap_err();
        assert!(error.ends_with("cannot run executable found relative to current directory"));
    }
}
