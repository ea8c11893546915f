//! What a driver or worker says to its own raylet, over the Unix socket between them.
//! Every message may be repeated: demands are levels, not increments, and requests carry an id of the sender's choosing.

use crate::message::ActorDeath;
use crate::spec::{ActorSpec, ClassSpec};
use crate::{ActorId, Address, StateRows};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProcessToRaylet {
    /// First on every connection.
    Hello {
        version: u32,
        pid: i32,
        /// Of drivers that join a standing head; none of workers and of the driver that started a cluster of its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attach: Option<Attach>,
    },
    /// "I have work for `want` leases of this class, those I hold included."
    Demand {
        class: u32,
        spec: ClassSpec,
        want: u32,
    },
    /// The lease's worker is idle again (`worker_usable`) or must not be used again.
    ReturnLease {
        lease: u64,
        worker_usable: bool,
    },
    /// "Open lanes between this process and me."
    Connect {
        peer: Address,
    },
    CreateActor {
        spec: ActorSpec,
    },
    /// "Tell me where it is, and tell me when that changes."
    ResolveActor {
        actor: ActorId,
    },
    KillActor {
        actor: ActorId,
        no_restart: bool,
    },
    /// From the actor's own process: the constructor returned (None), or the actor ends for this reason.
    ActorState {
        actor: ActorId,
        ended: Option<ActorDeath>,
    },
    /// "I have drained the dying process's lanes and passed on what they implied."
    DeadAck {
        peer: Address,
    },
    /// "In these extents of the dead holder lie objects of mine." Answers `PeerDead`, once, empty or not.
    Claims {
        holder: Address,
        extents: Vec<u64>,
    },
    /// "Nothing of mine is left in this extent of a dead holder."
    Unclaim {
        holder: Address,
        extent: u64,
    },
    /// "I need this many bytes of arena." Answered when there is room, or refused.
    ExtentRequest {
        request: u64,
        bytes: u64,
    },
    ExtentReturn {
        offset: u64,
    },
    Query {
        request: u64,
        query: Query,
    },
    /// From the driver: end the cluster that `init` started. Logs are flushed before the connection closes.
    Shutdown,
    /// Answer to `Describe`: rows, and how many there are in all.
    Described {
        request: u64,
        rows: StateRows,
        total: u64,
    },
}

/// What a standing head must know to run a driver's workers as the driver itself would.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    pub namespace: String,
    /// The submitted job that it belongs to.
    pub submission: Option<u64>,
    /// Interpreter of its workers, and the folder that has this package for it.
    pub python: String,
    pub package: String,
    /// Search path and working directory of its workers.
    pub sys_path: Vec<String>,
    pub cwd: String,
    /// Set in its workers' environment: what was given to the job. May hold secrets.
    pub env: Vec<(String, String)>,
    pub log_to_driver: bool,
}

impl std::fmt::Debug for Attach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.env.iter().map(|(name, _)| name.as_str()).collect();
        let Self { namespace, submission, python, cwd, .. } = self;
        write!(f, "Attach {{ {namespace:?}, submission {submission:?}, {python} in {cwd}, env {names:?} }}")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    Nodes,
    ClusterResources,
    AvailableResources,
}
