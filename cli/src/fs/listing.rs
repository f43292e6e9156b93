//! The long lines of a listing, in columns.

use trunkline_core::agentproto::{Stat, escape};

use super::facts::{Kind, device, mode_letters};
use super::ls::Entry;
use super::sizes::human;
use super::times::{Clock, TimeStyle};

/// How wide the columns are for some entries, and how they are filled.
pub(crate) struct Listing<'a> {
    human: bool,
    style: TimeStyle,
    clock: &'a Clock,
    links: usize,
    uid: usize,
    gid: usize,
    size: usize,
    major: usize,
    minor: usize,
    time: usize,
}

impl<'a> Listing<'a> {
    /// Measures the entries that stand below each other.
    pub(crate) fn new<'e>(
        entries: impl Iterator<Item = &'e Entry>,
        human: bool,
        style: TimeStyle,
        clock: &'a Clock,
    ) -> Self {
        let mut listing = Self {
            human,
            style,
            clock,
            links: 0,
            uid: 0,
            gid: 0,
            size: 0,
            major: 0,
            minor: 0,
            time: 0,
        };
        for Entry { stat, .. } in entries {
            let widest = |most: &mut usize, text: String| *most = (*most).max(text.len());
            widest(&mut listing.links, stat.links.to_string());
            widest(&mut listing.uid, stat.uid.to_string());
            widest(&mut listing.gid, stat.gid.to_string());
            if Kind::of(stat).is_device() {
                let (major, minor) = device(stat.rdev);
                widest(&mut listing.major, major.to_string());
                widest(&mut listing.minor, minor.to_string());
                listing.size = listing.size.max(listing.major + 2 + listing.minor);
            } else {
                let size = listing.size_of(stat);
                widest(&mut listing.size, size);
            }
            widest(&mut listing.time, clock.show(stat.mtime, style));
        }
        listing
    }

    /// The line above: how much room they take, in KiB.
    pub(crate) fn total(&self, entries: &[Entry]) -> String {
        let blocks: u64 =
            entries.iter().fold(0, |sum, entry| sum.saturating_add(entry.stat.blocks));
        match self.human {
            true => format!("total {}", human(blocks.saturating_mul(512))),
            false => format!("total {}", blocks.div_ceil(2)),
        }
    }

    /// The line of an entry.
    pub(crate) fn line(&self, entry: &Entry) -> String {
        let stat = &entry.stat;
        let mut line = format!(
            "{} {:>links$} {:>uid$} {:>gid$} {:>size$} {:>time$} {}",
            mode_letters(stat),
            stat.links,
            stat.uid,
            stat.gid,
            self.size_of(stat),
            self.clock.show(stat.mtime, self.style),
            escape(&entry.name),
            links = self.links,
            uid = self.uid,
            gid = self.gid,
            size = self.size,
            time = self.time,
        );
        if let Some(target) = &entry.target {
            line.push_str(&format!(" -> {}", escape(target)));
        }
        line
    }

    fn size_of(&self, stat: &Stat) -> String {
        if Kind::of(stat).is_device() {
            let (major, minor) = device(stat.rdev);
            let (left, right) = (self.major, self.minor);
            return format!("{major:>left$}, {minor:>right$}");
        }
        match u64::try_from(stat.size) {
            Ok(size) if self.human => human(size),
            _ => stat.size.to_string(),
        }
    }
}
