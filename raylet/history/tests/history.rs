//! What was appended comes back, newest first, page by page, under any filter; what was not, never does, whatever becomes of the files.

use iosdk_history::{Appender, Cursor, Filter, Limits, Losses, Page, Reader, TaskRow};
use iosdk_types::task_record::{NAME_SLOTS_MAX, NO_NAME, SLOT, write_name};
use iosdk_types::{ActorId, JobId, Outcome, TaskId, TaskKind, TaskRecord, Time};
use proptest::prelude::*;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const AHEAD: i64 = 1_700_000_000_000_000_000;
const SMALL: Limits = Limits { total: 1 << 30, segment: 4 << 10 };

fn record(number: u64) -> TaskRecord {
    let job = JobId::from_index(number as u32 % 3);
    let actor = (number % 2 == 1).then(|| ActorId::derive([(number % 5) as u8; 12], job));
    TaskRecord {
        task: TaskId::derive(number.to_be_bytes(), actor.unwrap_or(ActorId::none(job))),
        attempt: (number % 2) as u32,
        kind: if actor.is_some() { TaskKind::ActorCall } else { TaskKind::Task },
        outcome: Outcome::ALL[number as usize % Outcome::ALL.len()],
        job,
        name: number as u32 % 4,
        actor,
        worker: number as u32,
        pid: 1000 + number as i32,
        node: 0,
        owner: 0,
        submitted: Time(1_000 * number),
        started: (!number.is_multiple_of(3)).then_some(Time(1_000 * number + 100)),
        ended: Time(1_000 * number + 200),
    }
}

fn row(number: u64, owner: u32, name: Option<&str>) -> TaskRow {
    let record = record(number);
    let wall = |at: Time| at.0 + AHEAD as u64;
    TaskRow {
        task: record.task,
        attempt: record.attempt,
        kind: record.kind,
        outcome: record.outcome,
        job: record.job,
        name: name.map(str::to_owned),
        actor: record.actor,
        worker: record.worker,
        pid: record.pid,
        node: record.node,
        owner,
        submitted: wall(record.submitted),
        started: record.started.map(wall),
        ended: wall(record.ended),
    }
}

/// The history in a folder of its own, and the rows that it should have, oldest first.
struct History {
    scratch: TempDir,
    limits: Limits,
    appender: Appender,
    rows: Vec<TaskRow>,
    /// Which processes have told their names.
    told: Vec<u32>,
}

impl History {
    fn new(limits: Limits) -> Self {
        let scratch = TempDir::new().unwrap();
        let appender = Appender::open(&scratch.path().join("history"), limits).unwrap();
        Self { scratch, limits, appender, rows: Vec::new(), told: Vec::new() }
    }

    fn dir(&self) -> PathBuf {
        self.scratch.path().join("history")
    }

    fn reader(&self) -> Reader {
        Reader::new(&self.dir())
    }

    /// One batch of the process `owner`, whose function 0 is called `owner-0`.
    fn append(&mut self, owner: u32, records: u64) {
        let name = |number: u32| format!("{owner}-{number}");
        let mut slots = Vec::new();
        if !self.told.contains(&owner) {
            self.told.push(owner);
            for number in 0..4 {
                let mut bytes = [0; NAME_SLOTS_MAX * SLOT];
                let taken = write_name(number, &name(number), &mut bytes);
                slots.extend_from_slice(&bytes[..taken]);
            }
        }
        for _ in 0..records {
            let number = self.rows.len() as u64;
            slots.extend_from_slice(&record(number).to_bytes());
            self.rows.push(row(number, owner, Some(&name(number as u32 % 4))));
        }
        self.appender.append(owner, &slots, 0, AHEAD).unwrap();
    }

    /// As after a kill -9: nothing is said to the old one.
    fn restart(&mut self) {
        self.appender = Appender::open(&self.dir(), self.limits).unwrap();
        self.told.clear();
    }

    fn files(&self) -> Vec<PathBuf> {
        files(&self.dir())
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// All rows in pages of this size, and the last page.
fn all(reader: &mut Reader, filter: &Filter, limit: usize) -> (Vec<TaskRow>, Page) {
    let (mut rows, mut from) = (Vec::new(), None);
    loop {
        let page = reader.page(filter, from, limit).unwrap();
        assert!(page.rows.len() <= limit && page.scanned <= page.total);
        rows.extend_from_slice(&page.rows);
        from = page.next;
        if from.is_none() {
            return (rows, page);
        }
        assert_eq!(page.rows.len(), limit, "only a full page has a next one");
    }
}

#[test]
fn nothing_is_there_at_first() {
    let mut history = History::new(SMALL);
    let mut reader = Reader::new(&history.scratch.path().join("never made"));
    assert_eq!(reader.page(&Filter::default(), None, 10).unwrap(), Page::default());
    history.append(1, 0);
    history.rows.clear();
    assert!(history.reader().get(record(0).task).unwrap().is_empty());
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&history.dir()), 0o700);
    history.append(1, 1);
    assert_eq!(mode(&history.files()[0]), 0o600);
}

#[test]
fn an_attempt_is_found_by_its_task() {
    let mut history = History::new(SMALL);
    for _ in 0..20 {
        history.append(1, 17);
    }
    let mut reader = history.reader();
    for number in [0, 100, 339] {
        assert_eq!(reader.get(record(number).task).unwrap(), [history.rows[number as usize].clone()]);
    }
    assert!(reader.get(record(340).task).unwrap().is_empty());
}

#[test]
fn the_oldest_goes_when_the_space_is_used_up() {
    let limits = Limits { total: 64 << 10, segment: 8 << 10 };
    let mut history = History::new(limits);
    let mut reader = history.reader();
    for round in 0..200 {
        if round % 50 == 49 {
            history.restart();
        }
        history.append(round % 3, 10);
        let used: u64 = history.files().iter().map(|file| std::fs::metadata(file).unwrap().len()).sum();
        assert!(used <= limits.total, "{used} bytes");
        let (rows, page) = all(&mut reader, &Filter::default(), 1000);
        assert_eq!(page.total, rows.len() as u64);
        assert!(rows.iter().eq(history.rows.iter().rev().take(rows.len())));
    }
    let (rows, _) = all(&mut reader, &Filter::default(), 1000);
    assert!(rows.len() > 400, "{} rows", rows.len());
    // A cursor into what is gone: the pages are over.
    let page = reader.page(&Filter::default(), Some(Cursor { segment: 1, record: 5 }), 10).unwrap();
    assert!(page.rows.is_empty() && page.next.is_none());
}

#[test]
fn losses_are_counted() {
    let mut history = History::new(SMALL);
    history.append(1, 3);
    history.appender.append(1, &[], 4, AHEAD).unwrap();
    // A record, and a slot that says nothing.
    let mut slots = record(3).to_bytes().to_vec();
    slots.extend_from_slice(&[9; SLOT]);
    history.appender.append(2, &slots, 1, AHEAD).unwrap();
    let page = history.reader().page(&Filter::default(), None, 1).unwrap();
    assert_eq!(page.rows, [row(3, 2, None)], "process 2 has told no name");
    assert_eq!((page.total, page.losses), (4, Losses { records: 6, bytes: 0 }));
    let summary = history.reader().summary().unwrap();
    assert_eq!((summary.total, summary.losses), (4, page.losses));
}

/// A process cannot speak for another, and its numbers mean nothing in another's mouth.
#[test]
fn a_record_is_its_writers() {
    let mut history = History::new(SMALL);
    history.append(1, 1);
    let forged = TaskRecord { owner: 1, ..record(1) };
    history.appender.append(7, &forged.to_bytes(), 0, AHEAD).unwrap();
    history.appender.append(7, &TaskRecord { name: NO_NAME, ..record(2) }.to_bytes(), 0, AHEAD).unwrap();
    history.appender.forget(1);
    history.appender.append(1, &record(3).to_bytes(), 0, AHEAD).unwrap();
    let page = history.reader().page(&Filter::default(), None, 9).unwrap();
    let expected = [row(3, 1, None), row(2, 7, None), row(1, 7, None), row(0, 1, Some("1-0"))];
    assert_eq!(page.rows, expected);
}

#[test]
fn a_folder_that_cannot_be_written_costs_records_and_says_so() {
    let mut history = History::new(SMALL);
    history.append(1, 2);
    let hidden = history.scratch.path().join("hidden");
    std::fs::rename(history.dir(), &hidden).unwrap();
    // Enough for a new segment, which cannot be made.
    let slots: Vec<u8> = (0..100).flat_map(|number| record(number).to_bytes()).collect();
    let error = history.appender.append(1, &slots, 0, AHEAD).unwrap_err().to_string();
    assert!(error.contains("making") && error.contains("history"), "{error}");
    std::fs::rename(&hidden, history.dir()).unwrap();
    history.append(1, 1);
    let page = history.reader().page(&Filter::default(), None, 9).unwrap();
    assert_eq!(page.losses.records, 100);
    assert_eq!(page.rows, [history.rows[2].clone(), history.rows[1].clone(), history.rows[0].clone()]);
}

#[test]
fn the_summary_counts_by_name() {
    let mut history = History::new(SMALL);
    (0..10).for_each(|_| history.append(4, 21));
    let summary = history.reader().summary().unwrap();
    assert_eq!(summary.total, 210);
    for ((name, kind), found) in &summary.by_name {
        let theirs = || history.rows.iter().filter(|row| row.name.as_ref() == Some(name) && row.kind == *kind);
        for outcome in Outcome::ALL {
            assert_eq!(found.count(outcome), theirs().filter(|row| row.outcome == outcome).count() as u64);
        }
        let ran: Vec<u64> = theirs().filter_map(|row| Some(row.ended - row.started?)).collect();
        assert_eq!(found.max_ns(), ran.iter().copied().max().unwrap());
        assert_eq!(found.mean_ns(), ran.iter().sum::<u64>() / ran.len() as u64);
    }
    let counted: u64 =
        summary.by_name.values().flat_map(|found| Outcome::ALL.map(|outcome| found.count(outcome))).sum();
    assert_eq!(counted, 210);
}

#[test]
fn a_torn_tail_costs_the_last_batch_alone() {
    let mut history = History::new(Limits::default());
    (0..5).for_each(|_| history.append(1, 10));
    let file = history.files().remove(0);
    let len = std::fs::metadata(&file).unwrap().len();
    let tear = |len: u64| std::fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(len).unwrap();
    tear(len - 1);
    let (rows, page) = all(&mut history.reader(), &Filter::default(), 100);
    assert!(rows.iter().eq(history.rows[..40].iter().rev()));
    assert_eq!(page.losses, Losses::default(), "somebody may be writing there");
    history.restart();
    history.append(2, 1);
    let (rows, page) = all(&mut history.reader(), &Filter::default(), 100);
    assert_eq!((rows.len(), page.total), (41, 41));
    let batch = len - 1 - (len - 10 * SLOT as u64 - 36);
    assert_eq!(page.losses, Losses { records: 0, bytes: batch });
}

fn filter() -> impl Strategy<Value = Filter> {
    let outcomes = proptest::collection::vec(proptest::sample::select(&Outcome::ALL[..]), 0..3);
    let name = proptest::option::of((0u32..3, 0u32..5).prop_map(|(owner, name)| format!("{owner}-{name}")));
    let job = proptest::option::of((0u32..4).prop_map(JobId::from_index));
    let number = || proptest::option::of(0u64..300);
    let ended = proptest::option::of((0u64..300_000, 0u64..300_000));
    (outcomes, name, job, number(), number(), ended).prop_map(|(outcomes, name, job, actor, task, ended)| Filter {
        outcomes,
        name,
        job,
        actor: actor.and_then(|number| record(number).actor),
        task: task.map(|number| record(number).task),
        ended: ended.map(|(from, len)| AHEAD as u64 + from..AHEAD as u64 + from + len),
    })
}

fn matches(filter: &Filter, row: &TaskRow) -> bool {
    (filter.outcomes.is_empty() || filter.outcomes.contains(&row.outcome))
        && (filter.name.is_none() || filter.name == row.name)
        && filter.job.is_none_or(|job| job == row.job)
        && (filter.actor.is_none() || filter.actor == row.actor)
        && filter.task.is_none_or(|task| task == row.task)
        && filter.ended.as_ref().is_none_or(|range| range.contains(&row.ended))
}

/// Batches of up to 40 records of three processes, and restarts in between.
fn batches() -> impl Strategy<Value = Vec<(u32, u64)>> {
    proptest::collection::vec((0u32..4, 0u64..40), 1..20)
}

fn written(batches: &[(u32, u64)]) -> History {
    let mut history = History::new(SMALL);
    for &(owner, records) in batches {
        if owner == 3 { history.restart() } else { history.append(owner, records) }
    }
    history
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pages_are_the_rows_that_match(batches in batches(), filters in proptest::collection::vec(filter(), 3), limit in 1usize..50) {
        let history = written(&batches);
        // The second filter finds a reader that knows the segments.
        let mut reader = history.reader();
        for filter in filters.iter().chain([&Filter::default()]) {
            let (rows, last) = all(&mut reader, filter, limit);
            let expected: Vec<_> = history.rows.iter().rev().filter(|row| matches(filter, row)).cloned().collect();
            prop_assert_eq!(rows, expected);
            prop_assert_eq!((last.total, last.losses), (history.rows.len() as u64, Losses::default()));
        }
    }

    /// Pages go on where they were although records come in between.
    #[test]
    fn a_cursor_stays_right(batches in batches(), later in batches(), limit in 1usize..50) {
        let mut history = written(&batches);
        let mut reader = history.reader();
        let first = reader.page(&Filter::default(), None, limit).unwrap();
        let before = history.rows.len();
        for &(owner, records) in &later {
            history.append(owner, records);
        }
        let second = first.next.map(|next| reader.page(&Filter::default(), Some(next), limit).unwrap());
        let rows = first.rows.into_iter().chain(second.into_iter().flat_map(|page| page.rows));
        prop_assert!(rows.eq(history.rows[..before].iter().rev().take(2 * limit).cloned()));
    }

    /// Whatever is cut off or changed in the files: no panic, and no row that was not written, in another order, or under a name that
    /// is not its own. A cut alone costs the records of one place.
    #[test]
    fn damage_invents_nothing(
        batches in batches(),
        cut in proptest::option::of((any::<prop::sample::Index>(), any::<prop::sample::Index>())),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1u8..), 0..4),
        filter in filter(),
    ) {
        let history = written(&batches);
        let files = history.files();
        prop_assume!(!files.is_empty());
        let mut known = history.reader();
        known.page(&Filter::default(), None, 1).unwrap();
        for (file, at, bits) in &flips {
            let file = file.get(&files);
            let mut bytes = std::fs::read(file).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= bits;
            std::fs::write(file, bytes).unwrap();
        }
        if let Some((file, at)) = &cut {
            let file = file.get(&files);
            let bytes = std::fs::read(file).unwrap();
            std::fs::write(file, &bytes[..at.index(bytes.len() + 1)]).unwrap();
        }
        for mut reader in [history.reader(), known] {
            for filter in [&filter, &Filter::default()] {
                let (rows, _) = all(&mut reader, filter, 7);
                let mut expected = history.rows.iter().rev();
                for row in &rows {
                    let whole = expected.find(|whole| whole.task == row.task);
                    let whole = whole.expect("a row that nobody wrote, or out of order");
                    let unnamed = TaskRow { name: None, ..whole.clone() };
                    prop_assert!(row == whole || *row == unnamed && !flips.is_empty());
                }
            }
            let (rows, page) = all(&mut reader, &Filter::default(), 1000);
            // A reader that knew a file trusts that it only grows, as far as its count goes.
            prop_assert!(page.total >= rows.len() as u64);
            if flips.is_empty() {
                let there: Vec<bool> = history.rows.iter().map(|whole| rows.contains(whole)).collect();
                let missing = there.iter().filter(|there| !**there).count();
                let first = there.iter().position(|there| !there).unwrap_or(0);
                prop_assert!(there[first..first + missing].iter().all(|there| !there));
                prop_assert!(missing == 0 || cut.is_some());
            }
        }
    }
}
