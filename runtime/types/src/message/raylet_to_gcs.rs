//! What a raylet says to the GCS.

use crate::message::{ActorDeath, NodeRecord};
use crate::spec::ActorSpec;
use crate::{ActorId, Address, ResourceSet};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RayletToGcs {
    /// First on every connection: a node joins.
    Join {
        version: u32,
        node: u32,
        epoch: u32,
        record: NodeRecord,
    },
    /// What is free now. `version` grows with each report; older ones are ignored.
    View {
        version: u64,
        available: ResourceSet,
    },
    /// A driver arrived; answered with its job.
    DriverJoined {
        process: Address,
        namespace: String,
    },
    CreateActor {
        spec: ActorSpec,
    },
    /// A process of this node wants to know where the actor is, now and when it changes.
    WatchActor {
        actor: ActorId,
        watcher: Address,
    },
    KillActor {
        actor: ActorId,
        no_restart: bool,
    },
    /// The actor's process is leased and may be called.
    ActorStarted {
        actor: ActorId,
        address: Address,
    },
    /// It cannot be started here now (room went away): place it again.
    ActorRefused {
        actor: ActorId,
    },
    ActorEnded {
        actor: ActorId,
        cause: ActorDeath,
    },
    /// A process that may own actors ended.
    ProcessDied {
        process: Address,
        death: crate::Death,
    },
    Nodes {
        request: u64,
        asker: Address,
    },
    ClusterResources {
        request: u64,
        asker: Address,
    },
    AvailableResources {
        request: u64,
        asker: Address,
    },
}
