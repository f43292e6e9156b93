//! Who may join and who may log in: tokens from files and from the environment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use subtle::ConstantTimeEq as _;

use super::joins::is_id;

/// Largest file of tokens that is read, in bytes.
const LARGEST: u64 = 16 << 20;

/// Shortest token, in characters: shorter ones are guessed.
const SHORTEST: usize = 8;

/// Longest token, in characters, so that a header holds it.
const LONGEST: usize = 1024;

/// Something that nobody is to see: it is compared in constant time and never printed.
#[derive(Clone)]
pub(crate) struct Secret(Box<str>);

impl Secret {
    /// A token that is long enough and fits into a header. The error does not quote it.
    pub(crate) fn checked(text: &str) -> Result<Self, String> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if visible && (SHORTEST..=LONGEST).contains(&text.len()) {
            return Ok(Self(text.into()));
        }
        Err(format!("a token has {SHORTEST} to {LONGEST} visible characters"))
    }

    /// Whether it is this one. How long that takes tells at most the length.
    pub(crate) fn is(&self, given: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(given).into()
    }

    /// Its bytes, to be compared.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Itself, for the one place that has to send it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Names, each with the tokens that prove it and with the owner it is bound to.
///
/// A file has one `name token [owner]` on a line; empty lines and lines that begin with `#` are
/// comments. A name may have several lines, so that a token can be changed without a gap, but one
/// owner only.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens(BTreeMap<String, Entry>);

#[derive(Clone, Debug)]
struct Entry {
    owner: Option<String>,
    tokens: Vec<Secret>,
}

impl Tokens {
    /// Reads a file. The error is one line that names the file and never a token.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let tokens = Self::parse(&read_private(path)?)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        if tokens.0.is_empty() {
            return Err(format!("{}: there is no token in it", path.display()));
        }
        Ok(tokens)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut tokens = Self::default();
        for (number, line) in text.lines().enumerate() {
            tokens.add_line(line).map_err(|error| format!("line {}: {error}", number + 1))?;
        }
        Ok(tokens)
    }

    fn add_line(&mut self, line: &str) -> Result<(), String> {
        if line.trim_start().starts_with('#') {
            return Ok(());
        }
        let mut words = line.split_whitespace();
        let Some(name) = words.next() else { return Ok(()) };
        // What is quoted may be a token on a line that lacks the name.
        if !is_id(name) {
            return Err(
                "it begins with what is no name (letters, digits, `-_.`, at most 63)".into()
            );
        }
        let Some(token) = words.next() else { return Err(format!("{name} has no token")) };
        let owner = words.next();
        if words.next().is_some() || owner.is_some_and(|owner| !is_id(owner)) {
            return Err("it is no `name token [owner]`".into());
        }
        self.add(name, token, owner)
    }

    fn add(&mut self, name: &str, token: &str, owner: Option<&str>) -> Result<(), String> {
        let token = Secret::checked(token).map_err(|error| format!("{error} ({name})"))?;
        let entry = self
            .0
            .entry(name.to_owned())
            .or_insert_with(|| Entry { owner: owner.map(str::to_owned), tokens: Vec::new() });
        if entry.owner.as_deref() != owner {
            return Err(format!("{name} has another owner on an earlier line"));
        }
        entry.tokens.push(token);
        Ok(())
    }

    /// Whether this token proves this name. A name that is not there takes as long as one with a
    /// wrong token.
    pub(crate) fn prove(&self, name: &str, given: &[u8]) -> Option<Proof> {
        let nobody = [Secret("".into())];
        let entry = self.0.get(name);
        let tokens = entry.map_or(&nobody[..], |entry| &entry.tokens);
        let found = first_equal(tokens, given)?;
        let entry = entry?;
        Some(Proof {
            name: name.to_owned(),
            owner: entry.owner.clone(),
            token: Some(found.clone()),
        })
    }

    /// A name that differs from another one in case alone.
    pub(crate) fn alike(&self) -> Option<&str> {
        let mut seen = BTreeSet::new();
        self.0.keys().map(String::as_str).find(|name| !seen.insert(name.to_ascii_lowercase()))
    }

    /// Whether what was proved once still holds with these tokens.
    pub(crate) fn still(&self, proof: &Proof) -> bool {
        let Some(token) = &proof.token else { return false };
        self.prove(&proof.name, token.bytes()).is_some_and(|now| now.owner == proof.owner)
    }
}

/// A name, proved by a token.
#[derive(Clone, Debug)]
pub(crate) struct Proof {
    /// The name.
    pub(crate) name: String,
    /// The owner that its line gives.
    pub(crate) owner: Option<String>,
    /// The token; `None` where nobody asked for one.
    pub(crate) token: Option<Secret>,
}

impl Proof {
    /// What stands where no tokens are asked for.
    pub(crate) fn unasked(name: &str) -> Self {
        Self { name: name.to_owned(), owner: None, token: None }
    }
}

/// Reads tokens for logging in: one on each line; empty lines and lines that begin with `#` are
/// comments. There is at least one. The error is one line without any of them.
pub(crate) fn read_secrets(path: &Path) -> Result<Vec<Secret>, String> {
    let text = read_private(path)?;
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let secrets = lines.map(Secret::checked).collect::<Result<Vec<_>, _>>();
    let secrets = secrets.map_err(|error| format!("{}: {error}", path.display()))?;
    if secrets.is_empty() {
        return Err(format!("{}: there is no token in it", path.display()));
    }
    Ok(secrets)
}

/// A file that not everybody may read.
fn read_private(path: &Path) -> Result<String, String> {
    let failed = |error| format!("cannot read {}: {}", path.display(), error_text(&error));
    let file = File::open(path).map_err(failed)?;
    // Of what was opened, not of what has the name by now.
    let mode = file.metadata().map_err(failed)?.mode();
    if mode & 0o007 != 0 {
        return Err(format!(
            "{0} may be read by everybody (mode {1:03o}): chmod o-rwx {0}",
            path.display(),
            mode & 0o777
        ));
    }
    let mut text = String::new();
    file.take(LARGEST + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > LARGEST {
        return Err(format!("{} is larger than {LARGEST} bytes", path.display()));
    }
    Ok(text)
}

fn error_text(error: &std::io::Error) -> String {
    trunkline_host::error_text(error)
}

/// All are compared, so that the time does not tell which it was.
pub(crate) fn first_equal<'a>(tokens: &'a [Secret], given: &[u8]) -> Option<&'a Secret> {
    tokens.iter().fold(None, |found, token| {
        let is = token.is(given);
        found.or(is.then_some(token))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_name_is_proved_by_its_own_tokens_only() {
        let text = "# who\n\nbox1 first-token alice\nbox1 second-token alice\n  box2 third-token\n";
        let tokens = Tokens::parse(text).unwrap();
        let proves = |name: &str, token: &str| tokens.prove(name, token.as_bytes()).is_some();
        assert!(proves("box1", "first-token") && proves("box1", "second-token"));
        assert!(proves("box2", "third-token"));
        for (name, token) in [
            ("box1", "third-token"),
            ("box2", "first-token"),
            ("box3", "first-token"),
            ("box3", ""),
            ("box1", ""),
            ("box1", "first-toke"),
            ("box1", "first-token "),
            ("#", "who"),
        ] {
            assert!(!proves(name, token), "{name} {token}");
        }
        let owner = |name, token: &str| tokens.prove(name, token.as_bytes()).unwrap().owner;
        assert_eq!(owner("box1", "second-token").as_deref(), Some("alice"));
        assert_eq!(owner("box2", "third-token"), None);
    }

    #[test]
    fn what_was_proved_falls_with_its_line() {
        let before = Tokens::parse("box1 first-token alice\nbox1 second-token alice").unwrap();
        let proof = before.prove("box1", b"first-token").unwrap();
        assert!(before.still(&proof));
        for (text, still) in [
            ("box1 first-token alice", true),
            ("box1 second-token alice", false),
            ("box1 first-token bob", false),
            ("box2 first-token alice", false),
        ] {
            assert_eq!(Tokens::parse(text).unwrap().still(&proof), still, "{text}");
        }
    }

    #[test]
    fn lines_that_cannot_be_right_are_named_and_never_quoted() {
        for (text, error) in [
            ("box1", "line 1: box1 has no token"),
            ("\n*  long-enough", "line 2: it begins with"),
            ("s3cr3t/s3cr3t box1", "line 1: it begins with"),
            ("../x long-enough", "line 1: it begins with"),
            ("box1 s3cr3t", "line 1: a token has 8 to 1024 visible characters (box1)"),
            ("box1 s3cr3t-s3cr3t-é", "line 1: a token has 8 to 1024 visible characters (box1)"),
            ("box1 s3cr3t-s3cr3t a b", "line 1: it is no `name token [owner]`"),
            ("box1 s3cr3t-s3cr3t a/b", "line 1: it is no `name token [owner]`"),
            ("box1 s3cr3t-s3cr3t a\nbox1 s3cr3t-s3cr3t", "line 2: box1 has another owner"),
        ] {
            let refused = Tokens::parse(text).unwrap_err();
            assert!(refused.starts_with(error), "{refused}");
            assert!(!refused.contains("s3cr3t"), "{refused}");
        }
    }

    #[test]
    fn nobody_sees_a_token_in_a_log() {
        let tokens = Tokens::parse("box1 s3cr3t-s3cr3t").unwrap();
        let proof = tokens.prove("box1", b"s3cr3t-s3cr3t").unwrap();
        let text = format!("{tokens:?} {proof:?}");
        assert!(text.contains("Secret(..)") && !text.contains("s3cr3t"), "{text}");
    }

    #[test]
    fn a_file_that_everybody_may_read_is_refused() {
        let path = std::env::temp_dir().join(format!("trunkline-tokens-{}", std::process::id()));
        fs::write(&path, "box1 s3cr3t-s3cr3t\n").unwrap();
        let with_mode = |mode| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            (Tokens::read(&path).map(|_| ()), read_secrets(&path).map(|_| ()))
        };
        let (refused, single) = with_mode(0o644);
        let refused = refused.unwrap_err();
        assert_eq!(single, Err(refused.clone()));
        assert!(refused.contains("may be read by everybody (mode 644): chmod o-rwx "), "{refused}");
        assert!(with_mode(0o602).0.is_err());
        let (read, single) = with_mode(0o640);
        assert_eq!(read, Ok(()));
        assert!(single.unwrap_err().ends_with(": a token has 8 to 1024 visible characters"));
        fs::write(&path, "# nothing\n").unwrap();
        assert!(Tokens::read(&path).unwrap_err().ends_with("there is no token in it"));
        fs::write(&path, "# old, new\ns3cr3t-s3cr3t\r\n\n other-s3cr3t").unwrap();
        let both = read_secrets(&path).unwrap();
        assert!(first_equal(&both, b"s3cr3t-s3cr3t").is_some());
        assert!(first_equal(&both, b"other-s3cr3t").is_some());
        assert!(first_equal(&both, b"").is_none());
        fs::remove_file(&path).unwrap();
        assert!(Tokens::read(&path).unwrap_err().ends_with("no such file or directory"));
    }
}
