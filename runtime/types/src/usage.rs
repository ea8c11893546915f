//! Usage: what a node says was held, for whom and for how long. Integers of one monotonic clock; nothing here is a price.

use crate::{ActorId, JobId, ResourceSet};
use serde::{Deserialize, Serialize};

/// What holds resources. Numbers are never used twice by one incarnation of a raylet (jobs: by one cluster).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum UsageObject {
    /// A worker leased for tasks.
    Lease(u64),
    Actor(ActorId),
    /// The entrypoint of a submitted job.
    Job(u64),
}

impl UsageObject {
    pub fn kind(&self) -> &'static str {
        match self {
            UsageObject::Lease(_) => "lease",
            UsageObject::Actor(_) => "actor",
            UsageObject::Job(_) => "job",
        }
    }
}

/// One line of a node's account. What it says about its object is cumulative while it is open: a later line of the same object
/// replaces the earlier ones, so that a repeated one is harmless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRecord {
    /// 1, 2, 3 ... within one incarnation of one node: a missing line shows.
    pub seq: u64,
    pub object: UsageObject,
    pub job: JobId,
    /// The submitted job that the driver belongs to.
    #[serde(default)]
    pub submission: Option<u64>,
    pub tenant: String,
    /// Function, class or submission id, for people.
    pub name: String,
    /// Held all the time from `start_ns` to `end_ns`. When the amount changes the line is closed, and the next one of the same
    /// object begins anew.
    pub resources: ResourceSet,
    pub start_ns: u64,
    pub end_ns: u64,
    /// It still holds them; a later line says more.
    pub open: bool,
    /// Processor time measured so far.
    #[serde(default)]
    pub used_cpu_ns: u64,
    /// Why it ended; empty while it is open.
    #[serde(default)]
    pub cause: String,
}
