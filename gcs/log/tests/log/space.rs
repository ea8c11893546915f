//! What the log takes: bytes on the disk, memory, permissions; and that only one process has it.

use crate::scratch::{Scratch, discard, len, put, record};
use iosdk_gcs_log::{Entry, Error};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

#[test]
fn records_are_gone_after_a_snapshot() {
    let scratch = Scratch::new("records");
    let mut store = scratch.open().store;
    for round in 0..10 {
        store.append(&vec![record(&"x".repeat(1000)); 100]).expect("appended");
        assert!(scratch.bytes() < 120_000, "round {round}: {} bytes", scratch.bytes());
        store.snapshot(b"everything so far").expect("taken");
        assert_eq!(scratch.files().len(), 1);
        assert!(scratch.bytes() < 100);
    }
}

#[test]
fn the_space_of_dropped_blobs_comes_back() {
    const COUNT: u32 = 2000;
    let scratch = Scratch::new("dropped");
    let mut store = scratch.open().store;
    let bytes = |n: u32| vec![n as u8; 1024 * (1 + n as usize % 16)];
    let key = |n: u32| format!("blob {n}");
    let mut written: u64 = 0;
    for start in (0..COUNT).step_by(100) {
        let group: Vec<Entry> = (start..start + 100).map(|n| put(&key(n), &bytes(n))).collect();
        store.append(&group).expect("appended");
        written += (start..start + 100).map(|n| bytes(n).len() as u64).sum::<u64>();
        if start % 500 == 0 {
            store.snapshot(b"state").expect("taken");
        }
    }
    store.snapshot(b"state").expect("taken");
    assert!(scratch.bytes() < written + written / 10, "{} bytes for {written}", scratch.bytes());
    for keep in [4, 20, 200] {
        let gone: Vec<Entry> = (0..COUNT).filter(|n| n % keep != 0).map(|n| discard(&key(n))).collect();
        store.append(&gone).expect("appended");
        store.snapshot(b"state").expect("taken");
        let alive: u64 = (0..COUNT).filter(|n| n % keep == 0).map(|n| bytes(n).len() as u64).sum();
        assert!(scratch.bytes() < 2 * alive + 100_000, "{} bytes for {alive}", scratch.bytes());
        for n in 0..COUNT {
            assert_eq!(store.blob(&key(n)).expect("read"), (n % keep == 0).then(|| bytes(n)), "{n}");
        }
    }
    drop(store);
    let store = scratch.open().store;
    assert_eq!(store.blob(&key(200)).expect("read"), Some(bytes(200)));
}

/// More is alive than is worth a move for its own sake, but less than half of the file.
#[test]
fn a_file_that_is_mostly_dead_goes() {
    let scratch = Scratch::new("half");
    let mut store = scratch.open().store;
    let blobs: Vec<Entry> = (0..13).map(|n| put(&n.to_string(), &vec![n; 1 << 20])).collect();
    store.append(&blobs).expect("appended");
    store.snapshot(b"state").expect("taken");
    assert_eq!(scratch.files(), ["0000000001.blobs", "0000000002.log"]);
    store.append(&(5..13).map(|n| discard(&n.to_string())).collect::<Vec<_>>()).expect("appended");
    store.snapshot(b"state").expect("taken");
    assert_eq!(scratch.files(), ["0000000003.log"]);
    assert!(scratch.bytes() < (5 << 20) + 1000);
    assert_eq!(store.blob("4").expect("read"), Some(vec![4; 1 << 20]));
}

#[test]
fn a_group_that_is_too_large_is_refused_and_harms_nothing() {
    let scratch = Scratch::new("large");
    let mut store = scratch.open().store;
    // Zeros that nobody touches take no memory.
    let large: Vec<Entry> = (0..4).map(|_| Entry::Record(vec![0; 300 << 20])).collect();
    let error = store.append(&large).expect_err("over a GiB");
    assert!(matches!(error, Error::TooLarge { max, .. } if max == 1 << 30), "{error}");
    store.append(&[record("small")]).expect("appended");
    drop(store);
    assert_eq!(scratch.open().records, [b"small"]);
}

#[test]
fn everything_is_its_owners_alone() {
    let scratch = Scratch::new("modes");
    let mut store = scratch.open().store;
    store.append(&[put("large", &vec![7; 5 << 20])]).expect("appended");
    store.snapshot(b"state").expect("taken");
    for entry in std::fs::read_dir(&scratch.dir).expect("a folder") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", entry.path());
    }
}

const DIR: &str = "IOSDK_LOG_TEST_SPACE";

/// 64 MiB of blobs come, some go, and after a snapshot the others are found again.
#[test]
fn hoarder() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let mut store = iosdk_gcs_log::open(dir.as_ref()).expect("opens").store;
    for start in 0..64_u8 {
        let group: Vec<Entry> = (0..16).map(|n| put(&format!("{start} {n}"), &vec![start; 64 << 10])).collect();
        store.append(&group).expect("appended");
    }
    store.append(&(0..64).map(|start| discard(&format!("{start} 0"))).collect::<Vec<_>>()).expect("appended");
    store.snapshot(b"state").expect("taken");
    drop(store);
    let store = iosdk_gcs_log::open(dir.as_ref()).expect("opens").store;
    assert_eq!(store.blob("63 15").expect("read"), Some(vec![63; 64 << 10]));
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak").trim();
    eprintln!("peak={}", peak.trim_end_matches(" kB"));
}

#[test]
fn blobs_take_no_memory() {
    let scratch = Scratch::new("memory");
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "space::hoarder", "--nocapture", "--test-threads=1"])
        .env(DIR, &scratch.dir)
        .output()
        .expect("ran");
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(output.status.success(), "{said}");
    let peak: u64 = said.lines().find_map(|line| line.strip_prefix("peak=")).expect("said").parse().expect("kB");
    assert!(len(&scratch.file("0000000001.blobs")) > 60 << 20);
    assert!(peak < 24 << 10, "{peak} kB of memory for 64 MiB of blobs");
}

/// Has the log open until its standard input ends.
#[test]
fn holder() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let _store = iosdk_gcs_log::open(dir.as_ref()).expect("opens").store;
    eprintln!("open");
    std::io::stdin().lines().for_each(drop);
}

#[test]
fn a_second_process_is_refused_and_told_who_has_it() {
    use std::io::{BufRead, BufReader};
    let scratch = Scratch::new("held");
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "space::holder", "--nocapture", "--test-threads=1"])
        .env(DIR, &scratch.dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("spawned");
    let mut line = String::new();
    BufReader::new(child.stderr.take().expect("piped")).read_line(&mut line).expect("read");
    assert_eq!(line, "open\n");
    let error = scratch.refused();
    drop(child.stdin.take());
    assert!(child.wait().expect("reaped").success());
    assert!(matches!(&error, Error::Held { .. }), "{error}");
    assert!(error.to_string().contains(&format!("is in use by process {};", child.id())), "{error}");
    let held = scratch.open();
    let error = scratch.refused();
    assert!(error.to_string().contains(&format!("process {};", std::process::id())), "{error}");
    drop(held);
    scratch.open();
}
