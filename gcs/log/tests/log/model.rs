//! Any mix of appends, snapshots, cut tails and reopening, against a model that keeps everything in memory.

use crate::scratch::{Scratch, len};
use iosdk_gcs_log::{Entry, Opened};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs::OpenOptions;

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<Entry>),
    Snapshot(Vec<u8>),
    Reopen,
    /// The process dies in the middle of an append: this part of it, in thousandths, is on the disk.
    Torn(Vec<Entry>, u64),
}

#[derive(Clone, Default, Debug, PartialEq)]
struct Model {
    snapshot: Option<Vec<u8>>,
    records: Vec<Vec<u8>>,
    blobs: BTreeMap<String, Vec<u8>>,
}

impl Model {
    fn append(&mut self, entries: &[Entry]) {
        for entry in entries {
            match entry.clone() {
                Entry::Record(bytes) => self.records.push(bytes),
                Entry::PutBlob { key, bytes } => drop(self.blobs.insert(key, bytes)),
                Entry::DropBlob { key } => drop(self.blobs.remove(&key)),
            }
        }
    }

    fn check(&self, opened: &Opened) {
        assert_eq!(opened.snapshot, self.snapshot);
        assert_eq!(opened.records, self.records);
        self.check_blobs(opened);
    }

    fn check_blobs(&self, opened: &Opened) {
        for key in KEYS {
            assert_eq!(opened.store.blob(key).expect("read"), self.blobs.get(key).cloned(), "{key}");
        }
    }
}

const KEYS: [&str; 4] = ["", "a", "äö/ü", "a long key with a\nline in it"];

/// Small ones mostly; sometimes enough for a file to stay for its blobs.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        40 => proptest::collection::vec(any::<u8>(), 0..60),
        1 => any::<u8>().prop_map(|byte| vec![byte; 4 << 20]),
    ]
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let key = || proptest::sample::select(&KEYS[..]).prop_map(str::to_owned);
    let entry = prop_oneof![
        3 => proptest::collection::vec(any::<u8>(), 0..60).prop_map(Entry::Record),
        2 => (key(), bytes()).prop_map(|(key, bytes)| Entry::PutBlob { key, bytes }),
        1 => key().prop_map(|key| Entry::DropBlob { key }),
    ];
    proptest::collection::vec(entry, 0..5)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => entries().prop_map(Step::Append),
        1 => proptest::collection::vec(any::<u8>(), 0..60).prop_map(Step::Snapshot),
        2 => Just(Step::Reopen),
        1 => (entries(), 0..1000_u64).prop_map(|(entries, part)| Step::Torn(entries, part)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_remembers_what_the_model_does(steps in proptest::collection::vec(step(), 1..30)) {
        let scratch = Scratch::new("model");
        let mut model = Model::default();
        let mut opened = scratch.open();
        for step in steps {
            match step {
                Step::Append(entries) => {
                    opened.store.append(&entries).expect("appended");
                    model.append(&entries);
                    model.check_blobs(&opened);
                }
                Step::Snapshot(state) => {
                    opened.store.snapshot(&state).expect("taken");
                    model.records.clear();
                    model.snapshot = Some(state);
                    model.check_blobs(&opened);
                }
                Step::Reopen => {
                    drop(opened);
                    opened = scratch.open();
                    assert_eq!(opened.repairs, Vec::<String>::new());
                    model.check(&opened);
                }
                Step::Torn(entries, part) => {
                    let file = scratch.newest();
                    let whole = len(&file);
                    opened.store.append(&entries).expect("appended");
                    drop(opened);
                    let left = (len(&file) - whole) * part / 1000;
                    OpenOptions::new().write(true).open(&file).expect("a log").set_len(whole + left).expect("cut");
                    opened = scratch.open();
                    assert_eq!(opened.repairs.len(), usize::from(left > 0), "{:?}", opened.repairs);
                    model.check(&opened);
                }
            }
        }
        drop(opened);
        model.check(&scratch.open());
    }
}
