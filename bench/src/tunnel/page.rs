//! The part of `docs/benchmarks.md` that shows a run.

use std::path::Path;

use crate::Failure;
use crate::compare::page::put;

const BEGIN: &str = "<!-- bench tunnel --docs writes what follows -->";
const END: &str = "<!-- and the tunnel's part ends here -->";

/// Writes a run's text between the marks.
pub(crate) fn write(text: &str) -> Result<(), Failure> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/benchmarks.md");
    put(&page, (BEGIN, END), text.trim_end())
}
