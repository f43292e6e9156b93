//! Runs what was loaded.

use crate::guard::guarded;
use crate::registry;
use crate::report::{FileReport, Outcome, Report, Verdict};
use crate::vectors::{File, Suite};

/// Gives every case of `suite` to the function that is registered for its file.
#[must_use]
pub fn run(suite: &Suite) -> Report {
    Report { files: suite.files.iter().map(run_file).collect() }
}

fn run_file(file: &File) -> FileReport {
    let built = registry::is_built(&file.wire);
    let runner = registry::runner(&file.wire, &file.name);
    let outcomes = match (&file.cases, runner) {
        (Ok(cases), Some(run)) => cases
            .iter()
            .map(|case| Outcome { case: case.name.clone(), verdict: guarded(|| run(&case.value)) })
            .collect(),
        (Ok(cases), None) => {
            let why =
                if built { "nothing runs files of this name" } else { "the wire is not built yet" };
            let verdict = Verdict::NotRun(why.into());
            cases
                .iter()
                .map(|case| Outcome { case: case.name.clone(), verdict: verdict.clone() })
                .collect()
        }
        (Err(why), _) => {
            vec![Outcome { case: "-".into(), verdict: Verdict::NotRun(why.clone()) }]
        }
    };
    FileReport { wire: file.wire.clone(), file: file.name.clone(), built, outcomes }
}
