use super::*;

const PAGE: &str = "# A wire\n\n## 4. Frame\n\n### 4.1 Length\n\n## 15. Limits\n";

fn pages_told(comment: &str) -> Vec<String> {
    let tree = Tree::of(&[("docs/protocols/wire.md", PAGE)]);
    let source = Source::new("a.rs", comment);
    protocol_pages(&source, &tree).iter().map(ToString::to_string).collect()
}

fn links_told(page: &str, text: &str) -> Vec<String> {
    let tree = Tree::of(&[(page, text), ("docs/a.md", ""), ("README.md", "")]);
    let relevant = links(&tree);
    relevant.iter().map(ToString::to_string).collect()
}

#[test]
fn pages_and_sections_that_exist_pass() {
    for comment in [
        "//! Frames: `docs/protocols/wire.md` section 4.\n",
        "// docs/protocols/wire.md sections 4 and 15: why\n",
        "/// docs/protocols/wire.md sections 4, 4.1 and 15.\n",
        "//! `docs/protocols/wire.md`\n//! section 4\n",
        "// docs/protocols/<wire>.md section 99\n",
        "let a = \"docs/protocols/none.md\";\n",
        "// docs/protocols/wire.md says: section 99\n",
    ] {
        assert!(pages_told(comment).is_empty(), "{comment}: {:?}", pages_told(comment));
    }
}

#[test]
fn a_page_that_does_not_exist_is_a_breach() {
    let told = pages_told("\n//! `docs/protocols/none.md` section 4.\n");
    assert_eq!(told, ["a.rs:2: names docs/protocols/none.md, which does not exist"]);
}

#[test]
fn a_section_that_does_not_exist_is_a_breach() {
    let breach = |section: &str| {
        format!(
            "a.rs:1: names section {section} of docs/protocols/wire.md, which has no such heading"
        )
    };
    assert_eq!(pages_told("// `docs/protocols/wire.md` section 5.\n"), [breach("5")]);
    assert_eq!(pages_told("// (docs/protocols/wire.md, sections 4 and 5)\n"), [breach("5")]);
    assert_eq!(
        pages_told("// docs/protocols/wire.md sections 1, 4 and 4.2.\n"),
        [breach("1"), breach("4.2")]
    );
    assert_eq!(pages_told("//! `docs/protocols/wire.md`\n//! section 1\n"), [breach("1")]);
    assert_eq!(pages_told("/* docs/protocols/wire.md section 1 */\n"), [breach("1")]);
}

#[test]
fn numbers_of_the_next_sentence_are_no_sections() {
    assert!(pages_told("// docs/protocols/wire.md section 4. 5 bytes follow\n").is_empty());
    assert!(pages_told("// docs/protocols/wire.md section 4 has 5 bytes\n").is_empty());
}

#[test]
fn links_to_what_exists_and_to_elsewhere_pass() {
    for text in [
        "[a](a.md) [b](../README.md#top) [c](#here) [d](https://example.org/x) [e](mailto:a@b.c) [f](./)\n",
        "[`code`](a.md \"title\")\n",
        "[label]: a.md\n[^1]: a note\n",
        "`[a](none.md)`\n",
        "```\n[a](none.md)\n```\n",
        "[root](/docs/a.md)\n",
        "a ` alone\n",
    ] {
        assert!(
            links_told("docs/b.md", text).is_empty(),
            "{text}: {:?}",
            links_told("docs/b.md", text)
        );
    }
}

#[test]
fn a_link_to_nothing_is_a_breach() {
    let breach = |line: usize, target: &str| {
        format!("docs/b.md:{line}: links to {target}, which does not exist")
    };
    assert_eq!(links_told("docs/b.md", "\n[a](none.md#x)\n"), [breach(2, "none.md")]);
    assert_eq!(links_told("docs/b.md", "[`a`](a.md), [b](README.md)\n"), [breach(1, "README.md")]);
    assert_eq!(links_told("docs/b.md", "[label]: none.md\n"), [breach(1, "none.md")]);
    assert_eq!(links_told("docs/b.md", "```\n```\n[a](<none.md>)\n"), [breach(3, "none.md")]);
}

#[test]
fn a_link_out_of_the_repository_is_a_breach() {
    assert_eq!(
        links_told("docs/b.md", "[a](../../x.md)\n"),
        ["docs/b.md:1: links to ../../x.md, which does not exist"]
    );
}

#[test]
fn a_folder_of_one_machine_is_a_breach_in_any_file() {
    for outside in OUTSIDE {
        let text = format!("a\nsee {outside}x\n");
        let told: Vec<_> =
            outside_paths(&Tree::of(&[("a.txt", &text)])).iter().map(ToString::to_string).collect();
        assert_eq!(told, [format!("a.txt:2: mentions {outside}, which is outside the repository")]);
    }
    let inner = format!("https://example.org{}x\n", OUTSIDE[1]);
    assert!(outside_paths(&Tree::of(&[("a.txt", &inner)])).is_empty());
}
