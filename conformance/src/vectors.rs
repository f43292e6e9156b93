//! Loads a folder of golden vectors: each wire a folder, each `*.json` in it a file of cases.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::registry;

/// A folder of vectors, loaded.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The files, by wire and name.
    pub files: Vec<File>,
}

/// One file of a wire's folder.
#[derive(Clone, Debug)]
pub struct File {
    /// The wire: the folder's name.
    pub wire: String,
    /// The file's name, such as `frames.json`.
    pub name: String,
    /// Its cases, or why it has none that could be run.
    pub cases: Result<Vec<Case>, String>,
}

/// One case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name; `#3` for a third case that has none.
    pub name: String,
    /// All that it says.
    pub value: Value,
}

/// Why a folder could not be loaded.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// A folder or file cannot be read.
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// A `*.json` file is not JSON.
    NotJson {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        why: serde_json::Error,
    },
    /// A file that the runner knows by name has no list of cases.
    NoCases {
        /// Which one.
        path: PathBuf,
    },
    /// A wire was asked for by name, and no folder has it.
    NoWire {
        /// The folder that was looked into.
        root: PathBuf,
        /// The name.
        wire: String,
        /// The wires that are there.
        found: Vec<String>,
    },
    /// There is no case in the whole folder.
    NoCase {
        /// The folder.
        root: PathBuf,
    },
}

impl Suite {
    /// Loads the folder `root`; when `wires` names any, only those.
    ///
    /// # Errors
    ///
    /// When something cannot be read, is not there, or holds no case at all.
    pub fn load(root: &Path, wires: &[String]) -> Result<Self, LoadError> {
        let found: Vec<String> =
            entries(root)?.into_iter().filter(|name| root.join(name).is_dir()).collect();
        if let Some(wire) = wires.iter().find(|wire| !found.contains(wire)) {
            return Err(LoadError::NoWire { root: root.into(), wire: wire.clone(), found });
        }
        let mut files = Vec::new();
        for wire in found.iter().filter(|wire| wires.is_empty() || wires.contains(wire)) {
            load_wire(root, wire, &mut files)?;
        }
        if !files.iter().any(|file| file.cases.as_ref().is_ok_and(|cases| !cases.is_empty())) {
            return Err(LoadError::NoCase { root: root.into() });
        }
        Ok(Self { files })
    }
}

fn load_wire(root: &Path, wire: &str, files: &mut Vec<File>) -> Result<(), LoadError> {
    let folder = root.join(wire);
    for name in entries(&folder)? {
        let path = folder.join(&name);
        let is_vectors =
            path.is_file() && Path::new(&name).extension().is_some_and(|end| end == "json");
        let cases = if is_vectors {
            load_cases(&path, registry::runner(wire, &name).is_some())?
        } else if registry::is_built(wire) {
            Err("it is not a JSON file".into())
        } else {
            continue;
        };
        files.push(File { wire: wire.into(), name, cases });
    }
    Ok(())
}

fn load_cases(path: &Path, known: bool) -> Result<Result<Vec<Case>, String>, LoadError> {
    let text = fs::read(path).map_err(|why| LoadError::Unreadable { path: path.into(), why })?;
    let mut file: Value = serde_json::from_slice(&text)
        .map_err(|why| LoadError::NotJson { path: path.into(), why })?;
    match file.get_mut("cases").map(Value::take) {
        Some(Value::Array(cases)) => Ok(Ok(cases.into_iter().enumerate().map(Case::new).collect())),
        _ if known => Err(LoadError::NoCases { path: path.into() }),
        _ => Ok(Err("it has no list `cases`".into())),
    }
}

/// The names in a folder in order, without hidden ones.
fn entries(folder: &Path) -> Result<Vec<String>, LoadError> {
    let unreadable = |why| LoadError::Unreadable { path: folder.into(), why };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

impl Case {
    fn new((index, value): (usize, Value)) -> Self {
        let name = value.get("name").and_then(Value::as_str).map(str::to_owned);
        Self { name: name.unwrap_or_else(|| format!("#{}", index + 1)), value }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LAYOUT: &str =
            "give a folder that holds one folder for each wire, as conformance/vectors does";
        match self {
            Self::Unreadable { path, why } => {
                write!(f, "{} cannot be read: {why}; check the path: {LAYOUT}", path.display())
            }
            Self::NotJson { path, why } => {
                write!(f, "{} is not JSON: {why}; mend the file or take it away", path.display())
            }
            Self::NoCases { path } => {
                write!(f, "{} has no list `cases`; mend the file or take it away", path.display())
            }
            Self::NoWire { root, wire, found } if found.is_empty() => {
                write!(f, "{} holds no folder {wire}, nor any other; {LAYOUT}", root.display())
            }
            Self::NoWire { root, wire, found } => {
                write!(f, "{} holds no folder {wire}; it has {}", root.display(), found.join(", "))
            }
            Self::NoCase { root } => write!(f, "no case in {}; {LAYOUT}", root.display()),
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { why, .. } => Some(why),
            Self::NotJson { why, .. } => Some(why),
            _ => None,
        }
    }
}
