//! What a history of a million tasks costs to write and to read. Run with `cargo bench -p iosdk-history`.

use iosdk_history::{Appender, Filter, Limits, Reader};
use iosdk_types::task_record::{NAME_SLOTS_MAX, SLOT, write_name};
use iosdk_types::{ActorId, JobId, Outcome, TaskId, TaskKind, TaskRecord, Time};
use std::hint::black_box;
use std::time::{Duration, Instant};

const RECORDS: u64 = 1_000_000;
/// What a raylet drains at a time when 250,000 tasks end each second.
const BATCH: u64 = 5_000;
const NAMES: u32 = 100;

fn record(number: u64) -> TaskRecord {
    let job = JobId::from_index(number as u32 % 8);
    let actor = number.is_multiple_of(4).then(|| ActorId::derive([(number % 50) as u8; 12], job));
    TaskRecord {
        task: TaskId::derive(number.to_be_bytes(), actor.unwrap_or(ActorId::none(job))),
        attempt: 0,
        kind: if actor.is_some() { TaskKind::ActorCall } else { TaskKind::Task },
        outcome: if number.is_multiple_of(1000) { Outcome::Raised } else { Outcome::Finished },
        job,
        name: number as u32 % NAMES,
        actor,
        worker: number as u32 % 16,
        pid: 4000,
        node: 0,
        owner: 0,
        submitted: Time(number * 4_000),
        started: Some(Time(number * 4_000 + 100)),
        ended: Time(number * 4_000 + 200),
    }
}

fn names() -> Vec<u8> {
    let mut slots = Vec::new();
    for number in 0..NAMES {
        let mut bytes = [0; NAME_SLOTS_MAX * SLOT];
        let taken = write_name(number, &format!("module.function_{number}"), &mut bytes);
        slots.extend_from_slice(&bytes[..taken]);
    }
    slots
}

/// User and system time of this process.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/schedstat").expect("Linux says how long a process ran");
    Duration::from_nanos(stat.split(' ').next().and_then(|ran| ran.parse().ok()).expect("nanoseconds"))
}

fn main() {
    let scratch = tempfile::TempDir::new().expect("a folder");
    let mut appender = Appender::open(scratch.path(), Limits::default()).expect("a history");
    appender.append(1, &names(), 0, 0).expect("space");
    let mut wrote = Duration::ZERO;
    for first in (0..RECORDS).step_by(BATCH as usize) {
        let slots: Vec<u8> = (first..first + BATCH).flat_map(|number| record(number).to_bytes()).collect();
        let before = cpu();
        appender.append(1, &slots, 0, 0).expect("space");
        wrote += cpu() - before;
    }
    let each = wrote.as_nanos() as f64 / RECORDS as f64;
    println!("{each:.0} ns of CPU a record: {:.2} % of a core at 250,000 a second", each * 250_000.0 / 1e7);
    let middle = record(RECORDS / 2);
    let filters = [
        ("no filter", Filter::default()),
        ("an outcome", Filter { outcomes: vec![Outcome::Raised], ..Filter::default() }),
        ("an outcome nobody had", Filter { outcomes: vec![Outcome::Infeasible], ..Filter::default() }),
        ("a name", Filter { name: Some("module.function_7".to_owned()), ..Filter::default() }),
        ("a name nobody has", Filter { name: Some("nobody".to_owned()), ..Filter::default() }),
        ("a job nobody had", Filter { job: Some(JobId::from_index(99)), ..Filter::default() }),
        (
            "an actor nobody had",
            Filter { actor: Some(ActorId::derive([99; 12], JobId::from_index(1))), ..Filter::default() },
        ),
        ("a task", Filter { task: Some(middle.task), ..Filter::default() }),
        ("the oldest", Filter { ended: Some(0..1_000_000), ..Filter::default() }),
    ];
    for (what, filter) in filters {
        let mut reader = Reader::new(scratch.path());
        for which in ["first", "second"] {
            let start = Instant::now();
            let page = black_box(reader.page(&filter, None, 100).expect("a page"));
            let took = start.elapsed();
            assert_eq!(page.total, RECORDS);
            println!("{took:>10.2?} {which} page: {what}, {} rows of {} looked at", page.rows.len(), page.scanned);
        }
    }
    let mut reader = Reader::new(scratch.path());
    let start = Instant::now();
    assert_eq!(reader.get(record(0).task).expect("an answer").len(), 1);
    println!("{:>10.2?} get", start.elapsed());
    let start = Instant::now();
    let summary = black_box(reader.summary().expect("a summary"));
    println!("{:>10.2?} summary of {} names", start.elapsed(), summary.by_name.len());
}
