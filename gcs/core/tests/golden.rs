//! The bytes of every record, as the first log had them: a log is read for ever. A new variant or field (with a default) gets
//! new lines; no line ever changes.

use iosdk_gcs_core::{Config, Gcs, Record};
use iosdk_types::{ActorId, Amount, Exit, JobCause, JobId, JobReport, ResourceSet, UsageObject, UsageRecord};
use std::collections::BTreeSet;

fn cpus(units: i64) -> ResourceSet {
    ResourceSet::new().with("CPU", Amount::units(units))
}

fn accepted(number: u64) -> Record {
    Record::JobAccepted {
        number,
        submission_id: format!("nightly-{number}"),
        user: "ann".into(),
        tenant: "default".into(),
        resources: cpus(2),
        digest: 0xfeed_f00d_dead_beef,
        at_ms: 1_700_000_000_000,
    }
}

fn ended(number: u64, exit: Exit, cause: JobCause) -> Record {
    let report = JobReport { cpu_ns: 9, log_bytes: 10, log_dropped: 11, ..JobReport::unseen(cause, 5, 6) };
    Record::JobEnded { number, report: JobReport { exit, ..report } }
}

fn usage(seq: u64, object: UsageObject, submission: Option<u64>) -> UsageRecord {
    UsageRecord {
        seq,
        object,
        job: JobId::from_index(3),
        submission,
        tenant: "default".into(),
        name: "train".into(),
        resources: cpus(1),
        start_ns: 1_000,
        end_ns: 3_000,
        open: submission.is_some(),
        used_cpu_ns: 1_500,
        cause: if submission.is_some() { "" } else { "returned" }.into(),
    }
}

/// A history in which each kind of record, cause and object occurs.
fn history() -> Vec<Record> {
    let node = |epoch, alive| Record::NodeIncarnation {
        node: 0,
        epoch,
        alive,
        hostname: "gpu-box".into(),
        resources: cpus(4),
    };
    let actor = ActorId::derive([1; 12], JobId::from_index(3));
    vec![
        node(1, true),
        accepted(1),
        Record::JobSent { number: 1, node: 0 },
        Record::JobStarted { number: 1, node: 0, started_ms: 1_700_000_000_100 },
        Record::DriverJob { index: 3, submission: Some(1) },
        Record::DriverJob { index: 4, submission: None },
        Record::UsageBooked {
            node: 0,
            epoch: 1,
            records: vec![
                usage(1, UsageObject::Lease(1 << 40), None),
                usage(2, UsageObject::Actor(actor), None),
                usage(3, UsageObject::Job(1), Some(1)),
            ],
        },
        Record::JobStopAsked { number: 1, by: "bob".into(), force: true, at_ms: 1_700_000_000_200 },
        ended(1, Exit::Signal(15), JobCause::Stopped),
        accepted(2),
        ended(2, Exit::Code(0), JobCause::Own),
        Record::JobDeleted { number: 2 },
        accepted(3),
        ended(3, Exit::Unknown, JobCause::SupervisorDied),
        accepted(4),
        ended(4, Exit::Unknown, JobCause::CannotStart("no such file".into())),
        accepted(5),
        ended(5, Exit::Unknown, JobCause::NodeLost),
        node(1, false),
        accepted(6),
    ]
}

fn variant(record: &Record) -> usize {
    match record {
        Record::JobAccepted { .. } => 0,
        Record::JobSent { .. } => 1,
        Record::JobStarted { .. } => 2,
        Record::JobStopAsked { .. } => 3,
        Record::JobEnded { .. } => 4,
        Record::JobDeleted { .. } => 5,
        Record::DriverJob { .. } => 6,
        Record::UsageBooked { .. } => 7,
        Record::NodeIncarnation { .. } => 8,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hex")).collect()
}

#[test]
fn what_is_written_down_does_not_change() {
    let pinned: Vec<&str> = include_str!("golden/records.hex").lines().collect();
    let history = history();
    let covered: BTreeSet<usize> = history.iter().map(variant).collect();
    assert_eq!(covered.len(), 9, "a variant has no golden bytes");
    for (at, record) in history.iter().enumerate() {
        let bytes = rmp_serde::to_vec_named(record).expect("records have bytes");
        assert_eq!(Some(hex(&bytes).as_str()), pinned.get(at).copied(), "{record:?}");
        assert!(bytes.len() < 1024, "{} bytes", bytes.len());
    }
    assert_eq!(history.len(), pinned.len());
}

#[test]
fn the_first_log_can_be_read() {
    let log: Vec<Record> = include_str!("golden/records.hex")
        .lines()
        .map(|line| rmp_serde::from_slice(&unhex(line)).expect("a record of the first log"))
        .collect();
    assert_eq!(log, history());
    let gcs = Gcs::recover(Config::default(), None, log);
    assert_eq!(gcs.check(), Ok(()));
    // And the snapshot of then is where its records lead now.
    let pinned = unhex(include_str!("golden/snapshot.hex").trim());
    let snapshot = rmp_serde::from_slice(&pinned).expect("the first snapshot");
    assert_eq!(Gcs::recover(Config::default(), Some(snapshot), Vec::new()).snapshot(), gcs.snapshot());
}
