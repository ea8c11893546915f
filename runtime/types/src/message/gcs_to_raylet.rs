//! What the GCS says to a raylet.

use crate::message::{ActorDeath, Answer};
use crate::spec::ActorSpec;
use crate::{ActorId, Address, JobId};
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
}
