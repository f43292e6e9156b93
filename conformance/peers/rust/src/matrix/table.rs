//! All cells, and the table that shows them.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::{Amounts, Pair, Play, Program, Verdict};
use crate::{Role, WireName};

/// One line of the table: who with whom, over what.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    /// What they speak.
    pub wire: WireName,
    /// Our side.
    pub ours: &'a Program,
    /// The other side.
    pub theirs: &'a Program,
    /// Which end ours is.
    pub role: Role,
}

/// Every line: each wire, each of `theirs` that speaks it, each of `ours`, both roles. Our own side in
/// `theirs` is met once in each role, and never by itself.
#[must_use]
pub fn rows<'a>(ours: &'a [Program], theirs: &'a [Program]) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    for wire in WireName::ALL {
        for theirs in theirs.iter().filter(|program| program.speaks(wire)) {
            for ours in ours.iter().filter(|program| program.speaks(wire)) {
                if theirs.is_ours() && ours.about.name <= theirs.about.name {
                    continue;
                }
                for role in [Role::Client, Role::Server] {
                    rows.push(Row { wire, ours, theirs, role });
                }
            }
        }
    }
    rows
}

/// How to play the lines.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// Which columns.
    pub plays: &'a [Play],
    /// How much.
    pub amounts: &'a Amounts,
    /// The first seed; each cell adds its number.
    pub seed: u64,
    /// How many cells at the same time.
    pub at_once: usize,
    /// Whether to tell each cell on stderr.
    pub tell: bool,
}

impl Plan<'_> {
    /// Plays every cell; the verdicts of each line are in the order of the columns.
    #[must_use]
    pub fn run(&self, rows: &[Row<'_>]) -> Vec<Vec<(String, Verdict)>> {
        let pairs: Vec<Pair<'_>> = rows
            .iter()
            .flat_map(|row| self.plays.iter().map(move |&play| (row, play)))
            .zip(self.seed..)
            .map(|((row, play), seed)| Pair {
                ours: row.ours,
                theirs: row.theirs,
                wire: row.wire,
                role: row.role,
                play,
                seed,
            })
            .collect();
        let verdicts: Vec<_> = pairs.iter().map(|_| Mutex::new(None)).collect();
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..self.at_once {
                scope.spawn(|| {
                    while let Some((pair, place)) = {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        pairs.get(at).zip(verdicts.get(at))
                    } {
                        let verdict = pair.play(self.amounts);
                        if self.tell {
                            eprintln!("{}: {verdict:?}", pair.title());
                        }
                        *place.lock().expect("no panic under it") = Some((pair.title(), verdict));
                    }
                });
            }
        });
        let mut all = verdicts.into_iter().map(|place| {
            place.into_inner().expect("no panic under it").expect("every cell was played")
        });
        rows.iter().map(|_| all.by_ref().take(self.plays.len()).collect()).collect()
    }
}

/// The table in Markdown, with the reasons below it.
#[must_use]
pub fn table(rows: &[Row<'_>], plays: &[Play], verdicts: &[Vec<(String, Verdict)>]) -> String {
    let mut text = String::from("| wire | peer | our side | our role |");
    for play in plays {
        let _ = write!(text, " {} |", play.name());
    }
    text.push_str("\n|---|---|---|---|");
    plays.iter().for_each(|_| text.push_str("---|"));
    text.push('\n');
    let mut notes: Vec<&str> = Vec::new();
    for (row, verdicts) in rows.iter().zip(verdicts) {
        let (wire, role) = (row.wire.name(), row.role.name());
        let (ours, theirs) = (&row.ours.about.name, row.theirs.title());
        let _ = write!(text, "| {wire} | {theirs} | {ours} | {role} |");
        for (_, verdict) in verdicts {
            let cell = match verdict {
                Verdict::Played { outcome, took, .. } => {
                    let seconds = took.as_secs_f64();
                    match outcome.as_str() {
                        "done" | "refused" => format!("ok, {seconds:.2} s"),
                        other => format!("ok ({other}), {seconds:.2} s"),
                    }
                }
                Verdict::Impossible(why) => {
                    let known = notes.iter().position(|note| note == why);
                    let number = known.unwrap_or_else(|| {
                        notes.push(why);
                        notes.len() - 1
                    });
                    format!("- ({})", number + 1)
                }
                Verdict::Failed(_) => "**FAILED**".to_owned(),
            };
            let _ = write!(text, " {cell} |");
        }
        text.push('\n');
    }
    for (number, note) in notes.iter().enumerate() {
        let _ = write!(text, "\n({}) {note}.", number + 1);
    }
    text.push('\n');
    text
}
