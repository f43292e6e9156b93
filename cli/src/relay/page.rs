//! The relay's own page: the files of `cli/assets/relay`, which are part of the program.
//!
//! Nothing is loaded from elsewhere, so the page works without a network and its policy can forbid
//! every other origin.

use std::sync::LazyLock;

/// The headers of everything that the relay itself serves to a browser, names in lower case.
///
/// Scripts come from files of ours alone, never from the page's text. Styles may stand in the page,
/// because xterm.js makes its colours into a style element. No other page may frame this one.
pub(crate) const SECURITY_HEADERS: [(&str, &str); 5] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self'; \
         connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
];

/// How long a browser may use an asset without asking: not at all, but asking costs a 304 only.
pub(crate) const CACHE_CONTROL: &str = "no-cache";

/// One file of the page.
#[derive(Debug)]
pub(crate) struct Asset {
    /// The value of `Content-Type`.
    pub(crate) content_type: &'static str,
    /// The whole file.
    pub(crate) body: &'static [u8],
    /// The value of `ETag`, quotes included; it changes with the file.
    pub(crate) etag: String,
}

impl Asset {
    /// Whether the value of an `If-None-Match` names this very file, so that 304 answers.
    pub(crate) fn is_known_by(&self, if_none_match: &str) -> bool {
        let named = |tag: &str| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.etag;
        if_none_match.split(',').map(str::trim).any(named)
    }
}

/// The file that stands at the path of a request, without its query: the page at `/`, the rest below
/// `/-/assets/`. `None` is a 404.
pub(crate) fn asset(path: &str) -> Option<&'static Asset> {
    let name = match path {
        "/" => "index.html",
        _ => path.strip_prefix("/-/assets/")?,
    };
    ASSETS.iter().find(|(n, _)| *n == name).map(|(_, asset)| asset)
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Name, type and text of a file of the assets' folder.
macro_rules! file {
    ($name:literal, $kind:expr) => {
        file!($name, $kind, $name)
    };
    ($name:literal, $kind:expr, $path:literal) => {
        ($name, $kind, include_bytes!(concat!("../../assets/relay/", $path)).as_slice())
    };
}

static ASSETS: LazyLock<Vec<(&'static str, Asset)>> = LazyLock::new(|| {
    let files: [(&str, &str, &[u8]); 11] = [
        file!("index.html", HTML),
        file!("style.css", CSS),
        file!("icon.svg", SVG),
        file!("app.js", SCRIPT),
        file!("cards.js", SCRIPT),
        file!("format.js", SCRIPT),
        file!("terminal.js", SCRIPT),
        file!("wire.js", SCRIPT),
        file!("xterm.mjs", SCRIPT, "vendor/xterm.mjs"),
        file!("xterm.css", CSS, "vendor/xterm.css"),
        file!("addon-fit.mjs", SCRIPT, "vendor/addon-fit.mjs"),
    ];
    let made = |(name, content_type, body)| (name, Asset { content_type, body, etag: etag(body) });
    files.map(made).into()
});

/// The length and the FNV-1a hash of a file: enough to tell one build's files from the next one's.
fn etag(body: &[u8]) -> String {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = body.iter().fold(0xcbf2_9ce4_8422_2325, step);
    format!("\"{:x}-{hash:016x}\"", body.len())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn text(path: &str) -> &'static str {
        std::str::from_utf8(asset(path).unwrap().body).unwrap()
    }

    const SCRIPTS: [&str; 5] = ["app.js", "cards.js", "format.js", "terminal.js", "wire.js"];

    /// Everything between `before` and the next quote.
    fn named<'a>(text: &'a str, before: &str) -> Vec<&'a str> {
        text.split(before).skip(1).filter_map(|rest| rest.split('"').next()).collect()
    }

    #[test]
    fn every_file_that_the_page_names_is_in_the_program() {
        let page = text("/");
        let mut links = named(page, "href=\"");
        links.extend(named(page, "src=\""));
        let files: Vec<_> = links.into_iter().filter(|l| !l.starts_with('#')).collect();
        assert!(files.len() >= 5, "{files:?}");
        for file in files {
            assert!(asset(file).is_some(), "{file}");
        }
        for script in SCRIPTS {
            let text = text(&format!("/-/assets/{script}"));
            for import in named(text, "from \"./").iter().chain(&named(text, "import(\"./")) {
                assert!(asset(&format!("/-/assets/{import}")).is_some(), "{script}: {import}");
            }
        }
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere_and_no_script_stands_in_the_page() {
        let page = text("/");
        assert!(!page.contains("://"), "another origin");
        assert!(named(page, "<script").iter().all(|s| s.starts_with(" type=")));
        assert_eq!(page.matches("<script").count(), page.matches("></script>").count());
        for handler in [" onclick=", " onload=", " style=", "<style", "javascript:"] {
            assert!(!page.contains(handler), "{handler}");
        }
        for script in SCRIPTS {
            let text = text(&format!("/-/assets/{script}"));
            for markup in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"] {
                assert!(!text.contains(markup), "{script} makes markup of text: {markup}");
            }
        }
    }

    #[test]
    fn a_path_that_is_no_file_of_the_page_has_no_asset() {
        for path in
            ["", "/index.html", "/-/assets/", "/-/assets/../page.rs", "/-/assets/vendor/xterm.mjs"]
        {
            assert!(asset(path).is_none(), "{path}");
        }
    }

    #[test]
    fn tags_differ_and_are_known_again() {
        let tags: BTreeSet<_> = ASSETS.iter().map(|(_, a)| &a.etag).collect();
        assert_eq!(tags.len(), ASSETS.len());
        let page = asset("/").unwrap();
        assert!(page.is_known_by(&page.etag));
        assert!(page.is_known_by(&format!("\"x\", W/{}", page.etag)));
        assert!(page.is_known_by("*"));
        assert!(!page.is_known_by("\"x\""));
        assert!(!page.is_known_by(""));
    }
}
