//! Counts that no machine changes: instructions and allocations, told by callgrind.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Failure;
use crate::work::Work;

/// What one frame takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Counts {
    /// Instructions executed.
    pub(crate) instructions: f64,
    /// Blocks of memory asked for.
    pub(crate) allocations: f64,
}

/// Counts what one frame takes.
pub(crate) fn per_frame(work: Work, payload: usize, frames: usize) -> Result<Counts, Failure> {
    per_unit(frames, |frames| vec!["work".into(), work.name().into(), payload.to_string(), frames])
}

/// Counts what one unit takes, by the difference of two runs: start and end fall out of it. `args`
/// are those of this program for so many units; it prints how many it did.
pub(crate) fn per_unit(
    units: usize,
    args: impl Fn(String) -> Vec<String>,
) -> Result<Counts, Failure> {
    let (few, few_done) = counted(&args(units.to_string()))?;
    let (many, many_done) = counted(&args((3 * units).to_string()))?;
    let done = (many_done - few_done) as f64;
    Ok(Counts {
        instructions: (many.instructions - few.instructions) / done,
        allocations: (many.allocations - few.allocations) / done,
    })
}

fn counted(args: &[String]) -> Result<(Counts, usize), Failure> {
    let own = std::env::current_exe()
        .map_err(|error| Failure::new(format!("this program is nowhere: {error}")))?;
    let file = std::env::temp_dir().join(format!("trunkline-callgrind-{}", std::process::id()));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(own)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::new(format!("valgrind is needed and did not start: {error}")))?;
    let told = read(&file);
    let _ = fs::remove_file(&file);
    let done = String::from_utf8_lossy(&output.stdout).trim().parse();
    match (output.status.success(), done, told?) {
        (true, Ok(done), Some(counts)) => Ok((counts, done)),
        _ => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(Failure::new(format!("callgrind of `{}` failed: {said}", args.join(" "))))
        }
    }
}

fn read(file: &Path) -> Result<Option<Counts>, Failure> {
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::new(format!("callgrind wrote nothing: {error}")))?;
    Ok(parse(&text))
}

/// Totals of a file that callgrind wrote.
fn parse(text: &str) -> Option<Counts> {
    let mut names = BTreeMap::new();
    let (mut instructions, mut allocations) = (None, 0.0);
    let mut allocates = false;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("fn=").or_else(|| line.strip_prefix("cfn=")) {
            // A name stands once, behind its number; later the number stands alone.
            let (number, name) = rest.split_once(' ').unwrap_or((rest, ""));
            if !name.is_empty() {
                names.insert(number.to_owned(), name.to_owned());
            }
            let name = names.get(number).map_or("", String::as_str);
            allocates = line.starts_with('c') && is_allocation(name);
        } else if let Some(rest) = line.strip_prefix("calls=") {
            if allocates {
                allocations += rest.split_whitespace().next()?.parse::<f64>().ok()?;
            }
        } else if let Some(rest) =
            line.strip_prefix("summary:").or_else(|| line.strip_prefix("totals:"))
        {
            instructions = rest.split_whitespace().next()?.parse().ok();
        }
    }
    Some(Counts { instructions: instructions?, allocations })
}

/// Whether a function is what programs ask the system's allocator with; its helpers are not.
fn is_allocation(name: &str) -> bool {
    let name = name.split('@').next().unwrap_or(name).split('\'').next().unwrap_or(name);
    ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_and_calls_of_the_allocator_are_read() {
        let text = "\
events: Ir
fn=(1) main
0 10
cfn=(2) malloc
calls=3 0
0 100
cfn=(3) _int_malloc
calls=9 0
0 7
fn=(4) other
cfn=(2)
calls=2 0
0 5
cfn=(5) realloc'2
calls=1 0
0 5
totals: 1234
";
        assert_eq!(parse(text), Some(Counts { instructions: 1234.0, allocations: 6.0 }));
        assert_eq!(parse("events: Ir\n"), None);
    }
}
