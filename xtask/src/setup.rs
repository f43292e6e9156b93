//! What a step needs from the machine, how to see whether it is there, and how to install it.

mod npm;
mod system;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Failure;

pub(crate) use system::{PROGRAMS, Program, VALGRIND};

/// The target that stands for "no operating system".
pub(crate) const BARE_TARGET: &str = "thumbv7m-none-eabi";

/// Something that this task runner can install.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// The formatter behind `cargo fmt`.
    Rustfmt,
    /// The linter behind `cargo clippy`.
    Clippy,
    /// The standard libraries of [`BARE_TARGET`].
    BareTarget,
    /// `llvm-profdata` and `llvm-cov`, which fit the toolchain in use.
    LlvmTools,
    /// The compiler that knows sanitizers.
    Nightly,
    /// The interpreter, and the source of the standard library that it runs.
    Miri,
    /// What builds and starts fuzz targets.
    CargoFuzz,
    /// The npm packages of the tests in a browser.
    BrowserTests,
    /// A program of the system.
    Program(Program),
}

/// What the names of components and targets are: one for the message, the rest for rustup.
struct Rustup {
    name: String,
    args: &'static [&'static str],
}

impl Need {
    /// How people call it.
    fn name(self) -> String {
        match self {
            Self::CargoFuzz => "cargo-fuzz".into(),
            Self::BrowserTests => format!("the packages of {}", npm::FOLDER),
            Self::Program(program) => program.name.into(),
            rust => rust.rustup().map(|rustup| rustup.name).unwrap_or_default(),
        }
    }

    /// How rustup installs it; `None` when something else does.
    fn rustup(self) -> Option<Rustup> {
        let of = |name: &str, args| Some(Rustup { name: name.to_owned(), args });
        match self {
            Self::Rustfmt => of("the component rustfmt", &["component", "add", "rustfmt"]),
            Self::Clippy => of("the component clippy", &["component", "add", "clippy"]),
            Self::BareTarget => {
                of(&format!("the target {BARE_TARGET}"), &["target", "add", BARE_TARGET])
            }
            Self::LlvmTools => of("the component llvm-tools", &["component", "add", "llvm-tools"]),
            Self::Nightly => of(
                "the toolchain nightly",
                &["toolchain", "install", "nightly", "--profile", "minimal", "--no-self-update"],
            ),
            Self::Miri => of(
                "the components miri and rust-src of nightly",
                &["component", "add", "miri", "rust-src", "--toolchain", "nightly"],
            ),
            Self::CargoFuzz | Self::BrowserTests | Self::Program(_) => None,
        }
    }

    /// The command that installs it, as one would type it.
    fn command(self) -> String {
        match self {
            Self::CargoFuzz => "cargo install cargo-fuzz --locked".into(),
            Self::BrowserTests => npm::command(),
            Self::Program(program) => format!("apt-get install {}", program.package),
            rust => {
                rust.rustup().map_or_else(String::new, |r| format!("rustup {}", r.args.join(" ")))
            }
        }
    }

    /// Asks the toolchain and not rustup, so that a distribution's toolchain passes too.
    fn is_here(self) -> bool {
        match self {
            Self::Rustfmt => succeeds(cargo().args(["fmt", "--version"])),
            Self::Clippy => succeeds(cargo().args(["clippy", "--version"])),
            Self::BareTarget => has_bare_target(),
            Self::LlvmTools => llvm_tool("llvm-cov").is_some(),
            Self::Nightly => succeeds(nightly().arg("--version")),
            Self::Miri => {
                succeeds(nightly().args(["miri", "--version"])) && has_source_of_nightly()
            }
            Self::CargoFuzz => succeeds(cargo().args(["fuzz", "--version"])),
            Self::BrowserTests => npm::is_here(),
            Self::Program(program) => program.is_here(),
        }
    }

    /// Installs it.
    fn install(self) -> Result<(), String> {
        match self {
            Self::CargoFuzz => {
                quietly(cargo().args(["install", "cargo-fuzz", "--locked"]), "cargo")
            }
            Self::BrowserTests => npm::install(),
            Self::Program(program) => program.install(),
            rust => rust.rustup().map_or(Ok(()), |rustup| {
                if !succeeds(Command::new("rustup").arg("--version")) {
                    return Err("rustup is not here to install it".into());
                }
                quietly(Command::new("rustup").args(rustup.args), "rustup")
            }),
        }
    }
}

/// The cargo that runs us, or the one in `PATH`.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// Nightly's cargo, free of what the cargo that runs us has set for its own toolchain.
pub(crate) fn nightly() -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo"]);
    for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN", "RUSTFLAGS"] {
        command.env_remove(name);
    }
    command
}

/// The path of a tool of the component llvm-tools.
pub(crate) fn llvm_tool(name: &str) -> Option<std::path::PathBuf> {
    let folder = printed(&["--print", "target-libdir"])?;
    let tool = Path::new(&folder).parent()?.join("bin").join(name);
    tool.is_file().then_some(tool)
}

/// The target that the toolchain in use builds for when none is named.
pub(crate) fn host() -> Option<String> {
    let told = printed(&["-vV"])?;
    told.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned)
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
    println!("install: {}", need.command());
    need.install()?;
    if !need.is_here() {
        return Err("it was installed and is not found, in another toolchain perhaps".into());
    }
    Ok(())
}

/// Runs an installer without its chatter; the error is the line that says what went wrong.
fn quietly(command: &mut Command, name: &str) -> Result<(), String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{name} could not be started ({e})"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{name} failed ({})", complaint(&String::from_utf8_lossy(&output.stderr))))
}

/// The one line for a need that could not be met: what, why, what to do.
fn refusal(need: Need, step: &str, why: &str) -> String {
    format!(
        "step {step} needs {}, and {why}; install it ({}, or your system's package of it) and run again",
        need.name(),
        need.command()
    )
}

/// The line of an installer's output that says what went wrong.
fn complaint(stderr: &str) -> String {
    let mut lines = stderr.lines().map(str::trim).filter(|l| !l.is_empty());
    let told = |line: &str| {
        ["error:", "E:"]
            .iter()
            .find_map(|mark| line.strip_prefix(mark))
            .map(|l| l.trim().to_owned())
    };
    let marked = lines.clone().find_map(told);
    marked.unwrap_or_else(|| lines.next_back().unwrap_or("it said nothing").to_owned())
}

/// What rustc prints when asked.
fn printed(args: &[&str]) -> Option<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let asked = Command::new(rustc).args(args).output().ok().filter(|out| out.status.success())?;
    Some(String::from_utf8_lossy(&asked.stdout).trim().to_owned())
}

fn has_bare_target() -> bool {
    printed(&["--print", "target-libdir", "--target", BARE_TARGET])
        .is_some_and(|folder| holds_core(Path::new(&folder)))
}

/// A library folder may exist and be empty; the target is there when its `core` is.
fn holds_core(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().any(|e| e.file_name().to_string_lossy().starts_with("libcore-"))
}

fn has_source_of_nightly() -> bool {
    let asked =
        Command::new("rustup").args(["run", "nightly", "rustc", "--print", "sysroot"]).output();
    asked.is_ok_and(|out| {
        let root = String::from_utf8_lossy(&out.stdout).trim().to_owned();
        Path::new(&root).join("lib/rustlib/src/rust/library/core").is_dir()
    })
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
        let zsh = Need::Program(Program { name: "zsh", package: "zsh" });
        assert_eq!(
            refusal(zsh, "test", "only root can install it"),
            "step test needs zsh, and only root can install it; \
             install it (apt-get install zsh, or your system's package of it) and run again"
        );
    }

    #[test]
    fn the_complaint_is_the_error_line_else_the_last_one() {
        assert_eq!(complaint("info: x\nerror: no network\n\nmore\n"), "no network");
        assert_eq!(
            complaint("Get:1 x\nE: Unable to locate package zsh\n"),
            "Unable to locate package zsh"
        );
        assert_eq!(complaint("info: x\nlast words\n\n"), "last words");
        assert_eq!(complaint(""), "it said nothing");
    }

    #[test]
    fn a_folder_without_a_core_library_is_no_target() {
        assert!(!holds_core(Path::new("/nonexistent")));
        assert!(!holds_core(Path::new(env!("CARGO_MANIFEST_DIR"))));
    }
}
