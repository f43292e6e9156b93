//! `trunkline fs chown`.

use super::tree::each;
use super::{Session, Stop};

/// Change the owners of files.
///
/// Users and groups are numbers: no names travel. Links are followed where they are named, because
/// the wire cannot do otherwise, and left alone in trees.
#[derive(Debug, clap::Args)]
pub(crate) struct Chown {
    /// All that is in directories too.
    #[arg(short = 'R', long)]
    recursive: bool,
    /// UID, :GID or UID:GID.
    #[arg(value_name = "OWNER", value_parser = Owner::parse)]
    owner: Owner,
    /// The files.
    #[arg(required = true, value_name = "FILE", value_parser = super::path())]
    files: Vec<String>,
}

/// A user, a group or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    uid: Option<u32>,
    gid: Option<u32>,
}

impl Owner {
    fn parse(text: &str) -> Result<Self, String> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let number = |text: &str| match text.parse::<u32>() {
            // The number that means "leave it alone".
            Ok(u32::MAX) => Err(format!("{text} is no number of a user or group")),
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(format!(
                "users and groups travel as numbers, and '{text}' is none: look it up at the agent"
            )),
        };
        let gid = group.map_or(Ok(None), number)?;
        let uid = if user.is_empty() && gid.is_some() { None } else { number(user)? };
        Ok(Self { uid, gid })
    }
}

pub(crate) async fn run(args: Chown, session: &Session) -> Result<(), Stop> {
    let Owner { uid, gid } = args.owner;
    each(session, &args.files, args.recursive, |path, _| async move {
        let changed = session.files.chown(&*path, uid, gid).await;
        Ok(session.check(&path, changed)?.is_some())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_numbers() {
        let owner = |uid, gid| Ok(Owner { uid, gid });
        assert_eq!(Owner::parse("0"), owner(Some(0), None));
        assert_eq!(Owner::parse(":7"), owner(None, Some(7)));
        assert_eq!(Owner::parse("1000:100"), owner(Some(1000), Some(100)));
        for text in ["", ":", "root", "1:", "1:users", "-1", "4294967295", "4294967296"] {
            assert!(Owner::parse(text).is_err(), "{text:?}");
        }
        assert!(Owner::parse("www").unwrap_err().contains("numbers"));
    }
}
