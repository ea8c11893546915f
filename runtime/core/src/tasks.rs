//! The tasks this process submitted: what each waits for, where it is, and how it ends, exactly once.

use crate::classes::estimate;
use crate::history::End;
use crate::objects::{Object, Origin, Waiter};
use crate::{Draft, Effect, LocalError, Owner, Target, dense, drop_payload};
use iosdk_types::message::peer::{CallKind, Payload, Place, ReplyStatus, WireReply, WireValue};
use iosdk_types::{ActorId, Attempt, Key, ObjectId, Slab, TaskId, Time};
use smallvec::SmallVec;

/// A function, class or method that this process submits calls of.
pub(crate) struct Definition {
    pub(crate) payload: Payload,
    /// Average time a call runs, in nanoseconds; 0 until the first reply.
    pub(crate) mean_ns: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// For this many of its dependencies (duplicates counted).
    Waiting { missing: u32 },
    /// In its class's or actor's queue.
    Queued,
    /// `lease` is NIL for actors.
    Pushed { peer: Key, lease: Key, retracting: bool },
    /// Error values for this many returns are being made.
    Failing { left: usize },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunsOn {
    Class(usize),
    Actor(Key),
}

pub(crate) struct Task {
    pub(crate) id: TaskId,
    pub(crate) kind: CallKind,
    pub(crate) runs_on: RunsOn,
    pub(crate) function: Key,
    pub(crate) depth: u32,
    pub(crate) args: Payload,
    pub(crate) deps: SmallVec<[Key; 2]>,
    pub(crate) contains: SmallVec<[Key; 2]>,
    pub(crate) returns: SmallVec<[Key; 1]>,
    /// The actor's counting object, held so that the actor outlives its calls.
    pub(crate) counting: Key,
    pub(crate) retries: i32,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) phase: Phase,
    /// `Some(force)` once cancelled.
    pub(crate) cancelled: Option<bool>,
    pub(crate) submitted: Time,
    /// How many of its attempts were told to the history.
    pub(crate) ended_attempts: u32,
    /// What it was thought to cost when it was queued or pushed (ns).
    pub(crate) estimate: u32,
}

#[derive(Default)]
pub(crate) struct Tasks {
    pub(crate) live: Slab<Task>,
    pub(crate) definitions: Vec<Definition>,
    pub(crate) submitted: u64,
    pub(crate) ended: u64,
    /// The last one submitted and its returns.
    last: Option<(Key, SmallVec<[Key; 1]>)>,
}

impl Owner {
    /// A new name for these bytes, which stay for as long as the process does.
    pub fn define(&mut self, payload: Payload) -> Key {
        self.tasks.definitions.push(Definition { payload, mean_ns: 0 });
        dense(self.tasks.definitions.len() - 1)
    }

    pub fn definition(&self, function: Key) -> Option<Payload> {
        self.tasks.definitions.get(function.index()).map(|definition| definition.payload)
    }

    /// The task's returns; known until it has ended, and those of the last one submitted until the next: it may have failed in
    /// the step that submitted it.
    pub fn returns(&self, task: Key) -> &[Key] {
        match (self.tasks.live.get(task), &self.tasks.last) {
            (Some(task), _) => &task.returns,
            (None, Some((last, returns))) if *last == task => returns,
            (None, _) => &[],
        }
    }

    pub fn task_id(&self, task: Key) -> Option<TaskId> {
        self.tasks.live.get(task).map(|task| task.id)
    }

    /// How many tasks were ever submitted here, and how often one ended (TASK-1: never more often).
    pub fn task_counts(&self) -> (u64, u64) {
        (self.tasks.submitted, self.tasks.ended)
    }

    pub fn next_actor_id(&mut self) -> ActorId {
        self.ids.actor()
    }

    pub(crate) fn submit(&mut self, now: Time, draft: Draft, out: &mut Vec<Effect>) {
        match draft.target {
            Target::Task { class } => {
                let Some(depth) = self.classes.all.get(class.index()).map(|class| class.spec.depth) else {
                    drop_payload(draft.args, out);
                    return;
                };
                let id = self.ids.plain_task();
                let task = self.open(id, CallKind::Task, RunsOn::Class(class.index()), depth, Key::NIL, draft);
                self.say_submitted(task, out);
                self.start(now, task, out);
            }
            Target::Method { actor } => {
                let Some((id, counting)) = self.actors.all.get(actor).map(|actor| (actor.id, actor.counting)) else {
                    drop_payload(draft.args, out);
                    return;
                };
                let (id, depth) = (self.ids.task(id), self.submit_depth());
                let task = self.open(id, CallKind::Method, RunsOn::Actor(actor), depth, counting, draft);
                self.say_submitted(task, out);
                self.start_method(actor, task, out);
            }
        }
    }

    /// Makes the task and its returns, one handle and one hold each, and holds what it needs.
    pub(crate) fn open(
        &mut self,
        id: TaskId,
        kind: CallKind,
        runs_on: RunsOn,
        depth: u32,
        counting: Key,
        draft: Draft,
    ) -> Key {
        for &key in draft.deps.iter().chain(&draft.contains) {
            self.hold(key);
        }
        self.hold(counting);
        let task = self.tasks.live.insert(Task {
            id,
            kind,
            runs_on,
            function: draft.function,
            depth,
            args: draft.args,
            deps: draft.deps,
            contains: draft.contains,
            returns: SmallVec::new(),
            counting,
            retries: draft.retries,
            attempts: Vec::new(),
            phase: Phase::Waiting { missing: 0 },
            cancelled: None,
            submitted: self.now,
            ended_attempts: 0,
            estimate: 0,
        });
        let mut returns = SmallVec::<[Key; 1]>::new();
        for index in 1..=draft.returns {
            let mut object = Object::new(ObjectId::derive(id, u32::from(index)), Origin::Owned { task });
            object.handles = 1;
            object.uses = 1;
            returns.push(self.objects.insert(object));
        }
        self.tasks.last = Some((task, returns.clone()));
        if let Some(entry) = self.tasks.live.get_mut(task) {
            entry.returns = returns;
        }
        self.tasks.submitted += 1;
        task
    }

    pub(crate) fn say_submitted(&self, task: Key, out: &mut Vec<Effect>) {
        out.push(Effect::Submitted { task, first: self.returns(task).first().copied().unwrap_or(Key::NIL) });
    }

    /// Waits for what is missing among its dependencies. True when nothing is; a failed one fails the task.
    pub(crate) fn await_dependencies(&mut self, key: Key, out: &mut Vec<Effect>) -> bool {
        let Some(task) = self.tasks.live.get(key) else { return false };
        if task.deps.is_empty() {
            return true;
        }
        let mut missing = 0;
        let mut failed = None;
        for dep in task.deps.clone() {
            match self.objects.get_mut(dep) {
                Some(Object { value: Some((_, is_error)), .. }) => {
                    if *is_error && failed.is_none() {
                        failed = Some(dep);
                    }
                }
                Some(object) => {
                    object.waiters.push(Waiter::Task(key));
                    missing += 1;
                    self.fetch(dep, out);
                }
                None => failed = Some(dep),
            }
        }
        if let Some(task) = self.tasks.live.get_mut(key) {
            task.phase = Phase::Waiting { missing };
        }
        if let Some(dependency) = failed {
            self.fail_dependency(key, dependency, out);
        }
        failed.is_none() && missing == 0
    }

    fn fail_dependency(&mut self, key: Key, dependency: Key, out: &mut Vec<Effect>) {
        let Some(task) = self.tasks.live.get(key) else { return };
        let error = LocalError::DependencyFailed { task: task.id, function: task.function, dependency };
        self.fail(key, error, out);
    }

    fn start(&mut self, now: Time, key: Key, out: &mut Vec<Effect>) {
        if self.await_dependencies(key, out) {
            self.enqueue(now, key, false, out);
        }
    }

    pub(crate) fn dependency_ready(&mut self, now: Time, key: Key, dep: Key, error: bool, out: &mut Vec<Effect>) {
        let Some(task) = self.tasks.live.get_mut(key) else { return };
        let Phase::Waiting { missing } = &mut task.phase else { return };
        *missing -= 1;
        if error {
            self.fail_dependency(key, dep, out);
            return;
        }
        if *missing == 0 {
            match task.runs_on {
                RunsOn::Class(_) => self.enqueue(now, key, false, out),
                RunsOn::Actor(actor) => {
                    task.phase = Phase::Queued;
                    self.pump_actor(actor, out);
                }
            }
        }
    }

    /// Ends the task with an error of our own words: its returns get it as soon as the shell made the values.
    pub(crate) fn fail(&mut self, key: Key, error: LocalError, out: &mut Vec<Effect>) {
        let end = End::nowhere(&error);
        self.fail_as(key, end, error, out);
    }

    /// As `fail`, where more is known of the attempt that ends.
    pub(crate) fn fail_as(&mut self, key: Key, end: End, error: LocalError, out: &mut Vec<Effect>) {
        let Some(task) = self.tasks.live.get_mut(key) else { return };
        if matches!(task.phase, Phase::Failing { .. }) {
            return;
        }
        let (was_queued, kind, runs_on) = (task.phase == Phase::Queued, task.kind, task.runs_on);
        task.phase = Phase::Failing { left: task.returns.len() };
        let objects = task.returns.to_vec();
        self.attempt_ended(self.now, key, end, out);
        if was_queued {
            self.left_queue(key);
        }
        if objects.is_empty() {
            self.end(key, out);
        } else {
            out.push(Effect::MakeError { objects, error });
        }
        if let RunsOn::Actor(actor) = runs_on {
            if kind == CallKind::CreateActor {
                self.never_constructed(actor, out);
            }
            // Calls behind it may have waited for it.
            self.pump_actor(actor, out);
        }
    }

    pub(crate) fn error_made(&mut self, key: Key, out: &mut Vec<Effect>) {
        let Some(task) = self.tasks.live.get_mut(key) else { return };
        let Phase::Failing { left } = &mut task.phase else { return };
        *left -= 1;
        if *left == 0 {
            self.end(key, out);
        }
    }

    /// Lets go of everything the task held.
    fn end(&mut self, key: Key, out: &mut Vec<Effect>) {
        let Some(task) = self.tasks.live.remove(key) else { return };
        self.tasks.ended += 1;
        drop_payload(task.args, out);
        for held in task.deps.iter().chain(&task.contains).chain(&task.returns) {
            self.release(*held);
        }
        self.release(task.counting);
        if task.kind == CallKind::Terminate
            && let RunsOn::Actor(actor) = task.runs_on
        {
            self.forget_actor(actor);
        }
    }

    pub(crate) fn replied(&mut self, now: Time, peer: Key, reply: WireReply, out: &mut Vec<Effect>) {
        let key = Key(reply.key);
        let pushed = self.tasks.live.get(key).map(|task| task.phase);
        let lease = match pushed {
            Some(Phase::Pushed { peer: to, lease, .. }) if to == peer => lease,
            // Taken back, cancelled or repeated: what came along is settled all the same.
            Some(_) | None => {
                reply.returns.iter().for_each(|value| self.discard_return(peer, value, out));
                return;
            }
        };
        self.left_peer(now, key, peer, lease, out);
        match reply.status {
            ReplyStatus::NotStarted => {
                self.give_up_lease(lease);
                self.came_back(now, key, out);
            }
            ReplyStatus::RetryableError if self.spend_retry(key) => {
                self.observe(key, reply.ran_ns);
                self.attempt_answered(now, key, peer, &reply, out);
                reply.returns.iter().for_each(|value| self.discard_return(peer, value, out));
                self.enqueue(now, key, false, out);
            }
            ReplyStatus::Ok | ReplyStatus::Error | ReplyStatus::RetryableError => {
                self.observe(key, reply.ran_ns);
                self.attempt_answered(now, key, peer, &reply, out);
                let ok = reply.status == ReplyStatus::Ok;
                self.finish(now, key, peer, ok, &reply.returns, out);
            }
        }
        self.pump_lease(now, lease, out);
        self.pump_actors_of(peer, out);
    }

    fn finish(&mut self, now: Time, key: Key, peer: Key, ok: bool, values: &[WireValue], out: &mut Vec<Effect>) {
        let Some(task) = self.tasks.live.get(key) else { return };
        let (returns, id, kind, runs_on) = (task.returns.clone(), task.id, task.kind, task.runs_on);
        for (index, &object) in returns.iter().enumerate() {
            if let Some(value) = values.get(index) {
                let contains = self.receive_all(peer, &value.contains, out);
                self.resolve(now, object, (value.place, value.is_error), contains, out);
            } else if index > 0 && values.len() == 1 && values[0].is_error {
                self.resolve_alias(now, object, returns[0], out);
            } else {
                let missing = ObjectId::derive(id, index as u32 + 1);
                out.push(Effect::MakeError {
                    objects: vec![object],
                    error: LocalError::ObjectLost { object: missing },
                });
                if let Some(Object { origin: Origin::Owned { task }, .. }) = self.objects.get_mut(object) {
                    *task = Key::NIL;
                }
            }
        }
        for value in values.iter().skip(returns.len()) {
            self.discard_return(peer, value, out);
        }
        if kind == CallKind::CreateActor
            && let RunsOn::Actor(actor) = runs_on
        {
            self.created(actor, ok);
        }
        self.end(key, out);
    }

    /// A return nobody can get: the bytes are ours to free, the references inside ours to settle.
    fn discard_return(&mut self, peer: Key, value: &WireValue, out: &mut Vec<Effect>) {
        self.decline_value(peer, value, out);
        if let Place::Arena(extent) = value.place {
            self.free_extent(extent, out);
        }
    }

    /// One run more, if the budget has it and nobody cancelled.
    pub(crate) fn spend_retry(&mut self, key: Key) -> bool {
        let Some(task) = self.tasks.live.get_mut(key) else { return false };
        if task.cancelled.is_some() || task.retries == 0 || !matches!(task.runs_on, RunsOn::Class(_)) {
            return false;
        }
        if task.retries > 0 {
            task.retries -= 1;
        }
        true
    }

    /// It surely never ran there: again, free of charge.
    pub(crate) fn came_back(&mut self, now: Time, key: Key, out: &mut Vec<Effect>) {
        let Some(task) = self.tasks.live.get(key) else { return };
        if task.cancelled.is_some() {
            let error = LocalError::Cancelled { task: task.id };
            self.fail(key, error, out);
            return;
        }
        match task.runs_on {
            RunsOn::Class(_) => self.enqueue(now, key, true, out),
            RunsOn::Actor(actor) => self.call_came_back(actor, key, out),
        }
    }

    fn observe(&mut self, key: Key, ran_ns: u64) {
        let Some(task) = self.tasks.live.get(key) else { return };
        let Some(definition) = self.tasks.definitions.get_mut(task.function.index()) else { return };
        let ran = ran_ns.max(1);
        let first = definition.mean_ns == 0;
        definition.mean_ns = if first { ran } else { (definition.mean_ns * 7 + ran) / 8 };
        if let (true, RunsOn::Class(index)) = (first, task.runs_on) {
            self.estimate_queue(index);
        }
    }

    pub(crate) fn mean_ns(&self, function: Key) -> u64 {
        self.tasks.definitions.get(function.index()).map_or(0, |definition| definition.mean_ns)
    }

    pub(crate) fn estimate(&self, function: Key) -> u32 {
        estimate(self.mean_ns(function))
    }
}
