//! What is written down. The state that must last is the fold of these records; their bytes are read for ever, so a variant
//! or a field is added (with a default) and never changed or taken away.

use crate::usage::Booked;
use iosdk_types::{JobId, JobReport, Map, ResourceSet, UsageRecord};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    JobAccepted {
        number: u64,
        submission_id: String,
        user: String,
        tenant: String,
        resources: ResourceSet,
        digest: u64,
        at_ms: u64,
    },
    /// A node was chosen. It may have started the job from here on, so no other node ever gets it.
    JobSent {
        number: u64,
        node: u32,
    },
    /// The node said so.
    JobStarted {
        number: u64,
        node: u32,
        started_ms: u64,
    },
    JobStopAsked {
        number: u64,
        by: String,
        force: bool,
        at_ms: u64,
    },
    JobEnded {
        number: u64,
        report: JobReport,
    },
    JobDeleted {
        number: u64,
    },
    /// The last index of a driver's job that was given out, and the submitted job whose driver it is.
    DriverJob {
        index: u32,
        submission: Option<u64>,
    },
    /// In the order of `seq`, without a gap after what was booked of this incarnation before.
    UsageBooked {
        node: u32,
        epoch: u32,
        records: Vec<UsageRecord>,
    },
    /// A node joined with these resources, or was given up on.
    NodeIncarnation {
        node: u32,
        epoch: u32,
        alive: bool,
        hostname: String,
        resources: ResourceSet,
    },
}

/// Everything that lasts, at one moment: instead of the records up to there. Some of its maps have keys that are no text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    pub(crate) last_number: u64,
    pub(crate) jobs: Map<u64, Job>,
    pub(crate) last_driver_job: u32,
    pub(crate) nodes: Map<u32, Incarnation>,
    pub(crate) usage: Booked,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) submission_id: String,
    pub(crate) user: String,
    pub(crate) tenant: String,
    pub(crate) resources: ResourceSet,
    pub(crate) digest: u64,
    pub(crate) submitted_ms: u64,
    #[serde(default)]
    pub(crate) driver: Option<JobId>,
    #[serde(default)]
    pub(crate) stop: Option<StopAsked>,
    pub(crate) state: State,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StopAsked {
    pub(crate) by: String,
    pub(crate) force: bool,
    pub(crate) at_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    Queued,
    /// It may have begun there.
    Sent {
        node: u32,
    },
    Running {
        node: u32,
        started_ms: u64,
    },
    Ended {
        /// None: it ended in the queue.
        node: Option<u32>,
        report: JobReport,
    },
}

impl State {
    /// Where it is sent or runs, while it is not over.
    pub(crate) fn host(&self) -> Option<u32> {
        match self {
            State::Sent { node } | State::Running { node, .. } => Some(*node),
            State::Queued | State::Ended { .. } => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Incarnation {
    pub(crate) epoch: u32,
    pub(crate) alive: bool,
    pub(crate) hostname: String,
    pub(crate) resources: ResourceSet,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_job_is_small() {
        assert!(size_of::<Job>() + size_of::<u64>() <= 400, "{}", size_of::<Job>());
    }
}
