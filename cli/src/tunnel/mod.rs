//! The commands that use a relay: `join`, `shell` and `forward`.

mod facts;
mod forward;
mod join;
pub(crate) mod reach;
mod shell;
mod tty;

pub(crate) use forward::{ForwardArgs, run as forward};
pub(crate) use join::{JoinArgs, run as join, stay};
pub(crate) use shell::{ShellArgs, run as shell};
