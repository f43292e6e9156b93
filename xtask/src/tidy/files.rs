//! Reads the repository: what git tracks and what it would track.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Tree;

/// The files of the repository at `root`. A folder without git (an unpacked archive) is walked.
pub(super) fn read(root: &Path) -> Result<Tree, String> {
    let listed = listed_by_git(root).filter(|paths| !paths.is_empty());
    let paths = match listed {
        Some(paths) => paths,
        None => {
            println!(
                "tidy: git lists nothing here; walking the folder, without target/ and hidden folders"
            );
            let mut found = Vec::new();
            walk(root, "", &mut found)
                .map_err(|e| format!("{} cannot be read: {e}", root.display()))?;
            found
        }
    };
    let mut files = BTreeMap::new();
    for path in paths {
        let full = root.join(&path);
        // Deleted and not yet committed, or another repository inside this one: no file of ours.
        if !full.is_file() {
            continue;
        }
        let bytes = fs::read(&full).map_err(|e| format!("{path} cannot be read: {e}"))?;
        files.insert(path, String::from_utf8_lossy(&bytes).into_owned());
    }
    Ok(Tree { files })
}

fn listed_by_git(root: &Path) -> Option<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "-co", "--exclude-standard", "-z"])
        .current_dir(root)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output
        .status
        .success()
        .then(|| text.split('\0').filter(|p| !p.is_empty()).map(str::to_owned).collect())
}

fn walk(root: &Path, folder: &str, found: &mut Vec<String>) -> std::io::Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        if !entry.file_type()?.is_dir() {
            found.push(path);
        } else if name != "target" && !name.starts_with('.') {
            walk(root, &path, found)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unlisted_folder_is_walked_to_its_depth() {
        let mut found = Vec::new();
        walk(Path::new(env!("CARGO_MANIFEST_DIR")), "", &mut found).unwrap();
        assert!(found.iter().any(|p| p == "Cargo.toml"));
        assert!(found.iter().any(|p| p == "src/tidy/files.rs"));
    }
}
