//! What a step needs from the machine, how to see whether it is there, and how to install it.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Failure;

/// The target that stands for "no operating system".
pub(crate) const BARE_TARGET: &str = "thumbv7m-none-eabi";

/// Something that rustup can install.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// The formatter behind `cargo fmt`.
    Rustfmt,
    /// The linter behind `cargo clippy`.
    Clippy,
    /// The standard libraries of [`BARE_TARGET`].
    BareTarget,
}

impl Need {
    /// How people call it.
    fn name(self) -> String {
        match self {
            Self::Rustfmt => "the component rustfmt".into(),
            Self::Clippy => "the component clippy".into(),
            Self::BareTarget => format!("the target {BARE_TARGET}"),
        }
    }

    /// The arguments by which rustup installs it.
    fn rustup(self) -> [&'static str; 3] {
        match self {
            Self::Rustfmt => ["component", "add", "rustfmt"],
            Self::Clippy => ["component", "add", "clippy"],
            Self::BareTarget => ["target", "add", BARE_TARGET],
        }
    }

    /// Asks the toolchain and not rustup, so that a distribution's toolchain passes too.
    fn is_here(self) -> bool {
        match self {
            Self::Rustfmt => succeeds(cargo().args(["fmt", "--version"])),
            Self::Clippy => succeeds(cargo().args(["clippy", "--version"])),
            Self::BareTarget => has_bare_target(),
        }
    }
}

/// The cargo that runs us, or the one in `PATH`.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// Installs what is missing of `needs`, one line for each, each only once.
pub(crate) fn prepare(needs: &[(Need, &'static str)]) -> Result<(), Failure> {
    let mut seen = Vec::new();
    for &(need, step) in needs {
        if seen.contains(&need) {
            continue;
        }
        seen.push(need);
        if !need.is_here() {
            install(need).map_err(|why| Failure::failed(refusal(need, step, &why)))?;
        }
    }
    Ok(())
}

fn install(need: Need) -> Result<(), String> {
    let args = need.rustup();
    if !succeeds(Command::new("rustup").arg("--version")) {
        return Err("rustup is not here to install it".into());
    }
    println!("install: rustup {}", args.join(" "));
    let output = Command::new("rustup")
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("rustup could not be started ({e})"))?;
    if !output.status.success() {
        return Err(format!(
            "rustup failed ({})",
            complaint(&String::from_utf8_lossy(&output.stderr))
        ));
    }
    if !need.is_here() {
        return Err("rustup added it to another toolchain than the one in use".into());
    }
    Ok(())
}

/// The one line for a need that could not be met: what, why, what to do.
fn refusal(need: Need, step: &str, why: &str) -> String {
    format!(
        "step {step} needs {}, and {why}; install it (rustup {}, or your system's package of it) and run again",
        need.name(),
        need.rustup().join(" ")
    )
}

/// The line of rustup's output that says what went wrong.
fn complaint(stderr: &str) -> String {
    let mut lines = stderr.lines().map(str::trim).filter(|l| !l.is_empty());
    let told = lines.clone().find_map(|l| l.strip_prefix("error:")).map(str::trim);
    told.or_else(|| lines.next_back()).unwrap_or("it said nothing").to_owned()
}

fn has_bare_target() -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let asked =
        Command::new(rustc).args(["--print", "target-libdir", "--target", BARE_TARGET]).output();
    asked.is_ok_and(|out| {
        out.status.success() && holds_core(Path::new(String::from_utf8_lossy(&out.stdout).trim()))
    })
}

/// A library folder may exist and be empty; the target is there when its `core` is.
fn holds_core(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().any(|e| e.file_name().to_string_lossy().starts_with("libcore-"))
}

fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|s| s.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_says_what_why_and_what_to_do() {
        let line = refusal(Need::BareTarget, "nostd", "rustup is not here to install it");
        assert_eq!(
            line,
            "step nostd needs the target thumbv7m-none-eabi, and rustup is not here to install it; \
             install it (rustup target add thumbv7m-none-eabi, or your system's package of it) and run again"
        );
    }

    #[test]
    fn the_complaint_is_the_error_line_else_the_last_one() {
        assert_eq!(complaint("info: x\nerror: no network\n\nmore\n"), "no network");
        assert_eq!(complaint("info: x\nlast words\n\n"), "last words");
        assert_eq!(complaint(""), "it said nothing");
    }

    #[test]
    fn a_folder_without_a_core_library_is_no_target() {
        assert!(!holds_core(Path::new("/nonexistent")));
        assert!(!holds_core(Path::new(env!("CARGO_MANIFEST_DIR"))));
    }
}
