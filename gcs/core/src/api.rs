//! What people and programs ask of the cluster from outside, and what they are told.

use crate::live::{ActorView, DriverView};
use crate::usage::UsageLine;
use iosdk_types::message::NodeRecord;
use iosdk_types::{ActorId, JobId, JobReport, ResourceSet};

pub use crate::refusal::ApiError;

/// One call; times are the wall clock in milliseconds since 1970, read by the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiCall {
    Submit(NewJob),
    Job {
        id: String,
    },
    /// The newest first.
    Jobs {
        offset: usize,
        limit: usize,
        status: Option<JobStatus>,
    },
    Stop {
        id: String,
        /// Without letting it finish what it does.
        force: bool,
        /// Who asks, for the job's message; empty when unknown.
        by: String,
        now_ms: u64,
    },
    Delete {
        id: String,
    },
    /// Sums of what was held, of everybody or of one tenant.
    Usage {
        tenant: Option<String>,
    },
    Cluster,
    /// At most so many, or this one.
    Actors {
        only: Option<ActorId>,
        limit: usize,
    },
    /// Those that are here now.
    Drivers,
}

/// A job to run. What it runs is not here: the shell keeps that under the job's number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// The name people know it under; one is made up without it.
    pub submission_id: Option<String>,
    pub user: String,
    pub tenant: String,
    /// What its entrypoint holds while it runs; empty: nothing.
    pub resources: ResourceSet,
    /// Of everything submitted. The same id with the same digest again is a client that tries again.
    pub digest: u64,
    pub now_ms: u64,
}

impl Default for NewJob {
    fn default() -> Self {
        let (user, tenant) = (String::new(), "default".to_owned());
        Self { submission_id: None, user, tenant, resources: ResourceSet::new(), digest: 0, now_ms: 0 }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiReply {
    /// `fresh` is false for a submission that was here already.
    Accepted {
        number: u64,
        submission_id: String,
        fresh: bool,
    },
    Job(JobView),
    /// The page asked for, and how many there are without paging.
    Jobs(Vec<JobView>, usize),
    /// False: it was over already.
    Stopped(bool),
    Deleted(bool),
    Usage(Vec<UsageLine>),
    Cluster(ClusterView),
    /// What was asked for, and how many there are.
    Actors(Vec<ActorView>, usize),
    Drivers(Vec<DriverView>),
    Error(ApiError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobStatus {
    Pending,
    Running,
    Succeeded,
    Failed,
    Stopped,
}

impl JobStatus {
    pub const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Succeeded, Self::Failed, Self::Stopped];

    /// As Ray's job API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Stopped => "STOPPED",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    pub fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Stopped)
    }
}

/// A submitted job, as told to who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobView {
    pub number: u64,
    pub submission_id: String,
    pub user: String,
    pub tenant: String,
    pub resources: ResourceSet,
    pub status: JobStatus,
    /// Why it is in this state, in a sentence.
    pub message: String,
    pub submitted_ms: u64,
    pub started_ms: Option<u64>,
    pub ended_ms: Option<u64>,
    pub node: Option<u32>,
    /// The job id that its first driver was given.
    pub driver: Option<JobId>,
    /// How it ended, once it has.
    pub report: Option<JobReport>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterView {
    pub nodes: Vec<NodeView>,
    /// Of the nodes that are alive.
    pub total: ResourceSet,
    pub available: ResourceSet,
    /// Submitted jobs that wait, and those that were sent to a node or run there.
    pub queued: usize,
    pub running: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    pub node: u32,
    pub record: NodeRecord,
    pub available: ResourceSet,
    /// Submitted jobs there.
    pub jobs: usize,
}
