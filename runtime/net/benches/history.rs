//! What a record costs its owner and its reader. Run with `cargo bench -p iosdk-net --bench history`.
//! Built with the failpoints, as every target of this package's tests is: they add about a nanosecond per record.

use iosdk_net::{HistoryReader, HistoryWriter, history};
use iosdk_types::{ActorId, JobId, Outcome, TaskId, TaskKind, TaskRecord, Time};
use std::hint::black_box;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

fn main() {
    let (fd, bell) = (history::create().expect("a ring"), history::bell().expect("a bell"));
    let mut writer = HistoryWriter::map(fd.as_fd(), bell).expect("the writer's end");
    let mut reader = HistoryReader::map(fd.as_fd()).expect("the reader's end");
    let job = JobId::from_index(1);
    let mut record = TaskRecord {
        task: TaskId::derive([0; 8], ActorId::none(job)),
        attempt: 0,
        kind: TaskKind::Task,
        outcome: Outcome::Finished,
        job,
        name: 0,
        actor: None,
        worker: 3,
        pid: 33,
        node: 0,
        owner: 2,
        submitted: Time(1),
        started: Some(Time(2)),
        ended: Time(3),
    };
    // Some slots are left for the name.
    let burst = history::SLOTS as u64 - 8;
    let mut slots = Vec::new();
    let (mut best_write, mut best_read) = (Duration::MAX, Duration::MAX);
    for _ in 0..50 {
        let start = Instant::now();
        for number in 0..burst {
            record.task = TaskId::derive(number.to_le_bytes(), ActorId::none(job));
            record.ended = Time(number);
            black_box(writer.write(black_box(&record), || "f"));
        }
        best_write = best_write.min(start.elapsed());
        slots.clear();
        let start = Instant::now();
        black_box(reader.drain(&mut slots).expect("nothing is wrong"));
        best_read = best_read.min(start.elapsed());
        assert!(reader.nap());
    }
    assert_eq!(writer.lost(), 0);
    let each = |time: Duration| time.as_nanos() as f64 / burst as f64;
    println!("{:.1} ns to write a record, {:.1} ns to copy it out", each(best_write), each(best_read));
}
