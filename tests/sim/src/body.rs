//! What user code is in the middle of: a driver's program, or one call in a worker.

use crate::process::{Held, HeldActor};
use crate::random::Random;
use iosdk_runtime_core::NewValue;
use iosdk_types::message::peer::CallKind;
use iosdk_types::{ActorId, Address, Key, TaskId, Time};

#[derive(Clone, Copy, Debug)]
pub struct Running {
    pub call: Key,
    pub task: TaskId,
    pub kind: CallKind,
    pub returns: u16,
    pub seed: u64,
    pub depth: u32,
}

#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    pub object: Key,
    pub waiter: u32,
    /// Gives up at this turn's wake-up instead of waiting for ever.
    pub gives_up: bool,
}

/// A value that needs room in the arena before the body can go on.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub request: u64,
    pub bytes: u64,
    pub answer: Option<bool>,
}

pub struct Body {
    /// Names this body among all of a run.
    pub id: (Address, u64),
    pub random: Random,
    pub operations: u64,
    /// `None` for a driver's program.
    pub running: Option<Running>,
    /// The driver's operation in whose tree this runs.
    pub root: u64,
    pub started: Time,
    pub held: Vec<Held>,
    pub actors: Vec<HeldActor>,
    /// Inside the values it returns, and let go of with them.
    pub given_away: Vec<Held>,
    /// Offsets it reads in place, each with the object kept alive for it.
    pub views: Vec<(u64, Key)>,
    pub waiting: Option<Waiting>,
    pub wanted: Option<Wanted>,
    /// It is making its return values.
    pub values: Option<Vec<NewValue>>,
    /// `cancel` reached it while it ran.
    pub interrupted: bool,
    /// The actor ends with this call.
    pub leaves: Option<ActorId>,
}

impl Body {
    pub fn new(id: (Address, u64), random: Random, operations: u64, root: u64, started: Time) -> Self {
        Self {
            id,
            random,
            operations,
            running: None,
            root,
            started,
            held: Vec::new(),
            actors: Vec::new(),
            given_away: Vec::new(),
            views: Vec::new(),
            waiting: None,
            wanted: None,
            values: None,
            interrupted: false,
            leaves: None,
        }
    }

    pub fn is_driver(&self) -> bool {
        self.running.is_none()
    }

    /// Methods and constructors never wait: the calls behind them might be what they wait for.
    pub fn may_wait(&self) -> bool {
        self.running.is_none_or(|running| running.kind == CallKind::Task)
    }
}

/// How a turn of user code ends.
pub enum Turn {
    /// It could do something else at once.
    Again,
    Sleeps(u64),
    /// Until a waiter or a request is answered.
    Waits,
    Over,
}
