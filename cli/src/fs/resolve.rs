//! The path of a file without links, found out on this side.

use std::collections::VecDeque;
use std::io;

use trunkline_tokio::Files;

use super::facts::Kind;
use super::paths::join;

/// As many links as Linux follows.
const LINKS: usize = 40;

/// The absolute path of something that is there, with all links followed.
pub(crate) async fn resolve(files: &Files, path: &str) -> io::Result<String> {
    let mut resolved = if path.starts_with('/') { "/".to_string() } else { files.getwd().await? };
    let mut left: VecDeque<String> = path.split('/').map(str::to_string).collect();
    let mut links = 0;
    while let Some(name) = left.pop_front() {
        match &*name {
            "" | "." => continue,
            ".." => {
                resolved = super::paths::parent(&resolved).to_string();
                continue;
            }
            _ => {}
        }
        let next = join(&resolved, &name);
        if Kind::of(&files.lstat(&*next).await?) != Kind::Link {
            resolved = next;
            continue;
        }
        links += 1;
        if links > LINKS {
            // As the agent says it itself.
            files.stat(&*next).await?;
            return Err(io::Error::other("too many links"));
        }
        let target = files.readlink(next).await?;
        if target.starts_with('/') {
            resolved = "/".to_string();
        }
        for part in target.split('/').rev() {
            left.push_front(part.to_string());
        }
    }
    Ok(resolved)
}
