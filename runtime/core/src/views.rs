//! What is told of a process to who asks what is live: its tasks, the calls it executes, its objects. Nothing is decided here.
//! The shell knows names, claim words and sizes of payloads: it says them.

use crate::Owner;
use crate::actors::Whereabouts;
use crate::objects::{Object, Waiter};
use crate::tasks::{Phase, RunsOn, Task};
use iosdk_types::message::ActorDeath;
use iosdk_types::message::peer::{CallKind, Payload, Place};
use iosdk_types::spec::ClassSpec;
use iosdk_types::state::{Location, ObjectState, RunningCall, TaskPhase, TaskState};
use iosdk_types::{ActorId, Address, Key, ObjectId, TaskId, TaskKind};

/// What holds up a task that waits for a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    pub spec: ClassSpec,
    /// Live tasks of its class that wait, itself included.
    pub waiting: usize,
    /// Leases that its class has here, and how many the raylet was asked for.
    pub leases: usize,
    pub wanted: u32,
}

/// The actor that a task runs on, as far as its caller knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callee {
    pub actor: ActorId,
    pub at: CalleeAt,
    /// Calls that are there, and those that wait here.
    pub in_flight: usize,
    pub waiting: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CalleeAt {
    Nowhere,
    Process(Address, i32),
    Dead(ActorDeath),
}

/// Something a task needs and does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub object: ObjectId,
    pub owner: Address,
    /// The task of this process that makes it.
    pub task: Option<Key>,
}

/// Who keeps an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keepers {
    pub task: Option<Key>,
    pub owner: Address,
    pub owner_dead: bool,
    pub contained: usize,
    /// Tasks of this process that wait for it, and borrowers that do.
    pub awaited: (usize, usize),
    pub lent_to: Vec<Address>,
}

fn kind_of(kind: CallKind) -> Option<TaskKind> {
    match kind {
        CallKind::Task => Some(TaskKind::Task),
        CallKind::CreateActor => Some(TaskKind::ActorCreation),
        CallKind::Method => Some(TaskKind::ActorCall),
        // Nobody submitted it.
        CallKind::Terminate => None,
    }
}

impl Owner {
    pub fn find_task(&self, id: &TaskId) -> Option<Key> {
        self.tasks.live.iter().find(|(_, task)| task.id == *id).map(|(key, _)| key)
    }

    /// Tasks that have not ended: those that are with a process first.
    pub fn tasks(&self) -> impl Iterator<Item = Key> {
        let pushed = |task: &Task| matches!(task.phase, Phase::Pushed { .. });
        let leased = self.classes.leases.iter().flat_map(|(_, lease)| lease.in_flight.iter().copied());
        let called = self.actors.all.iter().flat_map(|(_, actor)| actor.in_flight.iter().copied());
        let rest = self.tasks.live.iter().filter(move |(_, task)| !pushed(task)).map(|(key, _)| key);
        leased.chain(called).filter(move |key| self.tasks.live.get(*key).is_some_and(pushed)).chain(rest)
    }

    /// `None` for what ends now, or was submitted by nobody. `began`: whether this call was taken by the process that has it.
    pub fn task_state(
        &self,
        key: Key,
        name: impl FnOnce(Key, Option<ActorId>) -> String,
        began: impl FnOnce(Address) -> bool,
    ) -> Option<TaskState> {
        let task = self.tasks.live.get(key)?;
        let kind = kind_of(task.kind)?;
        let (phase, on) = self.phase_of(task, began)?;
        Some(TaskState {
            task: task.id,
            attempt: task.ended_attempts.max(task.attempts.len() as u32),
            name: name(task.function, Self::actor_called(task, kind)),
            kind,
            phase,
            on,
            retries_left: task.retries,
            submitted: task.submitted,
        })
    }

    /// As `task_state`, where only its kind is counted.
    pub fn task_group<N>(
        &self,
        key: Key,
        name: impl FnOnce(Key, Option<ActorId>) -> N,
        began: impl FnOnce(Address) -> bool,
    ) -> Option<(N, TaskKind, TaskPhase)> {
        let task = self.tasks.live.get(key)?;
        let kind = kind_of(task.kind)?;
        let (phase, _) = self.phase_of(task, began)?;
        Some((name(task.function, Self::actor_called(task, kind)), kind, phase))
    }

    /// The actor whose method it is.
    fn actor_called(task: &Task, kind: TaskKind) -> Option<ActorId> {
        (kind == TaskKind::ActorCall).then(|| task.id.actor())
    }

    fn phase_of(
        &self,
        task: &Task,
        began: impl FnOnce(Address) -> bool,
    ) -> Option<(TaskPhase, Option<(Address, i32)>)> {
        match task.phase {
            Phase::Waiting { missing: 1.. } => Some((TaskPhase::WaitsForArguments, None)),
            Phase::Waiting { missing: 0 } | Phase::Queued => Some((TaskPhase::WaitsForWorker, None)),
            Phase::Pushed { peer, .. } => {
                let peer = self.peers.get(peer)?;
                let phase = if began(peer.address) { TaskPhase::Running } else { TaskPhase::Pushed };
                Some((phase, Some((peer.address, peer.pid))))
            }
            Phase::Failing { .. } => None,
        }
    }

    /// Calls that are executed here.
    pub fn running_calls(&self) -> impl Iterator<Item = RunningCall> {
        let running = self.executor.running.iter().filter_map(|key| self.executor.calls.get(*key));
        running.map(|call| RunningCall { task: call.view.task, since: call.view.since })
    }

    /// What of a task's arguments is not there.
    pub fn missing(&self, task: Key) -> Vec<Missing> {
        let deps = self.tasks.live.get(task).map(|task| task.deps.clone()).unwrap_or_default();
        deps.iter().filter_map(|key| self.as_missing(*key)).collect()
    }

    /// `None` for what is there.
    pub fn as_missing(&self, key: Key) -> Option<Missing> {
        let object = self.objects.get(key).filter(|object| object.value.is_none())?;
        let owner = object.borrow().map_or(self.me, |borrow| borrow.address);
        Some(Missing { object: object.id, owner, task: object.task() })
    }

    pub fn address(&self) -> Address {
        self.me
    }

    /// Of a process that this one talks to.
    pub fn pid_of(&self, process: Address) -> Option<i32> {
        let peer = self.peers.get(self.peers.find(process)?)?;
        (peer.pid != 0).then_some(peer.pid)
    }

    /// For tasks: the queue of their class.
    pub fn queue_of(&self, task: Key) -> Option<Queue> {
        let RunsOn::Class(index) = self.tasks.live.get(task)?.runs_on else { return None };
        let class = self.classes.all.get(index)?;
        let leases = class.leases.len();
        Some(Queue { spec: class.spec.clone(), waiting: class.queued, leases, wanted: class.said })
    }

    /// For calls of actors: the actor.
    pub fn callee_of(&self, task: Key) -> Option<Callee> {
        match self.tasks.live.get(task)?.runs_on {
            RunsOn::Actor(actor) => self.callee(actor),
            RunsOn::Class(_) => None,
        }
    }

    pub fn find_callee(&self, actor: &ActorId) -> Option<Callee> {
        self.callee(*self.actors.by_id.get(actor)?)
    }

    fn callee(&self, key: Key) -> Option<Callee> {
        let actor = self.actors.all.get(key)?;
        let at = match &actor.at {
            Whereabouts::Unasked | Whereabouts::Awaited => CalleeAt::Nowhere,
            Whereabouts::Alive { peer } => {
                self.peers.get(*peer).map_or(CalleeAt::Nowhere, |peer| CalleeAt::Process(peer.address, peer.pid))
            }
            Whereabouts::Dead { cause } => CalleeAt::Dead(cause.clone()),
        };
        let waiting = actor.queue.iter().filter(|task| self.tasks.live.contains(**task)).count();
        Some(Callee { actor: actor.id, at, in_flight: actor.in_flight.len(), waiting })
    }

    /// Everything this process knows of, its own or not.
    pub fn object_keys(&self) -> impl Iterator<Item = Key> {
        self.objects.iter().map(|(key, _)| key)
    }

    pub fn object_state(&self, key: Key, size: impl FnOnce(Payload) -> Option<u64>) -> Option<ObjectState> {
        let object = self.objects.get(key)?;
        let (location, size) = match object.value {
            None => (None, None),
            Some((Place::Inline(payload), _)) => (Some(Location::Inline), size(payload)),
            Some((Place::Arena(extent), _)) if extent.holder.node == self.me.node => {
                (Some(Location::Arena), Some(extent.len))
            }
            Some((Place::Arena(extent), _)) => (Some(Location::Remote), Some(extent.len)),
        };
        Some(ObjectState {
            object: object.id,
            owner: object.borrow().map_or(self.me, |borrow| borrow.address),
            location,
            size,
            is_error: object.value.is_some_and(|(_, is_error)| is_error),
            handles: object.handles,
            uses: object.uses,
            borrowers: object.lent.len() as u32,
        })
    }

    /// Objects that threads of this process wait for.
    pub fn awaited_here(&self) -> impl Iterator<Item = Key> {
        let waits = |object: &Object| object.waiters.iter().any(|waiter| matches!(waiter, Waiter::Shell(_)));
        self.objects.iter().filter(move |(_, object)| waits(object)).map(|(key, _)| key)
    }

    pub fn keepers(&self, key: Key) -> Option<Keepers> {
        let object = self.objects.get(key)?;
        let tasks = object.waiters.iter().filter(|waiter| matches!(waiter, Waiter::Task(_))).count();
        let borrowers = object.waiters.iter().filter(|waiter| matches!(waiter, Waiter::Borrower { .. })).count();
        let lent = object.lent.iter().filter_map(|loan| self.peers.get(loan.to));
        Some(Keepers {
            task: object.task(),
            owner: object.borrow().map_or(self.me, |borrow| borrow.address),
            owner_dead: object.borrow().is_some_and(|borrow| borrow.owner_dead),
            contained: object.contains.len(),
            awaited: (tasks, borrowers),
            lent_to: lent.map(|peer| peer.address).collect(),
        })
    }
}
