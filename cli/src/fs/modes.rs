//! Modes as `chmod` takes them: octal numbers, and symbols such as `u+x,go-w`.
//!
//! The rules are those of GNU chmod: a directory keeps its set-id bits unless they are spoken of,
//! and what names nobody (`+w`) spares the bits of the umask.

const SET_ID: u32 = 0o6_000;
const STICKY: u32 = 0o1_000;
const ALL: u32 = 0o7_777;
const EVERYBODY: [(char, u32); 3] = [('u', 0o4_700), ('g', 0o2_070), ('o', 0o1_007)];

/// How to change a mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModeChange(Vec<Change>);

/// One step: an operator and its bits.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    op: char,
    /// The bits of those it names; 0 for nobody.
    affected: u32,
    value: u32,
    /// The bits spoken of: the rest of a directory's set-id bits stay.
    mentioned: u32,
    from: From,
}

/// Where the bits come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// They are given.
    Given,
    /// Somebody's present bits, for everybody named (`g=u`).
    Copied,
    /// Given, and execution where anybody may execute already (`X`).
    GivenAndX,
}

impl ModeChange {
    /// Parses an octal number or symbols.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        parse(text).ok_or_else(|| "expected a mode such as 644, u+x or go=rX".to_string())
    }

    /// The mode that a file of this mode gets; all are unix bits, 0 to 0o7777.
    pub(crate) fn apply(&self, mode: u32, is_dir: bool, umask: u32) -> u32 {
        self.0.iter().fold(mode & ALL, |mode, change| change.apply(mode, is_dir, umask))
    }

    /// Whether the result depends on what the mode was.
    pub(crate) fn is_relative(&self, is_dir: bool) -> bool {
        self.apply(0, is_dir, 0o777) != self.apply(ALL, is_dir, 0o777)
            || self.0.iter().any(|change| change.affected == 0 || change.from != From::Given)
    }
}

impl Change {
    fn apply(&self, mode: u32, is_dir: bool, umask: u32) -> u32 {
        let spared = if is_dir { SET_ID & !self.mentioned } else { 0 };
        let mut value = self.value;
        match self.from {
            From::Given => {}
            From::Copied => value = for_everybody(value & mode),
            From::GivenAndX if is_dir || mode & 0o111 != 0 => value |= 0o111,
            From::GivenAndX => {}
        }
        value &= (if self.affected == 0 { !umask } else { self.affected }) & !spared;
        match self.op {
            '+' => mode | value,
            '-' => mode & !value,
            _ if self.affected == 0 => mode & spared | value,
            _ => mode & (!self.affected | spared) | value,
        }
    }
}

/// This process's umask; the agent's cannot be asked for.
pub(crate) fn umask() -> u32 {
    use rustix::fs::Mode;
    use rustix::process::umask;
    // It can only be read by setting it. Nothing is created meanwhile.
    let mask = umask(Mode::empty());
    umask(mask);
    mask.bits() & 0o777
}

/// Permissions that somebody has, for user, group and others.
fn for_everybody(mode: u32) -> u32 {
    [0o444, 0o222, 0o111].into_iter().filter(|bits| mode & bits != 0).sum()
}

fn parse(text: &str) -> Option<ModeChange> {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        let value = octal(text)?;
        // Five digits speak of the set-id bits even where they are 0.
        let mentioned = if text.len() < 5 { value & (SET_ID | STICKY) | 0o777 } else { ALL };
        let change = Change { op: '=', affected: ALL, value, mentioned, from: From::Given };
        return Some(ModeChange(vec![change]));
    }
    let mut changes = Vec::new();
    for clause in text.split(',') {
        parse_clause(clause, &mut changes)?;
    }
    Some(ModeChange(changes))
}

fn octal(text: &str) -> Option<u32> {
    let digits = text.chars().all(|c| c.is_digit(8));
    u32::from_str_radix(text, 8).ok().filter(|mode| digits && *mode <= ALL)
}

/// `[ugoa]*([-+=](perms|[ugo]|octal))+`
fn parse_clause(clause: &str, changes: &mut Vec<Change>) -> Option<()> {
    let at = clause.find(['+', '-', '='])?;
    let (who, mut rest) = clause.split_at(at);
    let mut affected = 0;
    for c in who.chars() {
        affected |= match c {
            'a' => ALL,
            _ => EVERYBODY.iter().find(|(name, _)| *name == c)?.1,
        };
    }
    while let Some(op) = rest.chars().next() {
        rest = rest.get(1..)?;
        let end = rest.find(['+', '-', '=']).unwrap_or(rest.len());
        let (perms, next) = rest.split_at(end);
        rest = next;
        changes.push(if perms.starts_with(|c: char| c.is_ascii_digit()) {
            // Only alone, and for everybody: `+111`.
            if affected != 0 || !next.is_empty() {
                return None;
            }
            let value = octal(perms)?;
            Change { op, affected: ALL, value, mentioned: ALL, from: From::Given }
        } else {
            symbols(op, affected, perms)?
        });
    }
    Some(())
}

fn symbols(op: char, affected: u32, perms: &str) -> Option<Change> {
    let copied = EVERYBODY.iter().find(|(name, _)| perms.chars().eq([*name]));
    let (mut value, mut from) = (0, From::Given);
    if let Some((_, bits)) = copied {
        (value, from) = (bits & 0o777, From::Copied);
    } else {
        for c in perms.chars() {
            match c {
                'r' => value |= 0o444,
                'w' => value |= 0o222,
                'x' => value |= 0o111,
                'X' => from = From::GivenAndX,
                's' => value |= SET_ID,
                't' => value |= STICKY,
                _ => return None,
            }
        }
    }
    let mentioned = if affected == 0 { value } else { affected & value };
    Some(Change { op, affected, value, mentioned, from })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn changes(text: &str, from: u32, to: u32) {
        let change = ModeChange::parse(text).expect(text);
        assert_eq!(format!("{:o}", change.apply(from, false, 0o022)), format!("{to:o}"), "{text}");
    }

    /// The many are compared with the real chmod in `cli/tests/command/fs_modes.rs`.
    #[test]
    fn numbers_and_symbols_change_a_mode() {
        changes("644", 0o7777, 0o644);
        changes("4755", 0, 0o4755);
        changes("u+x,go-w", 0o666, 0o744);
        changes("a=rX", 0o755, 0o555);
        changes("a=rX", 0o644, 0o444);
        changes("+w", 0o444, 0o644);
        changes("g=u", 0o740, 0o770);
        changes("u=,g=s", 0o777, 0o2007);
        changes("+111", 0o644, 0o755);
    }

    #[test]
    fn what_is_no_mode_is_refused() {
        for text in
            ["", "8", "77777", "u", "u+q", "z+r", "u+x,", ",u+x", "u+7", "+7+x", "rw", "0x1"]
        {
            assert!(ModeChange::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_what_asks_for_it_needs_the_present_mode() {
        for (text, is_dir, relative) in [
            ("644", false, false),
            ("644", true, true),
            ("00644", true, false),
            ("a=r", false, false),
            ("u+x", false, true),
            ("=r", false, true),
            ("a=X", false, true),
        ] {
            let change = ModeChange::parse(text).expect(text);
            assert_eq!(change.is_relative(is_dir), relative, "{text}");
        }
    }
}
