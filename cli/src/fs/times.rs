//! Times as `ls` shows them and `touch` takes them, in this side's time zone.

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};

/// Half a year, of the mean length of the calendar: `ls` shows the year of what is older.
const RECENT: i64 = 31_556_952 / 2 * 1_000_000_000;

/// What the agent's clock may be ahead, before what was written just now is shown as of the future.
const AHEAD: i64 = 600 * 1_000_000_000;

/// How times are shown in a listing.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum TimeStyle {
    /// Day and hour, or day and year when that was long ago: 'Nov 21 17:02', 'Nov 21  2020'.
    Locale,
    /// '2026-11-21 17:02'.
    LongIso,
    /// '2026-11-21 17:02:25.123456789 +0100'.
    FullIso,
}

/// The clock and the zone by which times are shown.
pub(crate) struct Clock {
    zone: TimeZone,
    now: i64,
}

impl Clock {
    /// This side's.
    pub(crate) fn new() -> Self {
        Self { zone: TimeZone::system(), now: now() }
    }

    /// A time, in nanoseconds since 1970.
    pub(crate) fn show(&self, time: i64, style: TimeStyle) -> String {
        // Any time of 64 bits in nanoseconds is within the calendar.
        let when = Timestamp::from_nanosecond(i128::from(time)).unwrap_or_default();
        let age = self.now.saturating_sub(time);
        let recent = (-AHEAD..RECENT).contains(&age);
        let format = match style {
            TimeStyle::Locale if recent => "%b %e %H:%M",
            TimeStyle::Locale => "%b %e  %Y",
            TimeStyle::LongIso => "%Y-%m-%d %H:%M",
            TimeStyle::FullIso => "%Y-%m-%d %H:%M:%S.%9f %z",
        };
        when.to_zoned(self.zone.clone()).strftime(format).to_string()
    }

    /// Parses `now`, `@seconds`, or a date with or without time and offset.
    pub(crate) fn parse(&self, text: &str) -> Result<i64, String> {
        let text = text.trim();
        if text == "now" {
            return Ok(self.now);
        }
        let seconds = text.strip_prefix('@').map(seconds);
        let time = seconds.unwrap_or_else(|| self.calendar(text));
        time.ok_or_else(|| {
            "expected 'now', '@SECONDS' or a date such as '2026-11-21', '2026-11-21 17:02:25' or \
             '2026-11-21T17:02:25Z', between the years 1678 and 2261"
                .to_string()
        })
    }

    fn calendar(&self, text: &str) -> Option<i64> {
        if let Ok(when) = text.parse::<Timestamp>() {
            return i64::try_from(when.as_nanosecond()).ok();
        }
        let local = text.parse::<civil::DateTime>().ok()?;
        let when = local.to_zoned(self.zone.clone()).ok()?;
        i64::try_from(when.timestamp().as_nanosecond()).ok()
    }
}

/// The time, in nanoseconds since 1970.
pub(crate) fn now() -> i64 {
    i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or_default()
}

/// Seconds since 1970 with up to nine decimals; more are dropped.
fn seconds(text: &str) -> Option<i64> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, part) = text.split_once(['.', ',']).unwrap_or((text, ""));
    if !(whole.bytes().chain(part.bytes())).all(|byte| byte.is_ascii_digit()) || whole.is_empty() {
        return None;
    }
    let part: i64 = format!("{part:0<9}").get(..9)?.parse().ok()?;
    let whole = whole.parse::<i64>().ok()?.checked_mul(1_000_000_000)?;
    whole.checked_add(part)?.checked_mul(sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> Clock {
        Clock {
            zone: TimeZone::get("Europe/Berlin").expect("zones"),
            now: 1_795_276_945_000_000_000,
        }
    }

    #[test]
    fn dates_are_read_in_the_zone_they_name_or_else_the_local_one() {
        for (text, seconds) in [
            ("@1795276945", 1_795_276_945),
            ("@-1", -1),
            ("now", 1_795_276_945),
            ("2026-11-21T17:02:25Z", 1_795_280_545),
            ("2026-11-21 17:02:25+01:00", 1_795_276_945),
            ("2026-11-21 17:02:25", 1_795_276_945),
            ("2026-11-21T17:02", 1_795_276_920),
            ("2026-07-01", 1_782_856_800),
            ("1970-01-01T00:00:00Z", 0),
        ] {
            assert_eq!(clock().parse(text), Ok(seconds * 1_000_000_000), "{text}");
        }
        assert_eq!(clock().parse("@1.5"), Ok(1_500_000_000));
        assert_eq!(clock().parse("@-1.000000001"), Ok(-1_000_000_001));
        for text in [
            "",
            "@",
            "@x",
            "@1.x",
            "yesterday",
            "2026-13-01",
            "17:02",
            "@9999999999999",
            "3000-01-01",
        ] {
            assert!(clock().parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_long_ago_or_in_the_future_shows_its_year() {
        let (clock, day) = (clock(), 86_400_000_000_000);
        for (time, text) in [
            (clock.now, "Nov 21 17:02"),
            (clock.now - 100 * day, "Aug 13 18:02"),
            (clock.now - 200 * day, "May  5  2026"),
            (clock.now + day, "Nov 22  2026"),
            (0, "Jan  1  1970"),
        ] {
            assert_eq!(clock.show(time, TimeStyle::Locale), text);
        }
        assert_eq!(clock.show(clock.now, TimeStyle::LongIso), "2026-11-21 17:02");
        let full = clock.show(clock.now + 1, TimeStyle::FullIso);
        assert_eq!(full, "2026-11-21 17:02:25.000000001 +0100");
        // Neither end of what the wire can carry is too much.
        assert!(clock.show(i64::MIN, TimeStyle::FullIso).starts_with("1677-09-21 "));
        assert!(clock.show(i64::MAX, TimeStyle::FullIso).starts_with("2262-04-"));
    }
}
