//! Bars, drawn as SVG.

use std::fmt::Write as _;

use super::figures::{CPU, Figures};
use super::plan::{Place, is_bare, is_ours, is_smol};
use crate::table::number;
use trunkline_bench::mux::spec::Scenario;

const WIDTH: f64 = 640.0;
const NAMES: f64 = 170.0;
const BAR: f64 = 16.0;
const STEP: f64 = 21.0;
const TOP: f64 = 34.0;

/// One bar for each subject, the shortest first; `None` when nobody was measured.
///
/// A bar that would leave the others no room is cut, and says so.
pub(crate) fn bars(figures: &Figures, scenario: Scenario, place: Place) -> Option<String> {
    let mut rows: Vec<_> = figures
        .of_scenario(scenario, place)
        .filter(|(subject, _)| !is_smol(subject))
        .filter_map(|(subject, figures)| Some((subject, figures.get(CPU)?.median)))
        .collect();
    rows.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    let middle = rows.get(rows.len() / 2)?.1;
    let most = rows.last()?.1.min(middle * 4.0);
    let unit = if matches!(scenario, Scenario::Bulk(_)) { "s/GB" } else { "us" };
    let height = TOP + STEP * rows.len() as f64 + 8.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"8\" y=\"20\" font-size=\"14\" fill=\"#222\">{}, {}: CPU of both ends, {unit}</text>\n",
        scenario.name(),
        place.name(),
    );
    let room = WIDTH - NAMES - 80.0;
    for (at, (subject, cpu)) in rows.iter().enumerate() {
        let y = TOP + STEP * at as f64;
        let (width, text) = (room * (cpu / most).min(1.0), y + BAR - 4.0);
        let fill = match *subject {
            name if is_ours(name) => "#1f6f5c",
            name if is_bare(name) => "#999",
            _ => "#c8a15a",
        };
        let cut = if *cpu > most { " (cut)" } else { "" };
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\" fill=\"#222\">{subject}</text>\
             <rect x=\"{NAMES}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{fill}\"/>\
             <text x=\"{:.1}\" y=\"{text}\" fill=\"#222\">{}{cut}</text>",
            NAMES - 8.0,
            NAMES + width + 6.0,
            number(*cpu),
        );
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
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
        let svg = bars(&figures, Scenario::Ping(1), Place::TCP).unwrap();
        assert_eq!(svg.matches("(cut)").count(), 1);
        assert!(svg.contains(">1000 (cut)<"), "{svg}");
        assert!(bars(&figures, Scenario::Ping(1), Place::DUPLEX).is_none());
    }
}
