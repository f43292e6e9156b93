//! Bars, drawn as SVG that reads well on light and on dark pages.

use std::fmt::Write as _;

use trunkline_bench::mux::spec::Scenario;

use super::figures::{CPU, Figures};
use super::machine::Run;
use super::plan::{Place, is_bare, is_ours, is_smol};
use crate::table::number;

const WIDTH: f64 = 720.0;
const NAMES: f64 = 185.0;
const BAR: f64 = 16.0;
const STEP: f64 = 21.0;
const TOP: f64 = 56.0;

const STYLE: &str = "\
.page{fill:#ffffff}.text{fill:#1f2328}.small{fill:#59636e}\
.ours{fill:#1f7a5c}.bare{fill:#8c959f}.peer{fill:#c99b3f}\
@media(prefers-color-scheme:dark){.page{fill:#0d1117}.text{fill:#f0f6fc}.small{fill:#9198a1}\
.ours{fill:#3fb68b}.bare{fill:#6e7681}.peer{fill:#d4a84f}}";

/// A picture and where it goes.
#[derive(Debug)]
pub(crate) struct Chart {
    pub(crate) file: String,
    pub(crate) title: String,
    pub(crate) svg: String,
}

/// Which figure of which scenario, and what is drawn of it.
struct What {
    scenario: Scenario,
    place: Place,
    figure: &'static str,
    times: f64,
    title: &'static str,
    /// Whether the longest bar is the best.
    more: bool,
}

/// Everything that there are figures for.
pub(crate) fn all(figures: &Figures, run: &Run) -> Vec<Chart> {
    let cpu = |scenario| What {
        scenario,
        place: Place::TCP,
        figure: CPU,
        times: 1.0,
        title: match scenario {
            Scenario::Bulk(1) => "One stream over TCP: CPU seconds a GB, both ends",
            Scenario::Bulk(_) => "100 streams over TCP: CPU seconds a GB, both ends",
            Scenario::Ping(1) => "One ping-pong over TCP: CPU microseconds, both ends",
            Scenario::Ping(_) => "100 ping-pongs over TCP: CPU microseconds each, both ends",
            Scenario::Churn(1) => {
                "A stream opened, used and closed over TCP: CPU microseconds, both ends"
            }
            _ => "The same, 64 at a time: CPU microseconds a stream, both ends",
        },
        more: false,
    };
    let (bulk, ping, churn) = (Scenario::Bulk, Scenario::Ping, Scenario::Churn);
    let mut charts: Vec<What> =
        [bulk(1), bulk(100), ping(1), ping(100), churn(1), churn(64)].map(cpu).into();
    charts.push(What {
        scenario: Scenario::Idle,
        place: Place::DUPLEX,
        figure: "resident_each",
        times: 1.0,
        title: "10,000 idle streams: resident bytes of each, both ends",
        more: false,
    });
    charts.push(What {
        scenario: Scenario::Latency,
        place: Place::LINK,
        figure: "bytes_per_second",
        times: 1e-6,
        title: "One stream over 1 Gbit/s and 50 ms, from its start: MB/s",
        more: true,
    });
    charts.iter().filter_map(|what| bars(figures, what, &run.line())).collect()
}

/// One bar for each subject, the best first; `None` when nobody was measured.
///
/// A bar that would leave the others no room is cut, and says so.
fn bars(figures: &Figures, what: &What, below: &str) -> Option<Chart> {
    let mut rows: Vec<_> = figures
        .of_scenario(what.scenario, what.place)
        .filter(|(subject, _)| !is_smol(subject))
        .filter_map(|(subject, own)| Some((subject, own.get(what.figure)?.median * what.times)))
        .collect();
    rows.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    let middle = rows.get(rows.len() / 2)?.1;
    let most = rows.last()?.1.min(middle * 4.0).max(f64::MIN_POSITIVE);
    if what.more {
        rows.reverse();
    }
    let height = TOP + STEP * rows.len() as f64 + 26.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\"/>\n\
         <text class=\"text\" x=\"8\" y=\"20\" font-size=\"14\">{} ({} is better)</text>\n",
        what.title,
        what.title,
        if what.more { "more" } else { "less" },
    );
    let legend = [("ours", "ours"), ("peer", "others"), ("bare", "no multiplexing")];
    for ((class, name), x) in legend.into_iter().zip([NAMES, NAMES + 80.0, NAMES + 160.0]) {
        let _ = writeln!(
            svg,
            "<rect class=\"{class}\" x=\"{x}\" y=\"32\" width=\"10\" height=\"10\"/>\
             <text class=\"small\" x=\"{}\" y=\"41\">{name}</text>",
            x + 15.0
        );
    }
    let room = WIDTH - NAMES - 110.0;
    for (at, (subject, figure)) in rows.iter().enumerate() {
        let y = TOP + STEP * at as f64;
        let (width, text) = (room * (figure / most).min(1.0), y + BAR - 4.0);
        let class = match *subject {
            name if is_ours(name) => "ours",
            name if is_bare(name) => "bare",
            _ => "peer",
        };
        let cut = if *figure > most { " (cut)" } else { "" };
        let _ = writeln!(
            svg,
            "<text class=\"text\" x=\"{}\" y=\"{text}\" text-anchor=\"end\">{subject}</text>\
             <rect class=\"{class}\" x=\"{NAMES}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\"/>\
             <text class=\"text\" x=\"{:.1}\" y=\"{text}\">{}{cut}</text>",
            NAMES - 8.0,
            NAMES + width + 6.0,
            number(*figure),
        );
    }
    let _ = writeln!(
        svg,
        "<text class=\"small\" x=\"8\" y=\"{}\" font-size=\"10\">{below}</text>\n</svg>",
        height - 8.0
    );
    let file = format!("mux-{}.svg", what.scenario.name());
    Some(Chart { file, title: what.title.to_owned(), svg })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::compare::Wanted;
    use crate::compare::plan::Cell;

    #[test]
    fn a_bar_that_leaves_no_room_is_cut() {
        let samples = [("raw", 1.0), ("h2", 2.0), ("yamux", 3.0), ("async_smux", 1000.0)];
        let samples = samples.map(|(subject, cpu)| {
            let sample = [("units", 1.0), ("cpu_ns", cpu * 1e3)];
            let sample = sample.map(|(name, figure)| (name.to_owned(), figure));
            (Cell::new(Scenario::Ping(1), Place::TCP, subject, false), vec![sample.into()])
        });
        let figures = Figures::of(samples.into(), BTreeMap::new());
        let charts = all(&figures, &Run::begin(&Wanted::default()));
        let [chart] = charts.as_slice() else { panic!("{} charts", charts.len()) };
        assert_eq!(chart.file, "mux-ping1.svg");
        assert_eq!(chart.svg.matches("(cut)").count(), 1);
        assert!(chart.svg.contains(">1000 (cut)<"), "{}", chart.svg);
    }
}
