//! What an all-knowing observer notes about tasks, objects and deaths, for the checkers to hold the machines against.

use crate::random::mix;
use iosdk_types::{ActorId, Address, Death, Key, Map, ObjectId, Set, TaskId, Time};

#[derive(Clone, Debug)]
pub struct TaskNote {
    pub owner: Address,
    /// The owner's key of the first return.
    pub first: Key,
    /// Seed of its body: what it returns follows from it.
    pub seed: u64,
    pub retries: i32,
    /// Number of the driver's operation in whose tree it was made.
    pub root: u64,
    /// For a method: the actor and the caller's number of the call.
    pub method: Option<(ActorId, u64)>,
    pub creates: Option<ActorId>,
    pub started_on: Vec<Address>,
    pub cancelled: bool,
}

#[derive(Clone, Debug)]
pub struct ObjectNote {
    pub owner: Address,
    pub task: Option<TaskId>,
    /// What a get must give unless something went wrong that the machine may name.
    pub token: u64,
    pub root: u64,
    /// How deep in its tree the body is that made it: what a driver makes lies at 0.
    pub depth: u32,
    /// The body that made it may wait for it; others only if their own tree is younger.
    pub maker: (Address, u64),
    /// It may legally stay pending for as long as somebody holds a certain actor.
    pub may_wait: bool,
    /// Its descriptor was carried outside any message: it may be gone when it arrives.
    pub smuggled: bool,
    pub outcome: Option<Outcome>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Value(u64),
    Raised(u64),
    Failed(String),
}

#[derive(Default)]
pub struct Ghost {
    pub tasks: Map<TaskId, TaskNote>,
    pub objects: Map<ObjectId, ObjectNote>,
    pub dead: Map<Address, (Death, Time)>,
    pub dead_nodes: Set<u32>,
    /// Actors for whose end there is a reason that the machines may name.
    pub killed_actors: Set<ActorId>,
    /// Processes that wrote rubbish into a lane: their calls are judged as if they were dead.
    pub poisoned: Set<Address>,
    pub next_root: u64,
    /// More than one, and an actor may be placed where its owner cannot reach it: there are no lanes between nodes yet.
    pub nodes: u32,
}

/// What return `index` of the body with this seed holds.
pub fn token_of(seed: u64, index: u64) -> u64 {
    mix(seed ^ (index + 1).wrapping_mul(0x5851_f42d_4c95_7f2d))
}

/// What that body raises when it raises.
pub fn raised_by(seed: u64) -> u64 {
    mix(seed ^ 0xdead)
}

impl Ghost {
    pub fn new_root(&mut self) -> u64 {
        self.next_root += 1;
        self.next_root
    }

    pub fn is_gone(&self, process: Address) -> bool {
        self.dead.contains_key(&process) || self.dead_nodes.contains(&process.node)
    }

    pub fn task_of(&self, object: &ObjectId) -> Option<&TaskNote> {
        self.objects.get(object).and_then(|note| note.task).and_then(|task| self.tasks.get(&task))
    }
}
