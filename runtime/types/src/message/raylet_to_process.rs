//! What a raylet says to the processes of its node.

use crate::message::ActorDeath;
use crate::{ActorId, Address, Death, JobId, NodeId, ResourceSet, StateQuery};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RayletToProcess {
    /// Answer to the hello. Comes with three descriptors, own mailbox, arena, pin table, and where a
    /// history is kept with two more: own history ring, and its bell.
    Welcome {
        version: u32,
        address: Address,
        node: NodeId,
        job: JobId,
        session: String,
        session_dir: String,
        node_ip: String,
        arena_limit: u64,
        infeasible_waits: bool,
    },
    /// A worker is yours until you return the lease or either of you dies.
    Granted {
        class: u32,
        lease: u64,
        worker: Address,
    },
    /// Others wait: take back what has not started, give the lease back when the running call ends.
    Reclaim {
        lease: u64,
    },
    /// No node can ever run this class.
    Infeasible {
        class: u32,
        why: String,
    },
    /// Lanes are open both ways. Comes with one descriptor: the peer's mailbox.
    /// `lane_in` is mine (the peer writes), `lane_out` is in the peer's mailbox (I write).
    Attach {
        peer: Address,
        pid: i32,
        lane_in: u32,
        lane_out: u32,
    },
    /// `Connect` to a process that is gone.
    NoSuchPeer {
        peer: Address,
        death: Option<Death>,
    },
    /// Drain its lanes once more, pass on what that implies, answer `DeadAck`.
    PeerDying {
        peer: Address,
    },
    /// All others have drained: judge what is left. Answer `Claims`.
    PeerDead {
        peer: Address,
        death: Death,
    },
    ActorAlive {
        actor: ActorId,
        address: Address,
    },
    ActorDead {
        actor: ActorId,
        cause: ActorDeath,
    },
    ExtentGranted {
        request: u64,
        offset: u64,
        bytes: u64,
    },
    ExtentRefused {
        request: u64,
        report: StoreReport,
    },
    Answer {
        request: u64,
        answer: Answer,
    },
    /// Output of workers, for the driver to print.
    Log {
        lines: Vec<LogLine>,
    },
    /// End now, gracefully.
    Exit {
        reason: String,
    },
    /// Nobody needs this worker any more: take no calls, and end once nothing here is in anybody's use. What it owns may be.
    Retire,
    /// Somebody waits for room in the arena: give back every extent that nothing uses, and keep none for a while.
    MakeRoom,
    /// Say what is live here, at most `limit` rows.
    Describe {
        request: u64,
        query: StateQuery,
        limit: u32,
    },
}

/// One line of a worker's output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Task or actor that printed it, e.g. `f` or `Counter`; empty when unknown.
    pub name: String,
    pub pid: i32,
    pub stderr: bool,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    Nodes(Vec<NodeRecord>),
    Resources(ResourceSet),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    pub node: NodeId,
    pub alive: bool,
    pub ip: String,
    pub hostname: String,
    pub resources: ResourceSet,
}

/// Why a put cannot fit: what is stored and by whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreReport {
    pub limit: u64,
    pub used: u64,
    pub by_process: Vec<StoreUse>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreUse {
    pub process: Address,
    pub pid: i32,
    pub bytes: u64,
}
