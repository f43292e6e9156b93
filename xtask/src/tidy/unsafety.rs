//! Unsafe code: in one file of host, in a test's allocator, and never without the reason why it is
//! sound.

use super::{Breach, Source, find_word};

/// How far above the keyword its comment may begin.
const COMMENT_REACH: usize = 5;

/// The benchmark's allocator, which counts as those of tests do.
const ALLOCATOR: &str = "bench/src/allocator.rs";

pub(super) fn check(sources: &[Source<'_>]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let mut home: Option<&str> = None;
    for source in sources {
        for (index, line) in source.masked.code.lines().enumerate() {
            if find_word(line, "unsafe").is_none() {
                continue;
            }
            let mut breach =
                |message: String| breaches.push(Breach::new(source.path, index + 1, message));
            // A global allocator that counts cannot be written without it, and ships with nothing.
            if source.path.contains("/tests/") || source.path == ALLOCATOR {
            } else if !source.path.starts_with("host/src/") {
                breach("unsafe code outside host/src".to_owned());
            } else if *home.get_or_insert(source.path) != source.path {
                breach(format!(
                    "unsafe code in a second file; {} has it",
                    home.unwrap_or_default()
                ));
            }
            if !is_explained(&source.masked.comments, index) {
                breach(format!(
                    "unsafe code without a `// SAFETY:` comment in the {COMMENT_REACH} lines above"
                ));
            }
        }
    }
    breaches
}

fn is_explained(comments: &str, index: usize) -> bool {
    let first = index.saturating_sub(COMMENT_REACH);
    comments.lines().skip(first).take(index - first + 1).any(|line| line.contains("// SAFETY:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "// SAFETY: nothing is shared.\nunsafe { a() }\n";

    fn told(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<_> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        check(&sources).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn one_file_of_host_may_hold_explained_unsafe_code() {
        assert!(told(&[("host/src/spawn.rs", SOUND)]).is_empty());
        assert!(told(&[("host/src/spawn.rs", &SOUND.repeat(2))]).is_empty());
    }

    #[test]
    fn elsewhere_it_is_a_breach() {
        assert_eq!(
            told(&[("cli/src/a.rs", SOUND)]),
            ["cli/src/a.rs:2: unsafe code outside host/src"]
        );
    }

    #[test]
    fn a_test_and_an_allocator_that_counts_may_hold_explained_unsafe_code() {
        assert!(told(&[("core/tests/memory.rs", SOUND)]).is_empty());
        assert!(told(&[(ALLOCATOR, SOUND)]).is_empty());
        assert_eq!(told(&[("core/tests/memory.rs", "unsafe { a() }")]).len(), 1);
    }

    #[test]
    fn a_second_file_is_a_breach() {
        let told = told(&[("host/src/a.rs", SOUND), ("host/src/b.rs", SOUND)]);
        assert_eq!(told, ["host/src/b.rs:2: unsafe code in a second file; host/src/a.rs has it"]);
    }

    #[test]
    fn every_form_needs_its_comment_close_above() {
        let missing = "unsafe code without a `// SAFETY:` comment in the 5 lines above";
        for form in
            ["unsafe { a() }", "unsafe fn a() {}", "unsafe impl A for B {}", "#[unsafe(no_mangle)]"]
        {
            assert_eq!(told(&[("host/src/a.rs", form)]), [format!("host/src/a.rs:1: {missing}")]);
        }
        let far = format!("// SAFETY: a\n{}unsafe {{ a() }}\n", "\n".repeat(5));
        assert_eq!(told(&[("host/src/a.rs", &far)]), [format!("host/src/a.rs:7: {missing}")]);
    }

    #[test]
    fn the_word_in_a_comment_a_string_or_a_lint_is_no_code() {
        assert!(
            told(&[("a.rs", "#![forbid(unsafe_code)]\n// unsafe {\nlet a = \"unsafe {\";\n")])
                .is_empty()
        );
    }
}
