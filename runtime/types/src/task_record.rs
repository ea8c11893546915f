//! The record of one attempt of a task or actor call that ended, and of the names such records use: what an owner writes
//! into its history ring, in slots of `SLOT` bytes, and what the history keeps. Plain bytes, little-endian.
//!
//! | bytes | a task's slot | bytes | a name's first slot |
//! | --- | --- | --- | --- |
//! | 0 | 1 | 0 | 2 |
//! | 1 | kind | 1 | length of the text |
//! | 2 | outcome | 2 | 0, 0 |
//! | 3 | 0 | 4 | number |
//! | 4 | attempt | 8 | text, on through as many slots as it takes; zeros after it |
//! | 8 | task id | | |
//! | 32 | actor id, all ones for none | | |
//! | 48 | job, name, worker, pid, node, owner | | |
//! | 72 | submitted, started (0: never), ended | | |
//!
//! Times are nanoseconds of the node's monotonic clock, which all its processes share. Whoever reads them elsewhere or later
//! needs what the wall clock was ahead of it when they were collected: the history keeps that beside each batch.

use crate::{ActorId, JobId, TaskId, Time};
use serde::{Deserialize, Serialize};

/// One record, or a part of a name.
pub const SLOT: usize = 96;
/// The longest name, in bytes; longer ones lose their end.
pub const NAME_MAX: usize = 200;
/// The slots of the longest name.
pub const NAME_SLOTS_MAX: usize = (NAME_TEXT + NAME_MAX).div_ceil(SLOT);
/// The number of a name that nobody knows.
pub const NO_NAME: u32 = u32::MAX;

const TASK: u8 = 1;
const NAME: u8 = 2;
const NAME_TEXT: usize = 8;

/// Where the fields that a search looks at are in a task's slot.
pub mod field {
    use std::ops::Range;

    pub const OUTCOME: usize = 2;
    pub const TASK_ID: Range<usize> = 8..32;
    pub const ACTOR: Range<usize> = 32..48;
    pub const JOB: Range<usize> = 48..52;
    pub const NAME: Range<usize> = 52..56;
    pub const STARTED: Range<usize> = 80..88;
    pub const ENDED: Range<usize> = 88..96;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum TaskKind {
    Task = 0,
    ActorCreation = 1,
    ActorCall = 2,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Outcome {
    Finished = 0,
    /// The user's code raised.
    Raised = 1,
    /// The process that ran it died.
    WorkerDied = 2,
    ActorDied = 3,
    Cancelled = 4,
    /// A task whose value it needed failed.
    DependencyFailed = 5,
    /// No node can ever run it.
    Infeasible = 6,
}

impl TaskKind {
    pub const ALL: [Self; 3] = [Self::Task, Self::ActorCreation, Self::ActorCall];

    /// In Ray's words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Task => "NORMAL_TASK",
            Self::ActorCreation => "ACTOR_CREATION_TASK",
            Self::ActorCall => "ACTOR_TASK",
        }
    }
}

impl Outcome {
    pub const ALL: [Self; 7] = [
        Self::Finished,
        Self::Raised,
        Self::WorkerDied,
        Self::ActorDied,
        Self::Cancelled,
        Self::DependencyFailed,
        Self::Infeasible,
    ];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskRecord {
    pub task: TaskId,
    pub attempt: u32,
    pub kind: TaskKind,
    pub outcome: Outcome,
    pub job: JobId,
    /// A name announced before by the same writer, or `NO_NAME`.
    pub name: u32,
    /// The actor that was called or created.
    pub actor: Option<ActorId>,
    /// The process that had the attempt, by its number on its node; `u32::MAX` when none had.
    pub worker: u32,
    /// 0 when none had it.
    pub pid: i32,
    pub node: u32,
    /// The process that owns the task. Whoever collects records fills it in: a writer cannot speak for another.
    pub owner: u32,
    pub submitted: Time,
    /// `None`: it never started.
    pub started: Option<Time>,
    pub ended: Time,
}

impl TaskRecord {
    #[inline]
    pub fn to_bytes(&self) -> [u8; SLOT] {
        let mut bytes = [0; SLOT];
        bytes[0] = TASK;
        bytes[1] = self.kind as u8;
        bytes[2] = self.outcome as u8;
        bytes[4..8].copy_from_slice(&self.attempt.to_le_bytes());
        bytes[field::TASK_ID].copy_from_slice(&self.task.0);
        bytes[field::ACTOR].copy_from_slice(&self.actor.unwrap_or(ActorId::NIL).0);
        bytes[field::JOB].copy_from_slice(&self.job.0);
        bytes[field::NAME].copy_from_slice(&self.name.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.worker.to_le_bytes());
        bytes[60..64].copy_from_slice(&self.pid.to_le_bytes());
        bytes[64..68].copy_from_slice(&self.node.to_le_bytes());
        bytes[68..72].copy_from_slice(&self.owner.to_le_bytes());
        bytes[72..80].copy_from_slice(&self.submitted.0.to_le_bytes());
        bytes[field::STARTED].copy_from_slice(&self.started.map_or(0, |at| at.0).to_le_bytes());
        bytes[field::ENDED].copy_from_slice(&self.ended.0.to_le_bytes());
        bytes
    }

    /// `None`: not a task's slot that anybody of ours wrote.
    #[inline]
    pub fn from_bytes(bytes: &[u8; SLOT]) -> Option<Self> {
        if bytes[0] != TASK || bytes[3] != 0 {
            return None;
        }
        let actor = ActorId(chunk(bytes, field::ACTOR.start));
        let started = u64::from_le_bytes(chunk(bytes, field::STARTED.start));
        Some(Self {
            task: TaskId(chunk(bytes, field::TASK_ID.start)),
            attempt: word(bytes, 4),
            kind: *TaskKind::ALL.get(usize::from(bytes[1]))?,
            outcome: *Outcome::ALL.get(usize::from(bytes[2]))?,
            job: JobId(chunk(bytes, field::JOB.start)),
            name: word(bytes, field::NAME.start),
            actor: (!actor.is_nil()).then_some(actor),
            worker: word(bytes, 56),
            pid: i32::from_le_bytes(chunk(bytes, 60)),
            node: word(bytes, 64),
            owner: word(bytes, 68),
            submitted: Time(u64::from_le_bytes(chunk(bytes, 72))),
            started: (started != 0).then_some(Time(started)),
            ended: Time(u64::from_le_bytes(chunk(bytes, field::ENDED.start))),
        })
    }
}

#[inline]
fn chunk<const N: usize>(bytes: &[u8; SLOT], at: usize) -> [u8; N] {
    let mut chunk = [0; N];
    chunk.copy_from_slice(&bytes[at..at + N]);
    chunk
}

#[inline]
fn word(bytes: &[u8; SLOT], at: usize) -> u32 {
    u32::from_le_bytes(chunk(bytes, at))
}

/// Writes the slots that announce a name into `out`, and says how many bytes they take. A text that is too long is cut between two
/// characters.
pub fn write_name(number: u32, text: &str, out: &mut [u8; NAME_SLOTS_MAX * SLOT]) -> usize {
    let text = &text[..text.floor_char_boundary(NAME_MAX)];
    out.fill(0);
    out[0] = NAME;
    out[1] = text.len() as u8;
    out[4..8].copy_from_slice(&number.to_le_bytes());
    out[NAME_TEXT..NAME_TEXT + text.len()].copy_from_slice(text.as_bytes());
    (NAME_TEXT + text.len()).next_multiple_of(SLOT)
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // Read one at a time, on the stack.
pub enum Entry<'a> {
    Task(TaskRecord),
    Name {
        number: u32,
        text: &'a str,
    },
    /// A slot that says nothing; what follows may be good.
    Malformed,
}

/// What slots say, one entry after the other. Believes nothing: any bytes give some entries, and an end.
pub struct Entries<'a> {
    rest: &'a [u8],
}

impl<'a> Entries<'a> {
    /// A part of a slot at the end is ignored.
    pub fn new(slots: &'a [u8]) -> Self {
        Self { rest: slots }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        let first = self.rest.first_chunk::<SLOT>()?;
        let (entry, taken) = match first[0] {
            TASK => (TaskRecord::from_bytes(first).map(Entry::Task), SLOT),
            NAME => {
                let end = NAME_TEXT + usize::from(first[1]);
                let text = self.rest.get(NAME_TEXT..end).filter(|text| text.len() <= NAME_MAX);
                let text = text.and_then(|text| std::str::from_utf8(text).ok());
                (text.map(|text| Entry::Name { number: word(first, 4), text }), end.next_multiple_of(SLOT))
            }
            _ => (None, SLOT),
        };
        let whole = entry.is_some() && taken <= self.rest.len();
        let (entry, taken) = entry.filter(|_| whole).map_or((Entry::Malformed, SLOT), |entry| (entry, taken));
        self.rest = &self.rest[taken..];
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> TaskRecord {
        let actor = ActorId::derive([3; 12], JobId::from_index(7));
        TaskRecord {
            task: TaskId::derive([9; 8], actor),
            attempt: 2,
            kind: TaskKind::ActorCall,
            outcome: Outcome::Cancelled,
            job: JobId::from_index(7),
            name: 11,
            actor: Some(actor),
            worker: 5,
            pid: 4321,
            node: 1,
            owner: 6,
            submitted: Time(100),
            started: Some(Time(200)),
            ended: Time(300),
        }
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        let plain = TaskRecord { actor: None, started: None, kind: TaskKind::Task, ..record() };
        for record in [record(), plain] {
            assert_eq!(TaskRecord::from_bytes(&record.to_bytes()), Some(record));
        }
        for outcome in Outcome::ALL {
            assert_eq!(
                TaskRecord::from_bytes(&TaskRecord { outcome, ..record() }.to_bytes()).unwrap().outcome,
                outcome
            );
        }
        for kind in TaskKind::ALL {
            assert_eq!(TaskRecord::from_bytes(&TaskRecord { kind, ..record() }.to_bytes()).unwrap().kind, kind);
        }
    }

    /// Segments on a disk outlive the program that wrote them: where a field is may not change.
    #[test]
    fn the_bytes_are_these() {
        let bytes = record().to_bytes();
        assert_eq!(bytes[..8], [1, 2, 4, 0, 2, 0, 0, 0]);
        assert_eq!(bytes[8..16], [9; 8]);
        assert_eq!(bytes[16..28], [3; 12]);
        assert_eq!(bytes[32..44], [3; 12]);
        assert_eq!(bytes[48..56], [0, 0, 0, 7, 11, 0, 0, 0]);
        assert_eq!(bytes[56..72], [5, 0, 0, 0, 0xe1, 0x10, 0, 0, 1, 0, 0, 0, 6, 0, 0, 0]);
        assert_eq!((bytes[72], bytes[80], bytes[88]), (100, 200, 44));
        for (at, value) in [(0, 9), (1, 3), (2, 7), (3, 1)] {
            let mut wrong = bytes;
            wrong[at] = value;
            assert_eq!(TaskRecord::from_bytes(&wrong), None, "byte {at}");
        }
    }

    #[test]
    fn names_are_read_between_records() {
        let mut slots = [0; NAME_SLOTS_MAX * SLOT];
        let mut bytes = Vec::new();
        let long = "ä".repeat(150);
        let names = ["", "f", "x".repeat(88).as_str(), "y".repeat(89).as_str(), long.as_str()].map(str::to_owned);
        for (number, text) in (0..).zip(&names) {
            let taken = write_name(number, text, &mut slots);
            bytes.extend_from_slice(&slots[..taken]);
            bytes.extend_from_slice(&record().to_bytes());
        }
        let mut entries = Entries::new(&bytes);
        for (number, text) in (0..).zip(&names) {
            let text = &text[..text.len().min(NAME_MAX)];
            assert_eq!(entries.next(), Some(Entry::Name { number, text }));
            assert_eq!(entries.next(), Some(Entry::Task(record())));
        }
        assert_eq!(entries.next(), None);
    }

    #[test]
    fn what_nobody_wrote_is_passed_over() {
        let mut name = [0; NAME_SLOTS_MAX * SLOT];
        assert_eq!(write_name(1, &"n".repeat(NAME_MAX), &mut name), name.len());
        let mut bytes = vec![7; SLOT];
        bytes.extend_from_slice(&record().to_bytes());
        bytes.extend_from_slice(&name[..SLOT]);
        let entries: Vec<Entry> = Entries::new(&bytes).collect();
        assert_eq!(entries, [Entry::Malformed, Entry::Task(record()), Entry::Malformed]);
        name[NAME_TEXT] = 0xff;
        assert_eq!(Entries::new(&name).next(), Some(Entry::Malformed));
        name[1] = 255;
        assert_eq!(Entries::new(&name).next(), Some(Entry::Malformed));
    }
}
