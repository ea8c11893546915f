//! The lines of this node's account: written when something was held, numbered when they are sent, kept until they are noted.

use iosdk_types::{JobId, Map, ResourceSet, UsageRecord};
use std::collections::VecDeque;

/// Lines that wait to be sent; beyond these, those of one account and one amount become one line.
const LINES_MAX: usize = 10_000;
/// Lines in one message.
const BATCH: usize = 1024;

#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) record: UsageRecord,
    /// An open line of it was sent: this one must say how it went on.
    pub(crate) said: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    unsent: Vec<Line>,
    sent: VecDeque<UsageRecord>,
    last_seq: u64,
}

impl Account {
    pub(crate) fn add(&mut self, line: Line) {
        // What went on with the same amount after a moment that turned out to change nothing.
        if let Some(last) = self.unsent.last_mut().filter(|last| continues(&last.record, &line.record)) {
            last.record.end_ns = line.record.end_ns;
            last.record.used_cpu_ns += line.record.used_cpu_ns;
            last.record.cause = line.record.cause;
            return;
        }
        self.unsent.push(line);
        if self.unsent.len() > LINES_MAX {
            self.merge();
        }
    }

    pub(crate) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    pub(crate) fn has_unnoted(&self) -> bool {
        !self.sent.is_empty()
    }

    /// Numbers what waits and, behind it, what is open now.
    pub(crate) fn send(&mut self, open: impl Iterator<Item = UsageRecord>) {
        let lines = std::mem::take(&mut self.unsent).into_iter().map(|line| line.record).chain(open);
        for mut record in lines {
            self.last_seq += 1;
            record.seq = self.last_seq;
            self.sent.push_back(record);
        }
    }

    /// What is not noted, in order and in messages of bearable size.
    pub(crate) fn unnoted(&self) -> Vec<Vec<UsageRecord>> {
        let lines: Vec<UsageRecord> = self.sent.iter().cloned().collect();
        lines.chunks(BATCH).map(<[UsageRecord]>::to_vec).collect()
    }

    pub(crate) fn noted(&mut self, seq: u64) {
        while self.sent.pop_front_if(|record| record.seq <= seq).is_some() {}
    }

    /// For tests that break the machine on purpose: what was sent gets new numbers.
    pub(crate) fn renumber(&mut self) {
        for record in &mut self.sent {
            self.last_seq += 1;
            record.seq = self.last_seq;
        }
    }

    /// The link has been down for long. Sums of amount x time stay what they are; when each was held is lost.
    fn merge(&mut self) {
        type Key = (&'static str, JobId, Option<u64>, String, ResourceSet);
        let mut merged: Map<Key, Line> = Map::new();
        let mut kept = Vec::new();
        for line in std::mem::take(&mut self.unsent) {
            let of = &line.record;
            let key = (of.object.kind(), of.job, of.submission, of.name.clone(), of.resources.clone());
            match merged.get_mut(&key) {
                _ if line.said => kept.push(line),
                Some(sum) => {
                    sum.record.end_ns += of.end_ns - of.start_ns;
                    sum.record.used_cpu_ns += of.used_cpu_ns;
                }
                None => {
                    merged.insert(key, line);
                }
            }
        }
        kept.extend(merged.into_values());
        self.unsent = kept;
    }
}

fn continues(last: &UsageRecord, next: &UsageRecord) -> bool {
    last.object == next.object && last.resources == next.resources && last.end_ns == next.start_ns
}
