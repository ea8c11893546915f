//! Packing: what is in, what is left out, what is refused, and that the same files have the same name.

use super::*;
use std::collections::BTreeMap;
use std::fs::{create_dir_all, set_permissions, write};
use std::os::unix::fs::symlink;
use tempfile::TempDir;
use zip::ZipArchive;

fn project() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for inner in ["src/__pycache__", ".git", ".venv/bin", "empty"] {
        create_dir_all(root.join(inner)).unwrap();
    }
    for (name, text) in [("main.py", "print(1)"), ("src/a.py", "a"), ("src/__pycache__/a.pyc", "x"), (".git/HEAD", "x")]
    {
        write(root.join(name), text).unwrap();
    }
    write(root.join("run.sh"), "#!/bin/sh\n").unwrap();
    set_permissions(root.join("run.sh"), std::fs::Permissions::from_mode(0o700)).unwrap();
    symlink("../main.py", root.join("src/link.py")).unwrap();
    dir
}

/// Names, modes and contents.
fn entries(package: &Package) -> BTreeMap<String, (u32, String)> {
    let mut zip = ZipArchive::new(package.content.try_clone().unwrap()).unwrap();
    let mut found = BTreeMap::new();
    for at in 0..zip.len() {
        let mut entry = zip.by_index(at).unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        found.insert(entry.name().unwrap().into_owned(), (entry.unix_mode().unwrap(), text));
    }
    found
}

#[test]
fn a_directory_is_packed_without_what_nobody_needs() {
    let dir = project();
    let package = pack(dir.path()).unwrap();
    let found = entries(&package);
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(names, ["empty/", "main.py", "run.sh", "src/", "src/a.py", "src/link.py"]);
    assert_eq!(found["main.py"], (0o100_644, "print(1)".into()));
    assert_eq!(found["run.sh"].0, 0o100_755);
    assert_eq!(found["src/link.py"], (0o120_777, "../main.py".into()));
    assert_eq!(package.files, 4);
    assert_eq!(package.size, package.content.metadata().unwrap().len());
}

#[test]
fn the_name_follows_from_the_content_alone() {
    let (one, other) = (project(), project());
    let name = pack(one.path()).unwrap().name;
    assert!(name.starts_with("_iosdk_pkg_") && name.ends_with(".zip") && name.len() == 11 + 2 * NAME + 4, "{name}");
    let old = std::time::SystemTime::UNIX_EPOCH;
    File::options().write(true).open(other.path().join("main.py")).unwrap().set_modified(old).unwrap();
    write(other.path().join(".git/HEAD"), "another branch").unwrap();
    assert_eq!(pack(other.path()).unwrap().name, name);
    write(other.path().join("main.py"), "print(2)").unwrap();
    assert_ne!(pack(other.path()).unwrap().name, name);
}

#[test]
fn links_that_lead_out_are_refused() {
    for target in ["/etc/passwd", "../../x", "a/../../b", "a/.."] {
        let dir = project();
        symlink(target, dir.path().join("src/out")).unwrap();
        let error = pack(dir.path()).err().unwrap().to_string();
        assert!(error.contains("src/out links to") && error.contains(target), "{error}");
    }
}

#[test]
fn what_is_no_directory_is_refused() {
    let dir = project();
    assert_eq!(pack(&dir.path().join("main.py")).err().unwrap().code(), 2);
    assert!(pack(&dir.path().join("gone")).err().unwrap().to_string().contains("gone"));
}
