//! What is asked for: the class of a task, and an actor.

use crate::{ActorId, Address, ResourceSet};
use serde::{Deserialize, Serialize};

/// Tasks that may run on each other's leases. The owner numbers its classes; the raylet sees number and content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClassSpec {
    pub resources: ResourceSet,
    /// 0 for a driver's tasks, one more for each level of tasks that submit tasks. Deeper demand is served first.
    pub depth: u32,
}

/// The deepest chain of tasks that wait for tasks (each level keeps a process alive). One deeper fails at submission.
pub const DEPTH_MAX: u32 = 256;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorSpec {
    pub actor: ActorId,
    /// Who created it and owns it: the actor dies with its owner.
    pub owner: Address,
    /// The submitted job that it belongs to, for the account of the node it lives on. Said by the owner's raylet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submission: Option<u64>,
    /// `Class`, for titles, prefixes and errors.
    pub class_name: String,
    /// What a node needs free to start it (1 CPU unless told otherwise).
    pub placement: ResourceSet,
    /// What it holds while it lives (nothing unless told otherwise).
    pub held: ResourceSet,
}
