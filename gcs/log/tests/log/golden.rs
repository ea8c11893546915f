//! Files that the first version wrote. They open for ever: a change that breaks one of these breaks the clusters out there.

use crate::scratch::{Scratch, texts};
use std::path::Path;

fn folder_of(name: &str, files: &[(&str, &str)]) -> Scratch {
    let scratch = Scratch::new(name);
    for (golden, file) in files {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(golden);
        std::fs::copy(from, scratch.file(file)).expect("a golden file");
    }
    scratch
}

#[test]
fn a_log_of_version_1_opens() {
    let scratch = folder_of("fresh", &[("fresh.log", "0000000001.log")]);
    let opened = scratch.open();
    assert_eq!((opened.snapshot.as_deref(), opened.repairs.len()), (None, 0));
    assert_eq!(texts(&opened), ["node 1 joined", "job 1 started", "", "job 1 ended"]);
    assert_eq!(opened.store.blob("function/1").expect("read").as_deref(), Some(&b"\x80\x05pickled"[..]));
    assert_eq!(opened.store.blob("gone").expect("read"), None);
}

#[test]
fn a_torn_log_of_version_1_is_mended() {
    let scratch = folder_of("torn", &[("torn.log", "0000000001.log")]);
    let opened = scratch.open();
    assert_eq!(texts(&opened), ["node 1 joined", "job 1 started"]);
    assert!(opened.repairs[0].contains("0000000001.log: dropped 40 bytes at offset 133: "), "{:?}", opened.repairs);
    assert_eq!(opened.store.blob("gone").expect("read").as_deref(), Some(&b"soon"[..]));
}

#[test]
fn a_snapshot_of_version_1_with_an_older_file_opens() {
    let files = [("snapshot.log", "0000000003.log"), ("snapshot.blobs", "0000000002.blobs")];
    let scratch = folder_of("snapshot", &files);
    let opened = scratch.open();
    assert_eq!((opened.snapshot.as_deref(), opened.repairs.len()), (Some(&b"the state"[..]), 0));
    assert_eq!(texts(&opened), ["node 2 joined"]);
    // One that stayed in the older file, one that was moved, one that came later.
    assert_eq!(opened.store.blob("stays").expect("read").as_deref(), Some(&[b's'; 300][..]));
    assert_eq!(opened.store.blob("moves").expect("read").as_deref(), Some(&b"moved bytes"[..]));
    assert_eq!(opened.store.blob("later").expect("read").as_deref(), Some(&b"later bytes"[..]));
    assert_eq!(scratch.files(), ["0000000002.blobs", "0000000003.log"]);
}
