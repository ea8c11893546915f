//! The rules of the house that a text scan can hold: sizes, headers, what the pure crates may not name, leftovers.

use crate::source::{Source, all, report};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// Crates that decide and do nothing: the same input must give the same output on any machine, on any day.
const PURE: &[&str] = &["runtime/types/src/", "runtime/core/src/", "raylet/core/src/", "gcs/core/src/"];

/// What a pure crate may not name, and what it uses instead.
const BANNED_IN_PURE: &[(&str, &str)] = &[
    ("Instant", "time comes in as `Time`"),
    ("SystemTime", "time comes in as `Time`"),
    ("std::thread", "a machine has no threads"),
    ("std::sync", "a machine has one writer"),
    ("std::env", "settings come in as a struct"),
    ("std::fs", "effects ask the shell"),
    ("std::net", "effects ask the shell"),
    ("std::process", "effects ask the shell"),
    ("HashMap", "`iosdk_types::Map` has a fixed order"),
    ("HashSet", "`iosdk_types::Set` has a fixed order"),
    ("RandomState", "`iosdk_types::Map` has a fixed order"),
    ("rand::", "randomness is a seed handed in"),
    ("unsafe ", "a machine never needs it"),
    ("println!", "a machine has no output but effects"),
    ("f32", "floats round differently where it matters; scores are integers"),
];

/// Crates that run as daemons or inside users' processes: there stderr may be a full disk or a closed pipe.
const OUTLIVE_THEIR_LOG: &[&str] = &["gcs/", "raylet/", "runtime/"];

/// The part of a Rust line before a comment. (A `//` inside a string hides its end too: harmless for a ban.)
fn code_of(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}

#[test]
fn files_have_at_most_500_lines() {
    let complaints: Vec<String> = all()
        .iter()
        .filter(|file| file.has_extension("rs") || file.is_python() || file.has_extension("sh"))
        .filter(|file| file.text.lines().count() > FILE_LINES_MAX)
        .map(|file| format!("{}: {} lines; split it along the next noun", file.path, file.text.lines().count()))
        .collect();
    report("a file has at most 500 lines", &complaints);
}

#[test]
fn functions_have_at_most_70_lines() {
    let mut complaints = Vec::new();
    for file in all() {
        let functions = if file.has_extension("rs") {
            rust_functions(&file.text)
        } else if file.is_python() {
            python_functions(&file.text)
        } else {
            continue;
        };
        for (line, length) in functions.into_iter().filter(|(_, length)| *length > FUNCTION_LINES_MAX) {
            complaints.push(format!("{}:{line}: {length} lines", file.path));
        }
    }
    report("a function has at most 70 lines", &complaints);
}

/// `(first line, lines)` of each function, going by rustfmt's layout: a body ends at the first line that closes it at the
/// indentation of its `fn`.
fn rust_functions(text: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let code = code_of(line);
        let trimmed = code.trim_start();
        let starts = [
            "fn ",
            "pub fn ",
            "pub(crate) fn ",
            "pub(super) fn ",
            "const fn ",
            "pub const fn ",
            "unsafe fn ",
            "async fn ",
            "pub async fn ",
        ];
        if !starts.iter().any(|start| trimmed.starts_with(start)) {
            continue;
        }
        let close = format!("{}}}", &code[..code.len() - trimmed.len()]);
        let end = lines[at..].iter().position(|later| later.trim_end() == close);
        found.push((at + 1, end.map_or(1, |end| end + 1)));
    }
    found
}

/// `(first line, lines)` of each function: up to the last line indented deeper than its `def`.
fn python_functions(text: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        if !trimmed.starts_with("def ") && !trimmed.starts_with("async def ") {
            continue;
        }
        let mut last = at;
        for (offset, later) in lines[at + 1..].iter().enumerate() {
            let blank = later.trim().is_empty();
            if !blank && indent(later) <= indent(line) && !later.trim_start().starts_with(')') {
                break;
            }
            if !blank {
                last = at + 1 + offset;
            }
        }
        found.push((at + 1, last - at + 1));
    }
    found
}

#[test]
fn every_file_says_what_it_owns() {
    let has_header = |file: &Source| {
        let mut lines = file.text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("#!"));
        let first = lines.next().unwrap_or("");
        if file.has_extension("rs") {
            return first.starts_with("//!");
        }
        let docstring = first.starts_with("\"\"\"") || first.starts_with("r\"\"\"");
        docstring || (file.has_extension("sh") && first.starts_with('#'))
    };
    let complaints: Vec<String> = all()
        .iter()
        .filter(|file| file.has_extension("rs") || file.is_python() || file.has_extension("sh"))
        .filter(|file| !has_header(file))
        .map(|file| format!("{}: starts without a header", file.path))
        .collect();
    report("a file starts with what it owns", &complaints);
}

#[test]
fn pure_crates_name_no_clock_thread_or_hash_order() {
    let mut complaints = Vec::new();
    for file in all().iter().filter(|file| file.has_extension("rs") && file.is_under(PURE)) {
        for (number, line) in file.text.lines().enumerate() {
            for (word, instead) in BANNED_IN_PURE {
                if code_of(line).contains(word) {
                    complaints.push(format!("{}:{}: `{word}`: {instead}", file.path, number + 1));
                }
            }
        }
    }
    report("the cores are deterministic", &complaints);
}

#[test]
fn no_log_that_cannot_be_written_ends_a_process() {
    let mut complaints = Vec::new();
    let watched = |file: &&Source| {
        let tests = file.path.contains("/tests/") || file.path.ends_with("_tests.rs");
        file.has_extension("rs") && file.path.contains("/src/") && !tests && within(file, OUTLIVE_THEIR_LOG)
    };
    for file in all().iter().filter(watched) {
        let product = file.text.lines().take_while(|line| *line != "mod tests {");
        for (number, line) in product.enumerate() {
            if code_of(line).contains("eprintln!") {
                complaints.push(format!("{}:{}: `eprintln!` panics there; use `complain!`", file.path, number + 1));
            }
        }
    }
    report("a log that cannot be written ends no process", &complaints);
}

fn within(file: &Source, folders: &[&str]) -> bool {
    folders.iter().any(|folder| file.path.starts_with(folder))
}

#[test]
fn nothing_is_left_unfinished() {
    // Put together here, so that this file does not name them.
    let leftovers: Vec<String> = [
        ["to", "do!("],
        ["unimple", "mented!("],
        ["d", "bg!("],
        ["FIX", "ME"],
        ["TO", "DO"],
        ["#[ig", "nore]"],
        ["@pytest.mark.s", "kip("],
        ["mark.x", "fail"],
        ["allow(dead_", "code"],
    ]
    .iter()
    .map(|halves| halves.concat())
    .collect();
    let mut complaints = Vec::new();
    for file in all().iter().filter(|file| file.has_extension("rs") || file.is_python()) {
        for (number, line) in file.text.lines().enumerate() {
            // What says why is a decision: `cfg_attr` names the case, `reason` and a comment the cause.
            let says_why = line.contains("cfg_attr") || line.contains("reason") || line.contains("//");
            for word in leftovers.iter().filter(|word| !says_why && line.contains(word.as_str())) {
                complaints.push(format!("{}:{}: `{word}`", file.path, number + 1));
            }
        }
    }
    report("nothing is left unfinished or switched off", &complaints);
}

#[test]
fn no_path_of_one_machine() {
    let roots: Vec<String> =
        ["wo|rk", "far|m", "ro|ot", "ho|me"].iter().map(|name| format!("/{}/", name.replace('|', ""))).collect();
    let mut complaints = Vec::new();
    for file in all().iter().filter(|file| !file.path.starts_with("LICENSE")) {
        for (number, line) in file.text.lines().enumerate() {
            for root in &roots {
                let absolute = |at: usize| {
                    let before = line[..at].chars().next_back();
                    let after = line[at + root.len()..].chars().next();
                    !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '.' || c == '-')
                        && after.is_some_and(|c| c.is_alphabetic() || c == '.')
                };
                if line.match_indices(root.as_str()).any(|(at, _)| absolute(at)) {
                    complaints.push(format!("{}:{}: a path below {root}", file.path, number + 1));
                }
            }
        }
    }
    report("no path that exists on one machine only", &complaints);
}

#[test]
fn every_rust_file_is_part_of_a_crate() {
    let files = all();
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| file.has_extension("rs")) {
        let Some((folder, name)) = file.path.rsplit_once('/') else { continue };
        let Some((krate, _)) = file.path.split_once("/src/") else { continue };
        let stem = name.trim_end_matches(".rs");
        if folder.ends_with("/bin") || ["lib", "main", "mod"].contains(&stem) {
            continue;
        }
        let declared = files.iter().any(|other| {
            other.path.starts_with(&format!("{krate}/src/"))
                && (other.text.lines().any(|line| code_of(line).trim_end().ends_with(&format!("mod {stem};")))
                    || other.text.contains(&format!("#[path = \"{name}\"]")))
        });
        if !declared {
            complaints.push(format!("{}: no `mod {stem};` names it", file.path));
        }
    }
    report("a file that no crate compiles is dead", &complaints);
}

#[test]
fn the_scans_see_what_they_are_for() {
    let rust = "impl A {\n    pub fn long(\n        a: u8,\n    ) {\n        a;\n    }\n}\n";
    assert_eq!(rust_functions(rust), vec![(2, 5)]);
    let python = "def a():\n    pass\n\n\nasync def b(\n    x,\n):\n    return x\n\nc = 1\n";
    assert_eq!(python_functions(python), vec![(1, 2), (5, 4)]);
    assert_eq!(code_of("let a = 1; // HashMap"), "let a = 1; ");
}
