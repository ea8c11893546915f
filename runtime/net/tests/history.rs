//! The history ring in one process: what goes in comes out, what does not fit is counted, and nobody is called for nothing.

use iosdk_net::{HistoryReader, HistoryWriter, history, mailbox};
use iosdk_types::task_record::{Entries, Entry, NO_NAME, SLOT};
use iosdk_types::{ActorId, JobId, Outcome, TaskId, TaskKind, TaskRecord, Time};
use proptest::prelude::*;
use std::os::fd::{AsFd, OwnedFd};

fn record(number: u64, name: u32) -> TaskRecord {
    let job = JobId::from_index(1);
    TaskRecord {
        task: TaskId::derive(number.to_le_bytes(), ActorId::none(job)),
        attempt: 1,
        kind: TaskKind::Task,
        outcome: Outcome::Raised,
        job,
        name,
        actor: None,
        worker: 3,
        pid: 33,
        node: 0,
        owner: 2,
        submitted: Time(number),
        started: None,
        ended: Time(number),
    }
}

struct Pair {
    fd: OwnedFd,
    bell: OwnedFd,
    writer: HistoryWriter,
    reader: HistoryReader,
}

fn pair() -> Pair {
    let (fd, bell) = (history::create().unwrap(), history::bell().unwrap());
    let writer = HistoryWriter::map(fd.as_fd(), bell.try_clone().unwrap()).unwrap();
    let reader = HistoryReader::map(fd.as_fd()).unwrap();
    Pair { fd, bell, writer, reader }
}

impl Pair {
    fn write(&mut self, number: u64) -> bool {
        self.writer.write(&record(number, NO_NAME), || -> &str { panic!("a record without a name") })
    }

    fn drain(&mut self) -> (Vec<TaskRecord>, u64) {
        let mut slots = Vec::new();
        let lost = self.reader.drain(&mut slots).unwrap();
        let tasks = Entries::new(&slots).filter_map(|entry| match entry {
            Entry::Task(record) => Some(record),
            Entry::Name { .. } => None,
            Entry::Malformed => panic!("nobody wrote that"),
        });
        (tasks.collect(), lost)
    }

    /// True if the bell was rung since the last look.
    fn rung(&self) -> bool {
        match rustix::io::read(&self.bell, &mut [0; 8]) {
            Ok(_) => true,
            Err(rustix::io::Errno::AGAIN) => false,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_name_is_told_once() {
    let mut pair = pair();
    for number in 0..4 {
        let mut asked = false;
        assert!(pair.writer.write(&record(number, 70 + (number % 2) as u32), || {
            asked = true;
            "f"
        }));
        assert_eq!(asked, number < 2);
    }
    let mut slots = Vec::new();
    pair.reader.drain(&mut slots).unwrap();
    let entries: Vec<Entry> = Entries::new(&slots).collect();
    assert_eq!(entries.len(), 6);
    assert_eq!(entries[0], Entry::Name { number: 70, text: "f" });
    assert_eq!(entries[1], Entry::Task(record(0, 70)));
    assert_eq!(entries[2], Entry::Name { number: 71, text: "f" });
}

#[test]
fn a_full_ring_loses_what_comes_and_counts_it() {
    let mut pair = pair();
    let fit = (0..).take_while(|number| pair.write(*number)).count();
    assert_eq!(fit, history::SLOTS);
    assert!(!pair.write(0));
    // The name goes with its record: neither is there.
    assert!(!pair.writer.write(&record(0, 1), || "lost"));
    assert_eq!(pair.writer.lost(), 3);
    let (tasks, lost) = pair.drain();
    assert_eq!((tasks.len(), lost), (fit, 3));
    assert!(tasks.iter().enumerate().all(|(at, task)| *task == record(at as u64, NO_NAME)));
    let mut told = false;
    assert!(pair.writer.write(&record(0, 1), || {
        told = true;
        "f"
    }));
    assert!(told);
    assert_eq!(pair.drain(), (vec![record(0, 1)], 0));
}

#[test]
fn only_a_reader_that_rests_is_called() {
    let mut pair = pair();
    assert!(pair.write(0));
    assert!(!pair.rung());
    assert!(!pair.reader.sleep(), "something is there");
    pair.drain();
    assert!(pair.reader.sleep());
    assert!(pair.write(1) && pair.rung());
    assert!(pair.write(2) && !pair.rung());
    pair.drain();
    assert!(pair.reader.nap());
    for number in 1..history::SLOTS as u64 / 2 {
        assert!(pair.write(number) && !pair.rung());
    }
    assert!(pair.write(0) && pair.rung());
    assert!(!pair.reader.nap(), "the ring is half full");
    pair.drain();
    assert!(pair.reader.nap() && pair.write(0) && !pair.rung());
}

#[test]
fn memory_of_another_kind_is_refused() {
    let other = mailbox::create(1).unwrap();
    let error = HistoryReader::map(other.as_fd()).err().unwrap().to_string();
    assert!(error.contains("another version"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Any rhythm of writing and reading, over the end of the ring many times.
    #[test]
    fn what_goes_in_comes_out(bursts in proptest::collection::vec(0u64..history::SLOTS as u64, 1..8)) {
        let mut pair = pair();
        let mut next = 0;
        for burst in bursts {
            for number in next..next + burst {
                prop_assert!(pair.write(number));
            }
            let (tasks, lost) = pair.drain();
            prop_assert_eq!((tasks.len() as u64, lost), (burst, 0));
            prop_assert!(tasks.iter().zip(next..).all(|(task, number)| task.submitted == Time(number)));
            next += burst;
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// A writer that writes anything anywhere: slots or poison, never a panic, and never more than a ring holds.
    #[test]
    fn a_hostile_writer_harms_nobody(writes in proptest::collection::vec((0u64..40, any::<u64>(), 0u64..3), 1..40)) {
        let mut pair = pair();
        let mut slots = Vec::new();
        for (at, word, kind) in writes {
            let (place, word) = match kind {
                0 => (4096 + at * 8, word),
                1 => ([0, 8, 128, 256][at as usize % 4], word),
                _ => (0, word % (2 * history::SLOTS as u64)),
            };
            rustix::io::pwrite(&pair.fd, &word.to_le_bytes(), place).unwrap();
            slots.clear();
            let drained = pair.reader.drain(&mut slots);
            prop_assert!(slots.len() <= history::SLOTS * SLOT);
            prop_assert!(Entries::new(&slots).count() <= history::SLOTS);
            let _may_rest = pair.reader.sleep();
            if drained.is_err() {
                prop_assert!(pair.reader.drain(&mut slots).is_err() && pair.reader.sleep());
            }
        }
        let _may_be_full = pair.write(1);
    }
}
