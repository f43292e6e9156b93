//! Where `mv`, `cp` and `ln` put what they are given: at a name, or into a directory.

use std::io;

use super::facts::Kind;
use super::paths::{base, join};
use super::session::{errno, shown};
use super::{Session, Stop};

/// Sources, each with the path it is to have.
pub(crate) struct Targets(pub(crate) Vec<(String, String)>);

impl Targets {
    /// Splits the operands; the last one is the target, and where it is a directory it takes all
    /// under their own names. `plain` takes it for a name in any case; `follow` says whether a link
    /// to a directory is one.
    pub(crate) async fn of(
        session: &Session,
        mut operands: Vec<String>,
        plain: bool,
        follow: bool,
    ) -> Result<Self, Stop> {
        let target = operands.pop().unwrap_or_default();
        let is_dir = !plain && is_dir(session, &target, follow).await?;
        if !is_dir && operands.len() > 1 {
            session.complain(format_args!("{}: Not a directory", shown(&target)));
            return Ok(Self(Vec::new()));
        }
        let put = |source: String| {
            // A directory that is named by `..` has no name to have in the target: it is the target.
            let name = if base(&source) == ".." { "." } else { base(&source) };
            let path = if is_dir { join(&target, name) } else { target.clone() };
            (source, path)
        };
        Ok(Self(operands.into_iter().map(put).collect()))
    }
}

/// Whether there are as many operands as `mv`, `cp` and `ln` can make sense of.
pub(crate) fn check(operands: &[String], plain: bool) -> Result<(), String> {
    match operands.len() {
        0 | 1 => Err("expected what is to be put somewhere, and behind it where".to_string()),
        2 => Ok(()),
        _ if plain => Err("only one operand can be put at a name".to_string()),
        _ => Ok(()),
    }
}

/// Why a file is not put where the same command has just put another one, which would be lost.
pub(crate) fn just_created(from: &str, to: &str) -> String {
    format!("will not overwrite just-created {} with {}", shown(to), shown(from))
}

/// Whether it is a directory; what is not there, or cannot be looked at, is none.
async fn is_dir(session: &Session, path: &str, follow: bool) -> Result<bool, Stop> {
    let files = &session.files;
    let stat = if follow { files.stat(path).await } else { files.lstat(path).await };
    match stat {
        Ok(stat) => Ok(Kind::of(&stat) == Kind::Directory),
        Err(error) if is_agents(&error) => Ok(false),
        Err(error) => session.failed(path, &error).map(|()| false),
    }
}

fn is_agents(error: &io::Error) -> bool {
    errno(error) != 0
}
