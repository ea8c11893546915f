//! Processes that are killed in the middle of their writes, and disks that are full.

use crate::scratch::{Scratch, discard, len, put, record, texts};
use iosdk_gcs_log::{Entry, Opened};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const DIR: &str = "IOSDK_LOG_TEST_CRASH";

fn child(test: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(DIR, dir).stdout(Stdio::null());
    command
}

/// As good as random, and the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// The last number that the log holds, after a look at everything before it.
fn last_number(opened: &Opened) -> u64 {
    let number = |text: &str| text.parse::<u64>().expect("a number");
    let mut last = opened.snapshot.as_deref().map_or(0, |state| number(std::str::from_utf8(state).expect("text")));
    let mut group_end = last;
    for text in texts(opened) {
        let (this, end) = text.split_once(" of ").expect("a record of a group");
        assert_eq!(number(this), last + 1, "a record is missing");
        last += 1;
        group_end = number(end);
    }
    assert_eq!(last, group_end, "a part of a group");
    last
}

/// Each group ends with a blob, which takes the place of the one ten groups before.
fn blob(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(200)
}

/// Appends groups of numbered records, and says the last number of each group once it is durable.
#[test]
fn victim() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let mut opened = iosdk_gcs_log::open(dir.as_ref()).expect("opens");
    let mut last = last_number(&opened);
    let mut dice = Dice(last + 1);
    loop {
        let end = last + 1 + dice.below(5);
        let mut group: Vec<Entry> = (last + 1..=end).map(|n| record(&format!("{n} of {end}"))).collect();
        group.push(put(&format!("blob {end}"), &blob(end)));
        group.push(discard(&format!("blob {last}")));
        opened.store.append(&group).expect("appended");
        eprintln!("{end}");
        last = end;
        if dice.below(8) == 0 {
            opened.store.snapshot(last.to_string().as_bytes()).expect("taken");
        }
    }
}

#[test]
fn what_was_said_to_be_kept_survives_kill_9() {
    let scratch = Scratch::new("killed");
    let mut dice = Dice(0x10_5dc);
    let mut said = 0;
    for round in 0..30 {
        let mut child = child("crash::victim", &scratch.dir).stderr(Stdio::piped()).spawn().expect("spawned");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        for _ in 0..1 + dice.below(20) {
            let line = lines.next().expect("it goes on until it is killed").expect("read");
            said = line.parse().unwrap_or_else(|_| panic!("round {round}: {line}"));
        }
        // Anywhere within the writes that follow, not always right behind a line.
        std::thread::sleep(Duration::from_micros(dice.below(8000)));
        child.kill().expect("killed");
        child.wait().expect("reaped");
        // What it said before it died counts too.
        for line in lines {
            said = line.expect("read").parse().expect("a number");
        }
        let opened = scratch.open();
        let last = last_number(&opened);
        assert!(last >= said, "round {round}: {said} was said to be kept, and {last} is the last");
        assert_eq!(opened.store.blob(&format!("blob {last}")).expect("read"), Some(blob(last)));
        assert!(opened.repairs.len() <= 1);
        assert!(scratch.files().len() <= 2, "{:?}", scratch.files());
    }
    assert!(said > 100, "the victims got nowhere");
}

/// No file of this process may grow beyond `len`: to the log that is a disk that is full.
fn limit(len: Option<u64>) {
    setrlimit(Resource::Fsize, Rlimit { current: len, maximum: None }).expect("the hard limit is off");
}

fn group(n: usize) -> Vec<Entry> {
    vec![record(&format!("first {n:3}")), put("blob", format!("{n:3}").as_bytes()), record(&format!("second {n:3}"))]
}

/// Lets the disk be full at every byte of a group, and then of a snapshot.
#[test]
fn sufferer() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let scratch = std::mem::ManuallyDrop::new(Scratch { dir: dir.into() });
    let mut store = scratch.open().store;
    let file = scratch.newest();
    let before = len(&file);
    store.append(&group(0)).expect("appended");
    let size = len(&file) - before;
    for n in 1..=size as usize {
        let before = len(&file);
        limit(Some(before + n as u64 - 1));
        store.append(&group(n)).expect_err("the disk is full");
        assert_eq!(len(&file), before, "what was written of it is gone");
        let blob = store.blob("blob").expect("read").expect("put");
        assert_eq!(blob, format!("{:3}", n - 1).as_bytes());
        store.append(&group(n)).expect_err("it still is");
        limit(None);
        store.append(&group(n)).expect("there is room again");
    }
    for room in 0..100 {
        limit(Some(room));
        store.snapshot(&[b's'; 50]).expect_err("the disk is full");
        assert_eq!(scratch.files(), ["0000000001.log"]);
    }
    limit(None);
    store.append(&[record("last")]).expect("appended");
    eprintln!("groups={size}");
    // The next one is never finished, and never given again.
    limit(Some(len(&file) + size - 1));
    store.append(&group(999)).expect_err("the disk is full");
}

#[test]
fn a_full_disk_is_an_error_that_passes() {
    let scratch = Scratch::new("full");
    let this = child("crash::sufferer", &scratch.dir);
    // Beyond the limit a write fails only where the signal that tells of it is ignored.
    let output = Command::new("sh")
        .args([OsString::from("-c"), "trap '' XFSZ; exec \"$0\" \"$@\"".into(), this.get_program().to_owned()])
        .args(this.get_args())
        .env(DIR, &scratch.dir)
        .output()
        .expect("ran");
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(output.status.success(), "{said}");
    let groups: usize = said.lines().find_map(|line| line.strip_prefix("groups=")).expect("said").parse().expect("n");
    let opened = scratch.open();
    let expected = (0..=groups).flat_map(|n| [format!("first {n:3}"), format!("second {n:3}")]);
    assert_eq!(texts(&opened), expected.chain(["last".to_owned()]).collect::<Vec<_>>());
    assert_eq!((opened.repairs.len(), opened.snapshot), (0, None));
    assert_eq!(opened.store.blob("blob").expect("read"), Some(format!("{groups:3}").into_bytes()));
}
