//! Where `mv`, `cp` and `ln` put what they are given: at a name, or into a directory.

use std::io;

use super::facts::Kind;
use super::paths::{base, join};
use super::session::{errno, shown};
use super::{Session, Stop};
use crate::report::Failure;

/// Sources, each with the path it is to have.
pub(crate) struct Targets(pub(crate) Vec<(String, String)>);

impl Targets {
    /// Splits the operands; the last one is the target, and where it is a directory it takes all
    /// under their own names. `plain` takes it for a name in any case.
    pub(crate) async fn of(
        session: &Session,
        mut operands: Vec<String>,
        plain: bool,
        follow: bool,
    ) -> Result<Self, Stop> {
        let target = operands.pop().unwrap_or_default();
        if operands.is_empty() {
            return Err(session.usage("expected a target behind what is to be put there").into());
        }
        if plain && operands.len() > 1 {
            return Err(too_many(session, &target).into());
        }
        let is_dir = !plain && is_dir(session, &target, follow).await?;
        if !is_dir && operands.len() > 1 {
            session.complain(format_args!("{}: Not a directory", shown(&target)));
            return Ok(Self(Vec::new()));
        }
        let put = |source: String| {
            let path = if is_dir { join(&target, base(&source)) } else { target.clone() };
            (source, path)
        };
        Ok(Self(operands.into_iter().map(put).collect()))
    }
}

fn too_many(session: &Session, target: &str) -> Failure {
    session.usage(format_args!("only one operand can be put at {}", shown(target)))
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
