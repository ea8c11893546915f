//! JOB-1: an accepted submitted job ends exactly once, and is never lost over a restart of the GCS. It begins once at most,
//! and what is written down about its end is how it ended.

use crate::check::{Verdict, broken};
use iosdk_gcs_core::{JobStatus, Record};
use iosdk_types::{JobCause, JobReport, Map, Set};

const NAME: &str = "JOB-1";

#[derive(Default)]
struct Note {
    id: String,
    /// Somebody was told so.
    accepted: bool,
    /// Somebody asked for its deletion: from then on it may be gone once it is over.
    may_be_deleted: bool,
    /// No node has what it asks for: it waits until somebody stops it.
    waits_for_ever: bool,
    begun_on: Option<u32>,
    /// How its supervisor says that it ended.
    truth: Option<JobReport>,
    written: Option<JobReport>,
}

impl Note {
    fn must_end(&self) -> bool {
        self.accepted && self.written.is_none() && !self.waits_for_ever
    }
}

#[derive(Default)]
pub struct Job1 {
    jobs: Map<u64, Note>,
    lost_nodes: Set<u32>,
}

impl Job1 {
    pub fn accepted(&mut self, number: u64, id: &str) -> Verdict {
        let note = self.jobs.entry(number).or_default();
        note.accepted = true;
        if note.id.is_empty() {
            id.clone_into(&mut note.id);
        }
        if note.id == id { Ok(()) } else { broken(NAME, format!("job {number} is {} and {id}", note.id)) }
    }

    pub fn waits_for_ever(&mut self, number: u64) {
        self.jobs.entry(number).or_default().waits_for_ever = true;
    }

    pub fn may_be_deleted(&mut self, id: &str) {
        for note in self.jobs.values_mut().filter(|note| note.id == id) {
            note.may_be_deleted = true;
        }
    }

    /// A supervisor is asked for on this node.
    pub fn begun(&mut self, number: u64, node: u32) -> Verdict {
        let note = self.jobs.entry(number).or_default();
        match note.begun_on.replace(node) {
            Some(before) => broken(NAME, format!("job {number} begins on node {node} and began on node {before}")),
            None => Ok(()),
        }
    }

    pub fn over(&mut self, number: u64, report: &JobReport) {
        self.jobs.entry(number).or_default().truth = Some(report.clone());
    }

    pub fn node_lost(&mut self, node: u32) {
        self.lost_nodes.insert(node);
    }

    /// A record is durable.
    pub fn written(&mut self, record: &Record) -> Verdict {
        let (number, report) = match record {
            Record::JobEnded { number, report } => (number, report),
            Record::JobDeleted { number } => {
                self.jobs.entry(*number).or_default().may_be_deleted = true;
                return Ok(());
            }
            _ => return Ok(()),
        };
        let note = self.jobs.entry(*number).or_default();
        if let Some(before) = &note.written {
            return broken(NAME, format!("job {number} ends as {report:?} and has ended as {before:?}"));
        }
        note.written = Some(report.clone());
        let is_true = match (&report.cause, note.begun_on) {
            (JobCause::NodeLost, Some(node)) => self.lost_nodes.contains(&node),
            // It never began: it was stopped in a queue, or nobody is left who could have begun it.
            (JobCause::Stopped | JobCause::NodeLost | JobCause::CannotStart(_), None) => true,
            _ => note.truth.as_ref() == Some(report),
        };
        if is_true {
            return Ok(());
        }
        broken(NAME, format!("job {number} is written down as {report:?}, but it ended as {:?}", note.truth))
    }

    /// After a restart, and in the end: everything that was accepted is there, and what has ended has.
    pub fn kept(&self, known: &Map<u64, JobStatus>) -> Verdict {
        for (number, note) in self.jobs.iter().filter(|(_, note)| note.accepted) {
            match known.get(number) {
                None if !(note.may_be_deleted && note.written.is_some()) => {
                    return broken(NAME, format!("job {number} ({}) was accepted and is not there", note.id));
                }
                Some(status) if note.written.is_some() != status.is_over() => {
                    return broken(NAME, format!("job {number} is {status:?}, written is {:?}", note.written));
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub fn all_over(&self) -> bool {
        !self.jobs.values().any(Note::must_end)
    }

    pub fn have_ended(&self, known: &Map<u64, JobStatus>) -> Verdict {
        match self.jobs.iter().find(|(_, note)| note.must_end()) {
            Some((number, note)) => {
                let (status, truth) = (known.get(number), &note.truth);
                broken(NAME, format!("job {number} is {status:?} on {:?} and never ends ({truth:?})", note.begun_on))
            }
            None => Ok(()),
        }
    }
}
