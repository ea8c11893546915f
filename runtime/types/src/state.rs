//! What is told of what is live: the questions of a head, which raylets pass on to their processes, and the rows that answer
//! them. No values, arguments or environments are in any row.

use crate::{ActorId, Address, JobId, ObjectId, ResourceSet, TaskId, TaskKind, Time};
use serde::{Deserialize, Serialize};

/// The most rows that are asked of anybody.
pub const ROWS_MAX: u32 = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StateQuery {
    /// Answered by the raylets alone, as a part of every answer.
    Workers,
    /// Tasks that have not ended; with `only`: this one.
    Tasks {
        only: Option<TaskId>,
    },
    Objects {
        only: Option<ObjectId>,
    },
    CountTasks,
    CountObjects,
    Explain(Subject),
}

/// What is to be explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    Task(TaskId),
    Object(ObjectId),
    Actor(ActorId),
}

/// What one process says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StateRows {
    None,
    /// Tasks that it owns, and calls of anybody's that it executes now.
    Tasks {
        owned: Vec<TaskState>,
        running: Vec<RunningCall>,
    },
    Objects(Vec<ObjectState>),
    Counts(Vec<StateCount>),
    Explained(Vec<Explanation>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TaskPhase {
    WaitsForArguments,
    WaitsForWorker,
    /// With a process that has not begun it.
    Pushed,
    Running,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskState {
    pub task: TaskId,
    pub attempt: u32,
    pub name: String,
    pub kind: TaskKind,
    pub phase: TaskPhase,
    /// The process that has it, with its pid.
    pub on: Option<(Address, i32)>,
    /// -1: for ever.
    pub retries_left: i32,
    pub submitted: Time,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningCall {
    pub task: TaskId,
    pub since: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Location {
    Inline,
    Arena,
    /// In the arena of another node, or with its owner.
    Remote,
}

/// An object as one process knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectState {
    pub object: ObjectId,
    pub owner: Address,
    pub location: Option<Location>,
    pub size: Option<u64>,
    pub is_error: bool,
    /// References that user code holds.
    pub handles: u32,
    /// Tasks, running calls and other objects that need it.
    pub uses: u32,
    /// Processes it is lent to.
    pub borrowers: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateCount {
    pub name: String,
    /// Type and state as the API spells them.
    pub kind: String,
    pub state: String,
    pub count: u64,
}

/// Plain sentences about one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// As the API spells it; empty from those that know it without owning it.
    pub state: String,
    pub lines: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum WorkerPhase {
    Starting,
    Idle,
    Leased,
    Actor,
    Blocked,
    Driver,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerState {
    pub process: Address,
    /// 0 until it is known.
    pub pid: i32,
    pub job: Option<JobId>,
    pub phase: WorkerPhase,
    /// What it holds, also what it lends while it is blocked.
    pub resources: ResourceSet,
    pub actor: Option<ActorId>,
}

/// The answer of one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatePart {
    pub process: Address,
    pub pid: i32,
    pub rows: StateRows,
    /// How many rows there are, whatever was told of them.
    pub total: u64,
}

/// The answer of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateReport {
    pub workers: Vec<WorkerState>,
    pub parts: Vec<StatePart>,
    /// What the node itself adds to an explanation.
    pub lines: Vec<String>,
    /// Pids of processes that did not answer in time.
    pub missing: Vec<i32>,
    /// What the node's wall clock is ahead of the clock that its times are of, in nanoseconds.
    pub ahead: i64,
}

impl TaskPhase {
    /// In Ray's words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WaitsForArguments => "PENDING_ARGS_AVAIL",
            Self::WaitsForWorker => "PENDING_NODE_ASSIGNMENT",
            Self::Pushed => "SUBMITTED_TO_WORKER",
            Self::Running => "RUNNING",
        }
    }
}

impl Location {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inline => "INLINE",
            Self::Arena => "ARENA",
            Self::Remote => "REMOTE",
        }
    }
}

impl WorkerPhase {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "STARTING",
            Self::Idle => "IDLE",
            Self::Leased => "LEASED",
            Self::Actor => "ACTOR",
            Self::Blocked => "BLOCKED",
            Self::Driver => "DRIVER",
        }
    }
}

impl ObjectState {
    /// Whether its value is known here, and what it is.
    pub fn state(&self) -> &'static str {
        match self.location {
            None => "PENDING",
            Some(_) if self.is_error => "ERROR",
            Some(_) => "READY",
        }
    }
}

impl StateRows {
    pub fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Tasks { owned, .. } => owned.len(),
            Self::Objects(rows) => rows.len(),
            Self::Counts(rows) => rows.len(),
            Self::Explained(rows) => rows.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps the first so many. What runs stays: it says when rows of other processes began.
    pub fn truncate(&mut self, len: usize) {
        match self {
            Self::None => {}
            Self::Tasks { owned, .. } => owned.truncate(len),
            Self::Objects(rows) => rows.truncate(len),
            Self::Counts(rows) => rows.truncate(len),
            Self::Explained(rows) => rows.truncate(len),
        }
    }
}
