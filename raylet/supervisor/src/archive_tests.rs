//! Archives that are well meant and archives that are not.

use super::*;
use std::io::{Cursor, Write};
use std::os::unix::fs::PermissionsExt;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// An empty directory that goes away, with the archive beside `work`.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("iosdk-test-{}-{name}", std::process::id()));
        std::fs::create_dir_all(dir.join("work")).unwrap();
        Self(dir)
    }

    fn unpack(&self, bytes: &[u8]) -> Result<(), String> {
        let archive = self.0.join("a.zip");
        std::fs::write(&archive, bytes).unwrap();
        unpack(&archive, &self.0.join("work"))
    }

    fn text(&self, path: &str) -> String {
        std::fs::read_to_string(self.0.join("work").join(path)).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

enum Entry {
    File(&'static str, u32, &'static str),
    Link(&'static str, &'static str),
    Directory(&'static str),
}
use Entry::{Directory, File as Plain, Link as To};

fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for entry in entries {
        match *entry {
            Plain(name, mode, content) => {
                zip.start_file(name, options.unix_permissions(mode)).unwrap();
                zip.write_all(content.as_bytes()).unwrap();
            }
            To(name, target) => zip.add_symlink(name, target, options).unwrap(),
            Directory(name) => zip.add_directory(name, options).unwrap(),
        }
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn what_is_in_it_comes_out() {
    let scratch = Scratch::new("archive");
    let long = "x".repeat(300_000);
    let entries = [
        Plain("bin/run.sh", 0o755, "#!/bin/sh\n"),
        Plain("a/b/c.txt", 0o644, "deep"),
        Directory("a/empty/"),
        To("a/b/up", "../../bin/run.sh"),
        To("top", "a/b"),
        Plain("./dot.txt", 0o600, "dot"),
        Plain("long", 0o644, long.leak()),
    ];
    scratch.unpack(&archive(&entries)).unwrap();
    assert_eq!(scratch.text("a/b/c.txt"), "deep");
    assert_eq!(scratch.text("top/c.txt"), "deep");
    assert_eq!(scratch.text("top/up"), "#!/bin/sh\n");
    assert_eq!(scratch.text("dot.txt"), "dot");
    assert_eq!(scratch.text("long").len(), 300_000);
    let mode = |path: &str| std::fs::metadata(scratch.0.join("work").join(path)).unwrap().permissions().mode();
    assert!(mode("a/empty") & libc::S_IFMT == libc::S_IFDIR);
    assert_eq!((mode("bin/run.sh") & 0o100, mode("a/b/c.txt") & 0o111), (0o100, 0));
}

#[test]
fn nothing_leaves_the_directory() {
    let hostile: [(&str, Vec<Entry>); 10] = [
        ("../x", vec![Plain("../x", 0o644, "x")]),
        ("a/../../x", vec![Plain("a/../../x", 0o644, "x")]),
        ("/iosdk-test-x", vec![Plain("/iosdk-test-x", 0o644, "x")]),
        ("../y/", vec![Directory("../y/")]),
        ("l", vec![To("l", "..")]),
        ("l", vec![To("l", "/etc")]),
        ("a/l", vec![To("a/l", "../../x")]),
        ("b", vec![To("a/l", ".."), To("b", "a/l/..")]),
        ("l/x", vec![Plain("l", 0o644, "file"), Plain("l/x", 0o644, "x")]),
        ("l", vec![To("l", "d"), Plain("l/x", 0o644, "x")]),
    ];
    for (at, (name, entries)) in hostile.iter().enumerate() {
        let scratch = Scratch::new(&format!("hostile-{at}"));
        let error = scratch.unpack(&archive(entries)).unwrap_err();
        assert!(error.contains(&format!("entry {name:?}")), "{error}");
        assert!(error.contains("a.zip"), "{error}");
        let mut left: Vec<_> = std::fs::read_dir(&scratch.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["a.zip", "work"], "{name}");
    }
    assert!(!Path::new("/iosdk-test-x").exists());
}

#[test]
fn devices_and_broken_archives_are_refused() {
    let scratch = Scratch::new("broken");
    let whole = archive(&[Plain("thing", 0o644, "some text, some text, some text")]);
    // The mode is the upper half of a field of the central directory.
    let central = whole.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
    let mut fifo = whole.clone();
    fifo[central + 40..central + 42].copy_from_slice(&((libc::S_IFIFO | 0o644) as u16).to_le_bytes());
    let error = scratch.unpack(&fifo).unwrap_err();
    assert!(error.contains("entry \"thing\": it is neither file"), "{error}");

    let mut damaged = whole;
    let data = damaged.windows(5).position(|five| five == b"thing").unwrap() + 5;
    damaged[data + 4] ^= 0xff;
    let error = scratch.unpack(&damaged).unwrap_err();
    assert!(error.contains("entry \"thing\": "), "{error}");

    let error = scratch.unpack(b"this is no archive").unwrap_err();
    assert!(error.contains("a.zip: "), "{error}");
}

#[test]
fn links_go_up_at_their_beginning_only() {
    for (depth, target, inside) in [
        (0, "a/b", true),
        (0, "./a", true),
        (1, "../a", true),
        (2, ".././../a", true),
        (0, "../a", false),
        (1, "../../a", false),
        (5, "a/../b", false),
        (5, "/a", false),
        (5, "", false),
    ] {
        assert_eq!(stays_inside(depth, target.as_bytes()), inside, "{depth} {target}");
    }
}
