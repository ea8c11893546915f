//! The reading end: pages of rows, newest first. Every call reads the files anew; what is remembered of segments that do not grow any
//! more is how many records they have, and from when.

use crate::filter::Matcher;
use crate::segment::{Facts, Segment};
use crate::summary::Tally;
use crate::{Error, Filter, Summary, folder};
use iosdk_types::{ActorId, JobId, Outcome, TaskId, TaskKind, TaskRecord, Time};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One attempt that ended. Times are nanoseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRow {
    pub task: TaskId,
    pub attempt: u32,
    pub kind: TaskKind,
    pub outcome: Outcome,
    pub job: JobId,
    /// `None`: it was lost.
    pub name: Option<String>,
    pub actor: Option<ActorId>,
    pub worker: u32,
    pub pid: i32,
    pub node: u32,
    pub owner: u32,
    pub submitted: u64,
    pub started: Option<u64>,
    pub ended: u64,
}

/// Where the next page begins: before this record of this segment. It stays right while records are added; what it points
/// at may have gone meanwhile, then the pages are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub segment: u64,
    pub record: u64,
}

/// What should be in the history, and is not. What was dropped for its age is not lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Found no room in a ring or could not be written.
    pub records: u64,
    /// Of files, that are not what was written. The newest file's are not counted: somebody may be writing there.
    pub bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In the order they came in, the last one first.
    pub rows: Vec<TaskRow>,
    /// `None`: there is nothing older.
    pub next: Option<Cursor>,
    /// Records that were looked at for this page.
    pub scanned: u64,
    /// Records in the history.
    pub total: u64,
    pub losses: Losses,
}

pub struct Reader {
    dir: PathBuf,
    known: BTreeMap<u64, Facts>,
}

impl Reader {
    /// The folder need not be there yet.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), known: BTreeMap::new() }
    }

    /// Up to `limit` rows from `from` (the newest) on; with a limit of 0 the counts alone.
    pub fn page(&mut self, filter: &Filter, from: Option<Cursor>, limit: usize) -> Result<Page, Error> {
        let mut page = Page::default();
        let files = self.files()?;
        for (&number, &len) in files.iter().rev() {
            let before = match from {
                Some(from) if number > from.segment => None,
                Some(from) if number == from.segment => Some(from.record),
                _ => Some(u64::MAX),
            };
            let wanted = before.filter(|_| page.rows.len() < limit && self.may_match(number, len, filter));
            if wanted.is_none() && self.known(number, len).is_some() {
                continue;
            }
            let Some(segment) = self.read(number)? else { continue };
            if let Some(before) = wanted {
                scan(&segment, filter, before, limit, &mut page, |record| {
                    let older = record > 0 || files.range(..number).next().is_some();
                    older.then_some(Cursor { segment: number, record })
                });
            }
        }
        self.count(&files, &mut page);
        Ok(page)
    }

    /// All attempts of this task that ended, the last one first.
    pub fn get(&mut self, task: TaskId) -> Result<Vec<TaskRow>, Error> {
        let filter = Filter { task: Some(task), ..Filter::default() };
        Ok(self.page(&filter, None, usize::MAX)?.rows)
    }

    /// What is in the history, by name and kind.
    pub fn summary(&mut self) -> Result<Summary, Error> {
        let mut summary = Summary::default();
        let files = self.files()?;
        for &number in files.keys() {
            let Some(segment) = self.read(number)? else { continue };
            let names = segment.names();
            let mut tally = Tally::new(names.len());
            for batch in &segment.batches {
                segment.slots(batch).iter().filter_map(TaskRecord::from_bytes).for_each(|record| tally.add(&record));
            }
            tally.merge_into(&names, &mut summary);
        }
        let mut page = Page::default();
        self.count(&files, &mut page);
        (summary.total, summary.losses) = (page.total, page.losses);
        Ok(summary)
    }

    fn files(&mut self) -> Result<BTreeMap<u64, u64>, Error> {
        let files = match folder::segments(&self.dir) {
            Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            files => files?,
        };
        self.known.retain(|number, _| files.contains_key(number));
        Ok(files)
    }

    fn read(&mut self, number: u64) -> Result<Option<Segment>, Error> {
        let segment = Segment::read(&self.dir, number)?;
        if let Some(segment) = &segment {
            let len = segment.len();
            if self.known(number, len).is_none() {
                self.known.insert(number, segment.facts());
            }
        }
        Ok(segment)
    }

    fn known(&self, number: u64, len: u64) -> Option<&Facts> {
        self.known.get(&number).filter(|facts| facts.len == len)
    }

    fn may_match(&self, number: u64, len: u64, filter: &Filter) -> bool {
        let (Some(facts), Some(range)) = (self.known(number, len), &filter.ended) else { return true };
        facts.ended.is_some_and(|(first, last)| first < range.end && last >= range.start)
    }

    fn count(&self, files: &BTreeMap<u64, u64>, page: &mut Page) {
        let newest = files.keys().next_back();
        for (number, facts) in &self.known {
            page.total += facts.records;
            page.losses.records = page.losses.records.saturating_add(facts.lost);
            if Some(number) != newest {
                page.losses.bytes += facts.damaged;
            }
        }
    }
}

/// Adds rows of one segment, from its record `before` down, until the page has `limit` of them: then `next` says where to go on.
fn scan(
    segment: &Segment,
    filter: &Filter,
    before: u64,
    limit: usize,
    page: &mut Page,
    next: impl Fn(u64) -> Option<Cursor>,
) {
    let names = segment.names();
    let matcher = Matcher::new(filter, &names);
    if !matcher.may_match() {
        return;
    }
    let mut end: u64 = segment.batches.iter().map(|batch| segment.slots(batch).len() as u64).sum();
    for batch in segment.batches.iter().rev() {
        let slots = segment.slots(batch);
        let first = end - slots.len() as u64;
        let wanted = &slots[..before.clamp(first, end).saturating_sub(first) as usize];
        for (index, slot) in wanted.iter().enumerate().rev() {
            page.scanned += 1;
            if !matcher.matches(slot, batch.ahead) {
                continue;
            }
            let Some(record) = TaskRecord::from_bytes(slot) else { continue };
            page.rows.push(row(&record, &names, batch.ahead));
            if page.rows.len() == limit {
                page.next = next(first + index as u64);
                return;
            }
        }
        end = first;
    }
}

fn row(record: &TaskRecord, names: &[Option<&str>], ahead: i64) -> TaskRow {
    let wall = |at: Time| at.0.saturating_add_signed(ahead);
    TaskRow {
        task: record.task,
        attempt: record.attempt,
        kind: record.kind,
        outcome: record.outcome,
        job: record.job,
        name: names.get(record.name as usize).copied().flatten().map(str::to_owned),
        actor: record.actor,
        worker: record.worker,
        pid: record.pid,
        node: record.node,
        owner: record.owner,
        submitted: wall(record.submitted),
        started: record.started.map(wall),
        ended: wall(record.ended),
    }
}
