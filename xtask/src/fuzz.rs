//! The fuzz step: each target for a short while, from the seeds that the vectors make.

use std::fs;
use std::path::Path;

use crate::Failure;
use crate::line::Line;

/// How long each target runs in the step, in seconds.
const SECONDS: u32 = 20;

/// Everything that fuzzing builds and finds: nothing of it is in the tree that git sees.
const FOLDER: &str = "target/fuzz";

/// The names of the targets, by their files.
pub(crate) fn targets(root: &Path) -> Vec<String> {
    let files = fs::read_dir(root.join("fuzz/fuzz_targets")).into_iter().flatten().flatten();
    let mut names: Vec<String> = files
        .filter_map(|file| file.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
        .collect();
    names.sort();
    names
}

/// Makes the folders that the targets write to.
pub(crate) fn prepare(root: &Path) -> Result<(), Failure> {
    for target in targets(root) {
        for folder in ["corpus", "artifacts"] {
            let path = root.join(FOLDER).join(folder).join(&target);
            fs::create_dir_all(&path)
                .map_err(|e| Failure::failed(format!("{} cannot be made: {e}", path.display())))?;
        }
    }
    Ok(())
}

/// The command lines of the step.
pub(crate) fn lines(targets: &[String]) -> Vec<Line> {
    let seeds = format!(
        "run --release -p trunkline-conformance -- seeds conformance/vectors {FOLDER}/seeds"
    );
    let build = format!("fuzz build --target-dir {FOLDER}");
    let runs = targets.iter().map(|target| Line::nightly(run(target, SECONDS)));
    [Line::stable(seeds), Line::nightly(build)].into_iter().chain(runs).collect()
}

/// Runs one target. What it finds on the way stays in its corpus, so that the next run goes on from
/// there; an input that breaks a promise is kept among the artifacts.
fn run(target: &str, seconds: u32) -> String {
    format!(
        "fuzz run --target-dir {FOLDER} {target} {FOLDER}/corpus/{target} {FOLDER}/seeds/{target} -- \
         -max_total_time={seconds} -len_control=0 -max_len=8192 -timeout=60 -rss_limit_mb=2048 -verbosity=0 \
         -print_final_stats=1 -artifact_prefix={FOLDER}/artifacts/{target}/"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_run_from_its_seeds() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let targets = targets(&root);
        assert!(targets.iter().any(|target| target == "agentproto_frame"), "{targets:?}");
        let lines: Vec<String> = lines(&targets).iter().map(Line::to_string).collect();
        assert_eq!(lines.len(), 2 + targets.len());
        for target in targets {
            let seeds = format!(" target/fuzz/seeds/{target} -- -max_total_time=20 ");
            assert!(lines.iter().any(|line| line.contains(&seeds)), "{target}: {lines:?}");
        }
    }
}
