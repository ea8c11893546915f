//! Files that are not as they were written: what is mended, what is refused, and what the operator is told.

use crate::scratch::{Scratch, discard, len, put, record, texts};
use iosdk_gcs_log::Error;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

fn cut(path: &Path, to: u64) {
    OpenOptions::new().write(true).open(path).expect("a file").set_len(to).expect("cut");
}

fn flip(path: &Path, at: u64, bit: u32) {
    let file = OpenOptions::new().read(true).write(true).open(path).expect("a file");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("within the file");
    file.write_all_at(&[byte[0] ^ 1 << bit], at).expect("flipped");
}

/// A log with a snapshot and three groups behind it, and where each of them ends.
struct Written {
    scratch: Scratch,
    file: PathBuf,
    base: u64,
    ends: [u64; 3],
}

fn written(name: &str) -> Written {
    let scratch = Scratch::new(name);
    let mut store = scratch.open().store;
    store.append(&[put("kept", b"kept bytes"), put("dropped", b"dropped bytes")]).expect("appended");
    store.snapshot(b"state").expect("taken");
    let file = scratch.newest();
    let base = len(&file);
    let ends = ["one", "two", "three"].map(|text| {
        let last = if text == "three" { vec![discard("dropped"), put("new", b"new bytes")] } else { Vec::new() };
        store.append(&[vec![record(text), record("more")], last].concat()).expect("appended");
        len(&file)
    });
    Written { scratch, file, base, ends }
}

/// Opens what lost its last group from `at` on, and sees that everything before is there and that more can be appended.
fn is_mended(Written { scratch, file, ends, .. }: &Written, dropped: u64) {
    let mut opened = scratch.open();
    assert_eq!(opened.snapshot.as_deref(), Some(&b"state"[..]));
    assert_eq!(texts(&opened), ["one", "more", "two", "more"]);
    let says = format!("{}: dropped {dropped} bytes at offset {}: ", file.display(), ends[1]);
    assert!(opened.repairs.len() == 1 && opened.repairs[0].starts_with(&says), "{says} is not {:?}", opened.repairs);
    assert!(!opened.repairs[0].contains('\n'));
    assert_eq!(opened.store.blob("kept").expect("read").as_deref(), Some(&b"kept bytes"[..]));
    assert_eq!(opened.store.blob("dropped").expect("read").as_deref(), Some(&b"dropped bytes"[..]));
    assert_eq!(opened.store.blob("new").expect("read"), None);
    opened.store.append(&[record("after")]).expect("appended");
    drop(opened);
    let opened = scratch.open();
    assert_eq!(texts(&opened), ["one", "more", "two", "more", "after"]);
    assert_eq!(opened.repairs, Vec::<String>::new());
}

#[test]
fn a_tail_cut_anywhere_costs_only_the_last_group() {
    let log = written("cut");
    let whole = std::fs::read(&log.file).expect("read");
    for left in 1..log.ends[2] - log.ends[1] {
        std::fs::write(&log.file, &whole).expect("written");
        cut(&log.file, log.ends[1] + left);
        is_mended(&log, left);
    }
}

#[test]
fn a_flipped_bit_anywhere_in_the_last_group_costs_only_that_group() {
    let log = written("flip-last");
    let whole = std::fs::read(&log.file).expect("read");
    for at in log.ends[1]..log.ends[2] {
        std::fs::write(&log.file, &whole).expect("written");
        flip(&log.file, at, at as u32 % 8);
        is_mended(&log, log.ends[2] - log.ends[1]);
    }
}

#[test]
fn zeros_in_place_of_the_last_group_cost_only_that_group() {
    let log = written("zeros");
    cut(&log.file, log.ends[1]);
    cut(&log.file, log.ends[1] + 100_000);
    is_mended(&log, 100_000);
}

#[test]
fn a_flipped_bit_with_good_data_behind_it_is_never_passed_over() {
    let log = written("flip-middle");
    let whole = std::fs::read(&log.file).expect("read");
    for at in 0..log.ends[1] {
        flip(&log.file, at, at as u32 % 8);
        let damaged = std::fs::read(&log.file).expect("read");
        let Error::Damaged { path, offset, remedy, .. } = log.scratch.refused() else {
            panic!("byte {at} was not missed");
        };
        assert_eq!(path, log.file);
        let group = [log.base, log.ends[0]].into_iter().rfind(|start| *start <= at);
        assert_eq!(offset, group.unwrap_or(if at < 28 { 0 } else { offset }), "byte {at}");
        assert!(offset <= at);
        assert!(remedy.contains("restore the folder from a copy"), "{remedy}");
        assert_eq!(remedy.contains(&format!("`truncate -s {offset} {}`", path.display())), group.is_some());
        assert!(std::fs::read(&log.file).expect("read") == damaged, "a refusal changes nothing");
        std::fs::write(&log.file, &whole).expect("written");
    }
    assert_eq!(texts(&log.scratch.open()).len(), 6);
}

#[test]
fn the_advice_to_cut_works() {
    let log = written("advice");
    flip(&log.file, log.ends[0] + 20, 3);
    let Error::Damaged { offset, .. } = log.scratch.refused() else { panic!("damage was not missed") };
    cut(&log.file, offset);
    let opened = log.scratch.open();
    assert_eq!(texts(&opened), ["one", "more"]);
    assert_eq!(opened.store.blob("dropped").expect("read").as_deref(), Some(&b"dropped bytes"[..]));
}

/// The frame header alone shows that an append came later, so the damaged one was durable.
#[test]
fn a_torn_group_behind_a_damaged_one_is_still_an_error() {
    let log = written("two");
    cut(&log.file, log.ends[2] - 5);
    flip(&log.file, log.ends[0] + 20, 0);
    assert!(matches!(log.scratch.refused(), Error::Damaged { offset, .. } if offset == log.ends[0]));
}

/// The search for what lies behind goes a MiB at a time: a frame that starts in one piece and ends in the next is found.
#[test]
fn a_group_far_behind_a_damaged_one_is_found() {
    for before in [20, 21, 28, 35, 36] {
        let scratch = Scratch::new("far");
        let mut store = scratch.open().store;
        let file = scratch.newest();
        let start = len(&file);
        store.append(&[record(&"x".repeat((1 << 20) - before))]).expect("appended");
        store.append(&[record("behind")]).expect("appended");
        drop(store);
        flip(&file, start + 5000, 0);
        let error = scratch.refused();
        assert!(matches!(error, Error::Damaged { offset, .. } if offset == start), "{before}: {error}");
    }
}

/// A blob may hold a piece of this very log: in a torn group it must not pass for data behind the damage.
#[test]
fn frames_within_a_blob_are_no_frames() {
    let log = written("nested");
    let whole = std::fs::read(&log.file).expect("read");
    let mut store = log.scratch.open().store;
    store.append(&[put("copy", &whole), put("copy again", &whole)]).expect("appended");
    drop(store);
    cut(&log.file, len(&log.file) - 1);
    let opened = log.scratch.open();
    assert_eq!((texts(&opened).len(), opened.repairs.len()), (6, 1));
    assert_eq!(len(&log.file), log.ends[2]);
}

#[test]
fn a_snapshot_that_is_not_whole_is_an_error() {
    let log = written("base");
    for to in 0..log.base {
        cut(&log.file, to);
        let error = log.scratch.refused().to_string();
        assert!(error.contains(&log.file.display().to_string()), "{error}");
        assert!(error.ends_with("Nothing was changed; restore the folder from a copy"), "{error}");
    }
}

#[test]
fn a_newer_format_is_refused() {
    let log = written("newer");
    // The header of version 7: the checksum is over the 24 bytes before it.
    let mut header = std::fs::read(&log.file).expect("read")[..28].to_vec();
    header[12] = 7;
    let crc = crc32c::crc32c(&header[..24]);
    header[24..].copy_from_slice(&crc.to_le_bytes());
    OpenOptions::new().write(true).open(&log.file).expect("a log").write_all_at(&header, 0).expect("written");
    let error = log.scratch.refused();
    assert!(matches!(error, Error::Newer { found: 7, known: 1, .. }), "{error}");
    assert!(error.to_string().contains("has format version 7"), "{error}");
}

/// 5 MiB, which make a file stay for them, are in the first file; then the second is started.
fn with_older_file(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    let mut store = scratch.open().store;
    store.append(&[put("large", &vec![7; 5 << 20])]).expect("appended");
    store.snapshot(b"state").expect("taken");
    assert_eq!(scratch.files(), ["0000000001.blobs", "0000000002.log"]);
    scratch
}

#[test]
fn a_blob_that_was_damaged_is_an_error_and_nothing_else_is() {
    let scratch = with_older_file("blob");
    let file = scratch.file("0000000001.blobs");
    flip(&file, 1_000_000, 0);
    let mut opened = scratch.open();
    opened.store.append(&[put("other", b"bytes")]).expect("appended");
    let error = opened.store.blob("large").expect_err("damaged");
    assert!(
        matches!(&error, Error::Damaged { path, what, .. } if *path == file && what.contains("\"large\"")),
        "{error}"
    );
    assert_eq!(opened.store.blob("other").expect("read").as_deref(), Some(&b"bytes"[..]));
}

#[test]
fn a_file_that_is_missing_is_named() {
    let scratch = with_older_file("missing-blobs");
    let error = (std::fs::remove_file(scratch.file("0000000001.blobs")).expect("removed"), scratch.refused()).1;
    assert!(matches!(&error, Error::Missing { missing, .. } if missing.ends_with("0000000001.blobs")), "{error}");

    let scratch = with_older_file("missing-log");
    std::fs::remove_file(scratch.file("0000000002.log")).expect("removed");
    let error = scratch.refused();
    assert!(matches!(&error, Error::Missing { needed_by, .. } if needed_by.ends_with("0000000001.blobs")), "{error}");

    let scratch = with_older_file("short-blobs");
    cut(&scratch.file("0000000001.blobs"), 1000);
    assert!(matches!(scratch.refused(), Error::Damaged { offset: 1000, .. }));
}

/// A snapshot is three steps: the new file, its name, the older files. Death between any two loses nothing.
#[test]
fn a_snapshot_that_was_interrupted_is_taken_up() {
    let scratch = with_older_file("interrupted");
    std::fs::rename(scratch.file("0000000001.blobs"), scratch.file("0000000001.log")).expect("renamed");
    std::fs::write(scratch.file("0000000003.unfinished"), b"half a header").expect("written");
    let opened = scratch.open();
    assert_eq!(opened.snapshot.as_deref(), Some(&b"state"[..]));
    assert_eq!(opened.store.blob("large").expect("read").map(|bytes| bytes.len()), Some(5 << 20));
    assert_eq!(scratch.files(), ["0000000001.blobs", "0000000002.log"]);
}
