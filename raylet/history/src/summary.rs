//! Counts and durations by name: one pass over the records, by numbers in each segment, by text over all of them.

use crate::Losses;
use iosdk_types::{Outcome, TaskKind, TaskRecord};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// By name and kind; the name is empty where it was lost.
    pub by_name: BTreeMap<(String, TaskKind), NameSummary>,
    /// Records in the history.
    pub total: u64,
    pub losses: Losses,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NameSummary {
    /// By `Outcome as usize`.
    counts: [u64; Outcome::ALL.len()],
    started: u64,
    total_ns: u64,
    max_ns: u64,
}

impl NameSummary {
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.counts[outcome as usize]
    }

    /// From start to end; 0 when none started.
    pub fn mean_ns(&self) -> u64 {
        self.total_ns.checked_div(self.started).unwrap_or(0)
    }

    pub fn max_ns(&self) -> u64 {
        self.max_ns
    }

    fn add(&mut self, record: &TaskRecord) {
        self.counts[record.outcome as usize] += 1;
        if let Some(started) = record.started {
            let ran = (record.ended - started).0;
            self.started += 1;
            self.total_ns = self.total_ns.saturating_add(ran);
            self.max_ns = self.max_ns.max(ran);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(count, more)| *count += more);
        self.started += other.started;
        self.total_ns = self.total_ns.saturating_add(other.total_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
    }
}

/// The summary of one segment, by the numbers that names have there.
pub(crate) struct Tally {
    named: Vec<[NameSummary; TaskKind::ALL.len()]>,
}

impl Tally {
    pub(crate) fn new(names: usize) -> Self {
        // The last one is for those without a name.
        Self { named: vec![Default::default(); names + 1] }
    }

    #[inline]
    pub(crate) fn add(&mut self, record: &TaskRecord) {
        let at = (record.name as usize).min(self.named.len() - 1);
        self.named[at][record.kind as usize].add(record);
    }

    pub(crate) fn merge_into(self, names: &[Option<&str>], summary: &mut Summary) {
        for (at, kinds) in self.named.iter().enumerate() {
            let name = names.get(at).copied().flatten().unwrap_or_default();
            for (kind, found) in
                TaskKind::ALL.into_iter().zip(kinds).filter(|(_, found)| **found != NameSummary::default())
            {
                summary.by_name.entry((name.to_owned(), kind)).or_default().merge(found);
            }
        }
    }
}
