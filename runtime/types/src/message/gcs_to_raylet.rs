//! What the GCS says to a raylet.

use crate::message::{ActorDeath, Answer};
use crate::spec::ActorSpec;
use crate::{ActorId, Address, JobId, JobSpec, ResourceSet, StateQuery};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GcsToRaylet {
    Joined {
        version: u32,
    },
    DriverAccepted {
        process: Address,
        job: JobId,
    },
    /// Lease a process of its own to this actor. Repeated after a reconnect; a raylet that has it says so again.
    StartActor {
        spec: ActorSpec,
    },
    /// End its process and say `ActorEnded` with this cause.
    StopActor {
        actor: ActorId,
        cause: ActorDeath,
    },
    ActorAlive {
        actor: ActorId,
        address: Address,
        watcher: Address,
    },
    ActorDead {
        actor: ActorId,
        cause: ActorDeath,
        watcher: Address,
    },
    Answer {
        request: u64,
        asker: Address,
        answer: Answer,
    },
    /// Run this submitted job and hold `held` while it lives. Said again, it is the same job. Only for nodes that have said
    /// `JobsHere`.
    StartJob {
        number: u64,
        held: ResourceSet,
        spec: JobSpec,
    },
    /// End it: politely, or at once. One that has not begun ends too, with a report. Unknown numbers mean nothing.
    StopJob {
        number: u64,
        force: bool,
    },
    /// Its `JobEnded` is written down: forget it.
    JobNoted {
        number: u64,
    },
    /// Everything of this incarnation up to `seq` is booked: forget it, and say what follows.
    UsageNoted {
        epoch: u32,
        seq: u64,
    },
    /// Collect what is live on this node, at most `limit` rows, and say `Report`.
    Query {
        request: u64,
        query: StateQuery,
        limit: u32,
    },
}
