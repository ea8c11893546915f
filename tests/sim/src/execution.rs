//! Calls of others in a worker: taken by their claim word, run as a body, answered with values.

use crate::body::{Body, Running, Turn};
use crate::check::broken;
use crate::ghost::{raised_by, token_of};
use crate::memory::{Content, TAKEN};
use crate::random::{Random, mix};
use crate::world::World;
use iosdk_runtime_core::{CallView as Call, Input, LocalError, NewValue, ObjectState};
use iosdk_types::message::ActorDeath;
use iosdk_types::message::peer::{CallKind, Place, ReplyStatus};
use iosdk_types::{ActorId, Address, Key, ObjectId, Span};
use smallvec::{SmallVec, smallvec};

impl World {
    /// The executor is free: the next call whose claim it wins.
    pub fn next_call(&mut self, at: Address) {
        let now = self.now;
        let Some(process) = self.processes.get_mut(&at).filter(|process| process.body.is_none() && !process.ending)
        else {
            return;
        };
        let Some(call) = process.owner.take_call(now) else { return };
        let lane = self.lanes.get_mut(&(call.from, at));
        let won = lane.is_some_and(|lane| lane.claims.swap(call.claim.slot, call.claim.generation, TAKEN));
        self.trace.note(now, format_args!("{at} takes {:?}: {won}", call.task));
        if won {
            self.begin_call(at, call.key, &call);
        } else {
            self.step_owner(at, Input::ClaimLost { call: call.key });
            self.resume(at, Span(1));
        }
    }

    fn begin_call(&mut self, at: Address, key: Key, call: &Call) {
        self.calls_run += 1;
        let Some(process) = self.processes.get(&at) else { return };
        let known =
            process.owner.definition_of(call.from, call.function).and_then(|payload| process.payloads.get(payload));
        let defined = call.kind == CallKind::Terminate || known == Some(&Content::Definition);
        let args = process.payloads.get(call.args).cloned();
        if !defined {
            return self.hold(broken("TASK-1", format!("{at} runs {} without knowing its function", call.task)));
        }
        let Some(Content::Args { seed, actors }) = args else {
            return self.hold(broken("OWN-1", format!("the arguments of {} at {at} are {args:?}", call.task)));
        };
        self.check_start(at, call);
        if call.kind == CallKind::Terminate {
            self.drop_instance(at);
            return self.executed(at, key, ReplyStatus::Ok, 0, SmallVec::new());
        }
        let root = self.ghost.tasks.get(&call.task).map_or(0, |note| note.root);
        self.next_body += 1;
        let attempt = self.ghost.tasks.get(&call.task).map_or(0, |note| note.started_on.len() as u64);
        let mut random = Random::new(mix(seed) ^ attempt);
        let operations = random.below(7);
        let mut body = Body::new((at, self.next_body), random, operations, root, self.now);
        body.running = Some(Running {
            call: key,
            task: call.task,
            kind: call.kind,
            returns: call.returns,
            seed,
            depth: call.depth,
        });
        if call.kind == CallKind::CreateActor {
            self.begin_instance(at, call.task.actor());
        }
        self.take_over(at, &mut body, &call.contains, &actors, 1000);
        for dep in &call.deps {
            self.read_dependency(at, &mut body, call, dep);
        }
        if let Some(process) = self.processes.get_mut(&at) {
            process.body = Some(body);
        }
        self.resume(at, Span(1000));
    }

    fn check_start(&mut self, at: Address, call: &Call) {
        let actor = call.task.actor();
        match call.kind {
            CallKind::Terminate => return,
            CallKind::CreateActor => {
                let verdict = self.checks.act_2.born(actor, at);
                self.hold(verdict);
            }
            CallKind::Method => {
                if let Some((actor, number)) = self.ghost.tasks.get(&call.task).and_then(|note| note.method) {
                    let verdict = self.checks.act_1.runs(call.from, actor, number);
                    self.hold(verdict);
                }
            }
            CallKind::Task => {}
        }
        let note = self.ghost.tasks.get(&call.task).cloned();
        let ended = note.is_some_and(|note| {
            let owner = self.processes.get(&note.owner).map(|process| &process.owner);
            owner.is_some_and(|owner| matches!(owner.state(note.first), ObjectState::Ready { .. }))
        });
        let verdict = self.checks.task_1.started(&mut self.ghost, call.task, at, ended);
        self.hold(verdict);
    }

    /// The value of a top-level reference came along; it may be looked at for as long as the body likes.
    fn read_dependency(&mut self, at: Address, body: &mut Body, call: &Call, dep: &iosdk_runtime_core::CallDep) {
        let Some(process) = self.processes.get(&at) else { return };
        let content = match dep.place {
            Place::Inline(payload) => process.payloads.get(payload).cloned(),
            Place::Arena(extent) => self
                .nodes
                .get(&extent.holder.node)
                .and_then(|node| node.arena.read(&extent))
                .map(|stored| stored.content.clone()),
        };
        match content {
            Some(Content::Value { token: _, actors }) => {
                if let Place::Arena(extent) = dep.place
                    && dep.object != Key::NIL
                    && extent.holder.node == at.node
                {
                    self.view(at, body, dep.object, extent.offset);
                }
                self.take_over(at, body, &dep.contains, &actors, 400);
            }
            content => {
                let text =
                    format!("{} starts at {at} with a dependency at {:?} that is {content:?}", call.task, dep.place);
                self.hold(broken("OWN-1", text));
            }
        }
    }

    pub fn give_up_interrupted(&mut self, at: Address, body: &mut Body) -> Turn {
        let Some(running) = body.running else { return Turn::Over };
        let Some(process) = self.processes.get_mut(&at) else { return Turn::Over };
        let payload = process.payloads.insert(Content::Local { error: LocalError::Cancelled { task: running.task } });
        let value = NewValue { place: Place::Inline(payload), is_error: true, contains: SmallVec::new() };
        if let Some(waiting) = body.waiting.take() {
            self.step_owner(at, Input::Unwatch { object: waiting.object, waiter: waiting.waiter });
        }
        body.wanted = None;
        self.finish(at, body, ReplyStatus::Error, smallvec![value])
    }

    /// The body is through with its operations: it raises, or makes its values one after the other.
    pub fn begin_values(&mut self, at: Address, body: &mut Body) -> Turn {
        let Some(running) = body.running else { return Turn::Over };
        let raises = mix(running.seed ^ 7) % 1000 < self.settings.user.errors;
        if !raises {
            body.values = Some(Vec::new());
            return Turn::Again;
        }
        let token = raised_by(running.seed);
        let Some(process) = self.processes.get_mut(&at) else { return Turn::Over };
        let payload = process.payloads.insert(Content::Raised { token });
        let value = NewValue { place: Place::Inline(payload), is_error: true, contains: SmallVec::new() };
        // Not for ever: with endless retries it would never end.
        let attempts = self.ghost.tasks.get(&running.task).map_or(0, |note| note.started_on.len());
        let retryable = running.kind == CallKind::Task && token.is_multiple_of(2) && attempts < 4;
        let status = if retryable { ReplyStatus::RetryableError } else { ReplyStatus::Error };
        if running.kind == CallKind::CreateActor {
            let actor = running.task.actor();
            self.ghost.killed_actors.insert(actor);
            body.leaves = Some(actor);
        }
        self.finish(at, body, status, smallvec![value])
    }

    pub fn make_values(&mut self, at: Address, body: &mut Body) -> Turn {
        let Some(running) = body.running else { return Turn::Over };
        let made = body.values.as_ref().map_or(0, Vec::len);
        if made == usize::from(running.returns) {
            let values = body.values.take().unwrap_or_default();
            let leaves = running.kind == CallKind::Method && mix(running.seed ^ 11).is_multiple_of(100);
            if leaves
                && let Some(actor) =
                    self.processes.get(&at).and_then(|process| process.instance.as_ref()).map(|own| own.id)
            {
                self.ghost.killed_actors.insert(actor);
                body.leaves = Some(actor);
            }
            return self.finish(at, body, ReplyStatus::Ok, values.into());
        }
        let granted = match body.wanted {
            None => None,
            Some(wanted) => match wanted.answer {
                None => return Turn::Waits,
                Some(granted) => Some((wanted.bytes, granted)),
            },
        };
        body.wanted = None;
        // What does not fit is returned small: the body saw the error of its put and made do.
        let bytes = match granted {
            Some((bytes, true)) => bytes,
            Some((_, false)) => 1,
            None if body.random.chance(self.settings.user.big) => body.random.between(70_000, 5 << 20),
            None => 1,
        };
        let token = token_of(running.seed, made as u64);
        let caller = self.ghost.tasks.get(&running.task).map_or(at, |note| note.owner);
        let object = ObjectId::derive(running.task, made as u32 + 1);
        let inside = self.pick_returned(at, body);
        match self.new_value(at, token, bytes, caller, Some(object), inside) {
            Some(value) => {
                body.values.get_or_insert_with(Vec::new).push(value);
                Turn::Again
            }
            None if granted.is_some() => {
                self.hold(broken("STORE-1", format!("{at} was granted room in which {bytes} bytes do not fit")));
                Turn::Over
            }
            None => self.want_room(at, body, bytes),
        }
    }

    fn finish(&mut self, at: Address, body: &mut Body, status: ReplyStatus, values: SmallVec<[NewValue; 1]>) -> Turn {
        let Some(running) = body.running else { return Turn::Over };
        let ran_ns = (self.now - body.started).0;
        self.executed(at, running.call, status, ran_ns, values);
        if let Some(actor) = body.leaves.take() {
            self.actor_ends(at, actor, status);
        }
        Turn::Over
    }

    fn actor_ends(&mut self, at: Address, _actor: ActorId, status: ReplyStatus) {
        let cause =
            if status == ReplyStatus::Ok { ActorDeath::Exited } else { ActorDeath::InitFailed { error: vec![1] } };
        self.drop_instance(at);
        self.step_owner(at, Input::ActorEnds { cause });
    }

    fn executed(&mut self, at: Address, call: Key, status: ReplyStatus, ran_ns: u64, values: SmallVec<[NewValue; 1]>) {
        self.step_owner(at, Input::Executed { call, status, ran_ns, values });
    }
}
