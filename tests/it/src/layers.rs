//! Which crate may use which. An arrow that is not drawn here does not exist; the picture is in `ARCHITECTURE.md`.

use crate::source::{report, root};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// `(crate, crates of this workspace that it may use)`.
const ARROWS: &[(&str, &[&str])] = &[
    ("iosdk-types", &[]),
    ("iosdk-complain", &[]),
    ("iosdk-runtime-core", &["iosdk-types"]),
    ("iosdk-raylet-core", &["iosdk-types"]),
    ("iosdk-gcs-core", &["iosdk-types"]),
    ("iosdk-net", &["iosdk-types"]),
    ("iosdk-store", &["iosdk-types"]),
    ("iosdk-runtime", &["iosdk-types", "iosdk-complain", "iosdk-runtime-core", "iosdk-net", "iosdk-store"]),
    ("iosdk-supervisor", &["iosdk-types", "iosdk-complain"]),
    ("iosdk-history", &["iosdk-types"]),
    ("iosdk-gcs-log", &[]),
    ("iosdk-http", &["iosdk-types", "iosdk-complain"]),
    (
        "iosdk-raylet",
        &[
            "iosdk-types",
            "iosdk-complain",
            "iosdk-raylet-core",
            "iosdk-history",
            "iosdk-net",
            "iosdk-store",
            "iosdk-supervisor",
        ],
    ),
    (
        "iosdk-gcs",
        &[
            "iosdk-types",
            "iosdk-complain",
            "iosdk-gcs-core",
            "iosdk-net",
            "iosdk-gcs-log",
            "iosdk-history",
            "iosdk-http",
        ],
    ),
    ("iosdk-cli", &["iosdk-types", "iosdk-raylet", "iosdk-gcs", "iosdk-supervisor", "iosdk-http"]),
    ("iosdk-bindings", &["iosdk-types", "iosdk-runtime", "iosdk-runtime-core", "iosdk-cli"]),
    ("iosdk-sim", &["iosdk-types", "iosdk-runtime-core", "iosdk-raylet-core", "iosdk-gcs-core"]),
    ("iosdk-it", &["iosdk-types"]),
];

/// What a pure crate may take from outside.
const OUTSIDE_OF_PURE: &[(&str, &[&str])] = &[
    ("iosdk-types", &["serde", "serde_bytes", "smallvec"]),
    ("iosdk-runtime-core", &["smallvec"]),
    ("iosdk-raylet-core", &["smallvec"]),
    ("iosdk-gcs-core", &["serde", "smallvec"]),
    ("iosdk-sim", &["smallvec"]),
];

/// Outside crates that only these may use: no async runtime in drivers and workers, no Python in the core.
const ONLY: &[(&str, &[&str])] = &[
    ("pyo3", &["iosdk-bindings"]),
    ("tokio", &["iosdk-gcs", "iosdk-http", "iosdk-raylet", "iosdk-cli"]),
    ("tonic", &["iosdk-gcs", "iosdk-raylet", "iosdk-cli"]),
];

/// What each crate of the workspace depends on, tests of its own left out.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    // At run time: a build that was kept may have been made by a toolchain that is elsewhere now.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo describes the workspace");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let text = |value: &Value| value.as_str().expect("a name is text").to_owned();
    let packages = metadata["packages"].as_array().expect("a list of packages");
    packages
        .iter()
        .map(|package| {
            let used = package["dependencies"].as_array().expect("a list of dependencies");
            let used = used.iter().filter(|used| used["kind"] != "dev").map(|used| text(&used["name"])).collect();
            (text(&package["name"]), used)
        })
        .collect()
}

#[test]
fn crates_use_only_what_the_picture_allows() {
    let workspace = dependencies();
    let mut complaints = Vec::new();
    for (krate, used) in &workspace {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| name == krate) else {
            complaints.push(format!("{krate} is not in the picture"));
            continue;
        };
        for other in used.iter().filter(|other| workspace.contains_key(*other) && !allowed.contains(&other.as_str())) {
            complaints.push(format!("{krate} must not use {other}"));
        }
    }
    for (krate, _) in ARROWS.iter().filter(|(name, _)| !workspace.contains_key(*name)) {
        complaints.push(format!("{krate} is in the picture and not in the workspace"));
    }
    report("arrows between crates", &complaints);
}

#[test]
fn pure_crates_can_reach_no_outside_world() {
    let workspace = dependencies();
    let mut complaints = Vec::new();
    for (krate, allowed) in OUTSIDE_OF_PURE {
        let outside = workspace[*krate].iter().filter(|other| !workspace.contains_key(*other));
        for other in outside.filter(|other| !allowed.contains(&other.as_str())) {
            complaints.push(format!("{krate} must not use {other}"));
        }
    }
    for (outside, users) in ONLY {
        for (krate, _) in
            workspace.iter().filter(|(krate, used)| used.contains(*outside) && !users.contains(&krate.as_str()))
        {
            complaints.push(format!("{krate} must not use {outside}"));
        }
    }
    report("what comes from outside", &complaints);
}
