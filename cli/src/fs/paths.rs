//! Paths of the agent, as text: what a person means by them, without asking anybody.

/// A path of `name` in the directory `dir`.
pub(crate) fn join(dir: &str, name: &str) -> String {
    match dir {
        "" => name.to_string(),
        _ if dir.ends_with('/') => format!("{dir}{name}"),
        _ => format!("{dir}/{name}"),
    }
}

/// A path without the slashes behind it; the root keeps one.
pub(crate) fn trimmed(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() && !path.is_empty() { "/" } else { trimmed }
}

/// The last element of a path, slashes behind it aside; that of the root is `/`.
pub(crate) fn base(path: &str) -> &str {
    let path = trimmed(path);
    match path.rsplit_once('/') {
        Some((_, name)) if !name.is_empty() => name,
        _ => path,
    }
}

/// The directory that the last element of a path stands in.
pub(crate) fn parent(path: &str) -> &str {
    match trimmed(path).rsplit_once('/') {
        Some(("", _)) => "/",
        Some((dir, _)) => dir,
        None => ".",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_apart_and_together() {
        for (path, dir, name) in [
            ("/a/b", "/a", "b"),
            ("/a/b//", "/a", "b"),
            ("a", ".", "a"),
            ("/a", "/", "a"),
            ("/", "/", "/"),
            ("//", "/", "/"),
            ("a/..", "a", ".."),
            ("", ".", ""),
        ] {
            assert_eq!((parent(path), base(path)), (dir, name), "{path:?}");
        }
        assert_eq!(join("/", "a"), "/a");
        assert_eq!(join("a", "b"), "a/b");
        assert_eq!(join("a/", "b"), "a/b");
    }
}
