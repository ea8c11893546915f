//! Which records a page is made of. All conditions hold at once; they are checked on the bytes, before a record is read.

use iosdk_types::task_record::{SLOT, field};
use iosdk_types::{ActorId, JobId, Outcome, TaskId};
use std::ops::Range;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// One of these; empty for any.
    pub outcomes: Vec<Outcome>,
    pub name: Option<String>,
    pub job: Option<JobId>,
    pub actor: Option<ActorId>,
    pub task: Option<TaskId>,
    /// When it ended: nanoseconds since 1970.
    pub ended: Option<Range<u64>>,
}

/// The filter in the words of one segment.
pub(crate) struct Matcher<'a> {
    filter: &'a Filter,
    /// A bit for each outcome that is wanted.
    outcomes: u32,
    /// The numbers that the name has in the segment.
    names: Option<Vec<[u8; 4]>>,
}

impl<'a> Matcher<'a> {
    pub(crate) fn new(filter: &'a Filter, names: &[Option<&str>]) -> Self {
        let outcomes = filter.outcomes.iter().fold(0, |bits, outcome| bits | 1 << *outcome as u32);
        let names = filter.name.as_deref().map(|wanted| {
            let numbers = (0u32..).zip(names).filter(|(_, name)| **name == Some(wanted));
            numbers.map(|(number, _)| number.to_le_bytes()).collect()
        });
        Self { filter, outcomes: if outcomes == 0 { u32::MAX } else { outcomes }, names }
    }

    /// False: nothing in the segment can match.
    pub(crate) fn may_match(&self) -> bool {
        self.names.as_ref().is_none_or(|names| !names.is_empty())
    }

    /// `ahead`: what the wall clock was ahead of the slot's times.
    #[inline]
    pub(crate) fn matches(&self, slot: &[u8; SLOT], ahead: i64) -> bool {
        let Filter { job, actor, task, ended, .. } = self.filter;
        self.outcomes >> (slot[field::OUTCOME] & 31) & 1 != 0
            && task.is_none_or(|task| slot[field::TASK_ID] == task.0)
            && job.is_none_or(|job| slot[field::JOB] == job.0)
            && actor.is_none_or(|actor| slot[field::ACTOR] == actor.0)
            && self.names.as_ref().is_none_or(|names| names.iter().any(|name| slot[field::NAME] == name[..]))
            && ended.as_ref().is_none_or(|range| range.contains(&ended_at(slot, ahead)))
    }
}

/// When it ended, in nanoseconds since 1970.
#[inline]
pub(crate) fn ended_at(slot: &[u8; SLOT], ahead: i64) -> u64 {
    crate::format::u64_at(slot, field::ENDED.start).saturating_add_signed(ahead)
}
