//! Documents may only name what exists: each path in backticks in a Markdown file must be there.

use crate::source::{all, report, root};

/// Made by a build or a run, so absent from a fresh clone.
const MADE_LATER: &[&str] = &["target/", ".venv/"];

/// A word in backticks that claims to be a file or folder of this repository.
fn as_path(word: &str) -> Option<&str> {
    let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    let shaped = word.contains('/')
        || [".rs", ".py", ".pyi", ".toml", ".md", ".txt", ".sh"]
            .iter()
            .any(|end| word.len() > end.len() && word.ends_with(end));
    let ours = !word.starts_with('/')
        && !word.starts_with("./")
        && !word.contains("..")
        && !MADE_LATER.iter().any(|made| word.starts_with(made));
    (plain && shaped && ours).then_some(word)
}

/// Words in backticks and targets of links, outside code fences.
fn named(text: &str) -> Vec<(usize, String)> {
    let mut words = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        words.extend(line.split('`').skip(1).step_by(2).map(|word| (number + 1, word.to_owned())));
        for part in line.split("](").skip(1) {
            let target = part.split([')', '#']).next().unwrap_or("");
            if !target.contains("://") && !target.is_empty() {
                words.push((number + 1, target.to_owned()));
            }
        }
    }
    words
}

#[test]
fn paths_named_in_documents_exist() {
    let mut complaints = Vec::new();
    let mut seen = 0;
    for file in all().iter().filter(|file| file.has_extension("md")) {
        let here = root().join(&file.path);
        let folder = here.parent().expect("a file lies in a folder");
        for (line, word) in named(&file.text) {
            let Some(path) = as_path(&word) else { continue };
            seen += 1;
            if !root().join(path).exists() && !folder.join(path).exists() {
                complaints.push(format!("{}:{line}: `{path}` does not exist", file.path));
            }
        }
    }
    report("a document names only what exists", &complaints);
    assert!(seen > 0, "the documents name no path at all: the scan is blind");
}

#[test]
fn invariants_named_in_documents_and_checkers_are_the_registry() {
    let files = all();
    let text_of =
        |path: &str| files.iter().find(|file| file.path == path).map(|file| file.text.as_str()).unwrap_or_default();
    let architecture = text_of("ARCHITECTURE.md");
    let mut complaints = Vec::new();
    for (name, says) in iosdk_types::invariant::INVARIANTS {
        if !architecture.contains(name) {
            complaints.push(format!("ARCHITECTURE.md does not name {name} ({says})"));
        }
        let checker = format!("tests/sim/src/check/{}.rs", name.to_lowercase().replace('-', "_"));
        if text_of(&checker).is_empty() {
            complaints.push(format!("{name} has no checker {checker}"));
        }
    }
    report("each invariant is explained and checked", &complaints);
}

#[test]
fn the_scan_tells_paths_from_other_words() {
    assert_eq!(as_path("runtime/core"), Some("runtime/core"));
    assert_eq!(as_path("README.md"), Some("README.md"));
    assert_eq!(as_path("get(refs)"), None);
    assert_eq!(as_path("/dev/shm"), None);
    assert_eq!(as_path("num_cpus"), None);
    let text = "see `a/b` and [c](docs/c.md)\n```\n`x/y`\n```\n";
    assert_eq!(named(text), vec![(1, "a/b".to_owned()), (1, "docs/c.md".to_owned())]);
}
