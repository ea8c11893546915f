//! Actors this process calls: where each is, the calls that wait for it in order, and how they end when it does.
//!
//! An actor's handles are references to its counting object, so the object's counts are the handle counts. A call holds the
//! counting object until it has ended. When the owner's goes, `Terminate` is pushed: nothing can be left to come after it.

use crate::planted::Bug;
use crate::tasks::{Phase, RunsOn};
use crate::{Draft, Effect, LocalError, NO_ARGS, Owner, Target};
use iosdk_types::message::peer::CallKind;
use iosdk_types::message::{ActorDeath, ProcessToRaylet};
use iosdk_types::spec::ActorSpec;
use iosdk_types::{ActorId, Address, Death, Key, Map, Slab, Span, Time};
use smallvec::SmallVec;
use std::collections::VecDeque;

/// How long the cause of an actor's end may be in coming after its process is gone; then the process's own death is the cause.
const CAUSE_WAIT: Span = Span::from_millis(500);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// Nobody asked yet.
    Unasked,
    /// Being created, or asked for.
    Awaited,
    Alive {
        peer: Key,
    },
    Dead {
        cause: ActorDeath,
    },
}

pub(crate) struct Actor {
    pub(crate) id: ActorId,
    pub(crate) counting: Key,
    pub(crate) owned: bool,
    pub(crate) at: Whereabouts,
    /// Calls not pushed yet, in the order they were made. Those that ended meanwhile are skipped.
    pub(crate) queue: VecDeque<Key>,
    pub(crate) in_flight: Vec<Key>,
    /// It said that it is ending (or never began): nothing is pushed any more, the cause is on its way.
    ending: bool,
    /// Its process is gone and judged; what was there waits for the cause.
    lost: Option<(Death, Time)>,
}

#[derive(Default)]
pub(crate) struct Actors {
    pub(crate) all: Slab<Actor>,
    pub(crate) by_id: Map<ActorId, Key>,
}

impl Owner {
    fn open_actor(&mut self, id: ActorId, owned: bool, at: Whereabouts) -> Key {
        let actor = self.actors.all.insert(Actor {
            id,
            counting: Key::NIL,
            owned,
            at,
            queue: VecDeque::new(),
            in_flight: Vec::new(),
            ending: false,
            lost: None,
        });
        self.actors.by_id.insert(id, actor);
        actor
    }

    fn count_by(&mut self, actor: Key, counting: Key) {
        if let Some(entry) = self.actors.all.get_mut(actor) {
            entry.counting = counting;
        }
        if let Some(object) = self.objects.get_mut(counting) {
            object.actor = actor;
        }
    }

    pub(crate) fn create_actor(&mut self, spec: ActorSpec, mut draft: Draft, out: &mut Vec<Effect>) {
        draft.returns = 1;
        draft.retries = 0;
        let actor = self.open_actor(spec.actor, true, Whereabouts::Awaited);
        out.push(Effect::ActorOpened { actor });
        let (id, depth) = (self.ids.task(spec.actor), self.submit_depth());
        out.push(Effect::ToRaylet(ProcessToRaylet::CreateActor { spec }));
        let task = self.open(id, CallKind::CreateActor, RunsOn::Actor(actor), depth, Key::NIL, draft);
        self.say_submitted(task, out);
        if let Some(&counting) = self.returns(task).first() {
            self.count_by(actor, counting);
        }
        self.start_method(actor, task, out);
    }

    pub(crate) fn adopt_actor(&mut self, id: ActorId, object: Key, out: &mut Vec<Effect>) {
        let actor = match self.actors.by_id.get(&id) {
            Some(&actor) => actor,
            None => {
                let actor = self.open_actor(id, false, Whereabouts::Unasked);
                self.count_by(actor, object);
                actor
            }
        };
        out.push(Effect::ActorOpened { actor });
    }

    pub(crate) fn start_method(&mut self, key: Key, task: Key, out: &mut Vec<Effect>) {
        let ready = self.await_dependencies(task, out);
        let Some(actor) = self.actors.all.get_mut(key) else { return };
        match &actor.at {
            Whereabouts::Dead { cause } => {
                let error = LocalError::ActorDied { actor: actor.id, cause: cause.clone() };
                self.fail(task, error, out);
                return;
            }
            Whereabouts::Unasked => {
                actor.at = Whereabouts::Awaited;
                out.push(Effect::ToRaylet(ProcessToRaylet::ResolveActor { actor: actor.id }));
            }
            Whereabouts::Awaited | Whereabouts::Alive { .. } => {}
        }
        actor.queue.push_back(task);
        if ready {
            if let Some(task) = self.tasks.live.get_mut(task) {
                task.phase = Phase::Queued;
            }
            self.pump_actor(key, out);
        }
    }

    /// Pushes calls in the order they were made; one that waits for its arguments holds up those after it.
    pub(crate) fn pump_actor(&mut self, key: Key, out: &mut Vec<Effect>) {
        let reorders = self.has_bug(Bug::ReorderActorCalls);
        let Some(Actor { at: Whereabouts::Alive { peer }, ending: false, .. }) = self.actors.all.get(key) else {
            return;
        };
        let peer = *peer;
        let mut at = 0;
        while self.peers.get(peer).is_some_and(|peer| peer.takes_calls()) {
            let Some(actor) = self.actors.all.get_mut(key) else { return };
            let Some(&task) = actor.queue.get(at) else { return };
            match self.tasks.live.get(task).map(|task| task.phase) {
                None | Some(Phase::Failing { .. }) => {
                    actor.queue.remove(at);
                }
                Some(Phase::Queued) => {
                    actor.queue.remove(at);
                    actor.in_flight.push(task);
                    self.push_call(task, peer, Key::NIL, out);
                }
                Some(Phase::Waiting { .. }) if reorders => at += 1,
                Some(Phase::Waiting { .. } | Phase::Pushed { .. }) => return,
            }
        }
    }

    pub(crate) fn pump_actors_of(&mut self, peer: Key, out: &mut Vec<Effect>) {
        let Some(peer) = self.peers.get(peer) else { return };
        for actor in SmallVec::<[Key; 2]>::from_slice(&peer.actors) {
            self.pump_actor(actor, out);
        }
    }

    /// A call is at its actor no more.
    pub(crate) fn left_actor(&mut self, task: Key) {
        let Some(RunsOn::Actor(actor)) = self.tasks.live.get(task).map(|task| task.runs_on) else { return };
        let Some(actor) = self.actors.all.get_mut(actor) else { return };
        if let Some(at) = actor.in_flight.iter().position(|other| *other == task) {
            actor.in_flight.remove(at);
        }
    }

    /// A call the actor never started, because it is ending: it fails with the cause, which is on its way.
    pub(crate) fn call_came_back(&mut self, key: Key, task: Key, out: &mut Vec<Effect>) {
        let Some(actor) = self.actors.all.get_mut(key) else { return };
        if let Whereabouts::Dead { cause } = &actor.at {
            let error = LocalError::ActorDied { actor: actor.id, cause: cause.clone() };
            self.fail(task, error, out);
            return;
        }
        actor.ending = true;
        actor.queue.push_front(task);
        if let Some(task) = self.tasks.live.get_mut(task) {
            task.phase = Phase::Queued;
        }
    }

    /// The reply to the creation call came.
    pub(crate) fn created(&mut self, actor: Key, ok: bool) {
        if let Some(actor) = self.actors.all.get_mut(actor) {
            actor.ending |= !ok;
        }
    }

    pub(crate) fn actor_alive(&mut self, id: ActorId, address: Address, out: &mut Vec<Effect>) {
        let Some(&key) = self.actors.by_id.get(&id) else { return };
        if self.actors.all.get(key).is_none_or(|actor| actor.at != Whereabouts::Awaited) {
            return;
        }
        let peer = self.peer_at(address);
        if let Some(actor) = self.actors.all.get_mut(key) {
            actor.at = Whereabouts::Alive { peer };
        }
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.actors.push(key);
        }
        self.connect(peer, out);
        self.pump_actor(key, out);
    }

    pub(crate) fn actor_dead(&mut self, id: ActorId, cause: ActorDeath, out: &mut Vec<Effect>) {
        let Some(&key) = self.actors.by_id.get(&id) else { return };
        self.end_actor(key, cause, out);
    }

    pub(crate) fn kill_actor(&mut self, key: Key, out: &mut Vec<Effect>) {
        let Some(actor) = self.actors.all.get(key) else { return };
        if matches!(actor.at, Whereabouts::Dead { .. }) {
            return;
        }
        out.push(Effect::ToRaylet(ProcessToRaylet::KillActor { actor: actor.id, no_restart: true }));
        self.end_actor(key, ActorDeath::Killed, out);
    }

    /// The creation call failed before it was pushed (an argument of it did): its process would wait for it for ever.
    pub(crate) fn never_constructed(&mut self, key: Key, out: &mut Vec<Effect>) {
        let Some(actor) = self.actors.all.get(key) else { return };
        if !matches!(actor.at, Whereabouts::Dead { .. }) {
            out.push(Effect::ToRaylet(ProcessToRaylet::KillActor { actor: actor.id, no_restart: true }));
            self.end_actor(key, ActorDeath::InitFailed { error: Vec::new() }, out);
        }
    }

    /// No more calls. Those that wait fail now; those at its process may still be answered until that is judged dead.
    fn end_actor(&mut self, key: Key, cause: ActorDeath, out: &mut Vec<Effect>) {
        let Some(actor) = self.actors.all.get_mut(key) else { return };
        let peer = match std::mem::replace(&mut actor.at, Whereabouts::Dead { cause: cause.clone() }) {
            Whereabouts::Dead { cause } => {
                // The first cause stays: what this process asked for, or was told first.
                actor.at = Whereabouts::Dead { cause };
                None
            }
            Whereabouts::Alive { peer } => Some(peer),
            Whereabouts::Unasked | Whereabouts::Awaited => None,
        };
        let mut failed: Vec<Key> = actor.queue.drain(..).collect();
        let unreachable = peer.is_some_and(|peer| !self.peers.all.contains(peer));
        let Some(actor) = self.actors.all.get_mut(key) else { return };
        if unreachable || actor.lost.take().is_some() {
            failed.append(&mut actor.in_flight);
        }
        let id = actor.id;
        for task in failed {
            self.fail(task, LocalError::ActorDied { actor: id, cause: cause.clone() }, out);
        }
        let over = |actor: &Actor| actor.owned && actor.in_flight.is_empty() && !self.objects.contains(actor.counting);
        if self.actors.all.get(key).is_some_and(over) {
            self.forget_actor(key);
        }
    }

    /// Its process is dead and judged. The cause is told by the GCS; if it is not here yet, the calls wait for it a little.
    pub(crate) fn actor_process_died(&mut self, now: Time, key: Key, death: &Death, out: &mut Vec<Effect>) {
        let Some(actor) = self.actors.all.get_mut(key) else { return };
        actor.lost = Some((death.clone(), now + CAUSE_WAIT));
        if let Whereabouts::Dead { cause } = &actor.at {
            let cause = cause.clone();
            self.end_actor(key, cause, out);
        } else {
            self.wake(now + CAUSE_WAIT);
        }
    }

    pub(crate) fn tick_actors(&mut self, now: Time, out: &mut Vec<Effect>) {
        let lost: Vec<(Key, Death, Time)> = self
            .actors
            .all
            .iter()
            .filter_map(|(key, actor)| actor.lost.as_ref().map(|(death, until)| (key, death.clone(), *until)))
            .collect();
        for (key, death, until) in lost {
            if until <= now {
                self.end_actor(key, ActorDeath::Process(death), out);
            } else {
                self.wake(until);
            }
        }
    }

    /// The counting object went: nobody anywhere has a handle, and no call is left.
    pub(crate) fn actor_unreferenced(&mut self, key: Key, out: &mut Vec<Effect>) {
        let Some(actor) = self.actors.all.get(key) else { return };
        if !actor.owned || matches!(actor.at, Whereabouts::Dead { .. }) {
            self.forget_actor(key);
            return;
        }
        if actor.ending || actor.lost.is_some() {
            return;
        }
        let id = self.ids.task(actor.id);
        let draft = Draft {
            target: Target::Method { actor: key },
            function: Key::NIL,
            args: NO_ARGS,
            deps: SmallVec::new(),
            contains: SmallVec::new(),
            returns: 0,
            retries: 0,
        };
        let depth = self.submit_depth();
        let task = self.open(id, CallKind::Terminate, RunsOn::Actor(key), depth, Key::NIL, draft);
        self.start_method(key, task, out);
    }

    pub(crate) fn forget_actor(&mut self, key: Key) {
        if let Some(actor) = self.actors.all.remove(key)
            && let Whereabouts::Alive { peer } = actor.at
            && let Some(peer) = self.peers.get_mut(peer)
        {
            peer.actors.retain(|other| *other != key);
        }
        self.actors.by_id.retain(|_, other| *other != key);
    }
}
