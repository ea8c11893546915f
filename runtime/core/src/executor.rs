//! Others' calls in this process: their queue, the ones that run, the answers.
//!
//! References in a call are taken over when it arrives. A call whose claim was lost, or that this process will never start, lets
//! go of them like one that ran.

use crate::planted::Bug;
use crate::{Effect, NewValue, Owner, drop_payload};
use iosdk_types::message::peer::{
    CallKind, Claim, Payload, PeerMessage, Place, ReplyStatus, WireCall, WireReply, WireValue,
};
use iosdk_types::message::{ActorDeath, ProcessToRaylet};
use iosdk_types::{ActorId, Address, Key, Slab, TaskId, Time};
use smallvec::SmallVec;
use std::collections::VecDeque;

/// A call of another process, as the shell needs it to run it.
#[derive(Clone, Debug)]
pub struct CallView {
    pub key: Key,
    pub from: Address,
    pub claim: Claim,
    pub kind: CallKind,
    /// The caller's number of it (`Owner::definition_of`).
    pub function: u32,
    pub task: TaskId,
    pub depth: u32,
    pub returns: u16,
    pub args: Payload,
    /// Values of the top-level references, in order.
    pub deps: SmallVec<[CallDep; 1]>,
    /// References inside the arguments, in pickle order, held until the call is answered.
    pub contains: SmallVec<[Key; 2]>,
    /// When it was taken.
    pub since: Time,
}

#[derive(Clone, Debug)]
pub struct CallDep {
    pub place: Place,
    pub is_error: bool,
    /// The reference that keeps the bytes alive when they lie in the arena (views `Retain` it); NIL for inline values.
    pub object: Key,
    pub contains: SmallVec<[Key; 2]>,
}

pub(crate) struct Call {
    pub(crate) peer: Key,
    /// The caller's key of the task.
    pub(crate) task_key: u64,
    pub(crate) running: bool,
    pub(crate) view: CallView,
}

#[derive(Default)]
pub(crate) struct Executor {
    pub(crate) calls: Slab<Call>,
    /// In order of arrival; what was thrown away meanwhile is skipped.
    pub(crate) ready: VecDeque<Key>,
    /// Method calls that came before the actor was constructed.
    pub(crate) held: VecDeque<Key>,
    pub(crate) running: Vec<Key>,
    actor: Option<ActorId>,
    constructed: bool,
    ending: bool,
    /// Leaves once nothing here is in use.
    pub(crate) retiring: bool,
}

impl Owner {
    pub(crate) fn called(&mut self, peer: Key, wire: WireCall, out: &mut Vec<Effect>) {
        let Some(from) = self.peers.get(peer).map(|peer| peer.address) else { return };
        let contains = self.receive_all(peer, &wire.contains, out);
        let mut deps = SmallVec::new();
        for dep in &wire.deps {
            let object = dep.reference.as_ref().map_or(Key::NIL, |reference| self.receive(peer, reference, out));
            let contains = self.receive_all(peer, &dep.value.contains, out);
            deps.push(CallDep { place: dep.value.place, is_error: dep.value.is_error, object, contains });
        }
        let view = CallView {
            key: Key::NIL,
            from,
            claim: wire.claim,
            kind: wire.kind,
            function: wire.function,
            task: wire.task,
            depth: wire.depth,
            returns: wire.returns,
            args: wire.args,
            deps,
            contains,
            since: Time(0),
        };
        let key = self.executor.calls.insert(Call { peer, task_key: wire.key, running: false, view });
        if let Some(call) = self.executor.calls.get_mut(key) {
            call.view.key = key;
        }
        if wire.kind == CallKind::CreateActor {
            self.executor.actor = Some(wire.task.actor());
        }
        if self.executor.ending {
            self.answer_one_not_started(key, out);
        } else if matches!(wire.kind, CallKind::Method | CallKind::Terminate) && !self.executor.constructed {
            self.executor.held.push_back(key);
        } else {
            self.executor.ready.push_back(key);
            if self.executor.ready.len() == 1 {
                out.push(Effect::CallsReady);
            }
        }
    }

    /// There may be a call to take.
    pub fn has_ready_call(&self) -> bool {
        !self.executor.ready.is_empty()
    }

    pub fn call(&self, call: Key) -> Option<&CallView> {
        self.executor.calls.get(call).map(|call| &call.view)
    }

    /// The depth of tasks submitted now: 0 in a driver, one more than the running call's in a worker.
    pub fn submit_depth(&self) -> u32 {
        let running = self.executor.running.last().and_then(|call| self.executor.calls.get(*call));
        running.map_or(0, |call| call.view.depth + 1)
    }

    /// The next call to execute, in order of arrival. The shell claims its word next; if that is lost, `Input::ClaimLost`.
    /// Several may be taken at a time; `Terminate` waits until none runs.
    pub fn take_call(&mut self, now: Time) -> Option<CallView> {
        loop {
            let &key = self.executor.ready.front()?;
            let Some(call) = self.executor.calls.get_mut(key) else {
                self.executor.ready.pop_front();
                continue;
            };
            if call.view.kind == CallKind::Terminate && !self.executor.running.is_empty() {
                return None;
            }
            call.running = true;
            call.view.since = now;
            self.executor.ready.pop_front();
            self.executor.running.push(key);
            return Some(call.view.clone());
        }
    }

    pub(crate) fn executed(
        &mut self,
        key: Key,
        status: ReplyStatus,
        ran_ns: u64,
        values: SmallVec<[NewValue; 1]>,
        out: &mut Vec<Effect>,
    ) {
        let Some(call) = self.executor.calls.get(key) else {
            values.iter().for_each(|value| drop_value(value, out));
            return;
        };
        let (peer, task_key, kind) = (call.peer, call.task_key, call.view.kind);
        if self.peers.may_speak(peer) {
            let mut returns = SmallVec::new();
            for value in &values {
                for &inner in &value.contains {
                    self.lend(inner, peer);
                }
                let contains = self.describe_all(&value.contains);
                returns.push(WireValue { place: value.place, is_error: value.is_error, contains });
            }
            let reply = PeerMessage::Reply(WireReply { key: task_key, status, ran_ns, returns });
            self.send(peer, reply, out);
            for value in &values {
                if let Place::Inline(payload) = value.place {
                    drop_payload(payload, out);
                }
            }
        } else {
            values.iter().for_each(|value| drop_value(value, out));
        }
        self.forget_call(key, out);
        match kind {
            CallKind::CreateActor if status == ReplyStatus::Ok => self.constructed(out),
            CallKind::Terminate => self.actor_ends(ActorDeath::OutOfScope, out),
            CallKind::Task | CallKind::Method | CallKind::CreateActor => {}
        }
    }

    fn constructed(&mut self, out: &mut Vec<Effect>) {
        let executor = &mut self.executor;
        executor.constructed = true;
        if let Some(actor) = executor.actor {
            out.push(Effect::ToRaylet(ProcessToRaylet::ActorState { actor, ended: None }));
        }
        let was_empty = executor.ready.is_empty();
        executor.ready.append(&mut executor.held);
        if was_empty && !executor.ready.is_empty() {
            out.push(Effect::CallsReady);
        }
    }

    /// The caller took it back before this process could start it.
    pub(crate) fn claim_lost(&mut self, key: Key, out: &mut Vec<Effect>) {
        if self.has_bug(Bug::LeakOnRetract)
            && let Some(call) = self.executor.calls.get_mut(key)
        {
            let leaked = std::mem::take(&mut call.view.contains);
            leaked.iter().for_each(|inner| self.retain(*inner));
            leaked.iter().for_each(|inner| self.release(*inner));
        }
        self.forget_call(key, out);
    }

    /// Gives up a call, answered or not, with all it held.
    pub(crate) fn forget_call(&mut self, key: Key, out: &mut Vec<Effect>) {
        let Some(call) = self.executor.calls.remove(key) else { return };
        if call.running {
            self.executor.running.retain(|other| *other != key);
            // `Terminate` may have waited for this one.
            if self.executor.running.is_empty() && !self.executor.ready.is_empty() {
                out.push(Effect::CallsReady);
            }
        }
        drop_payload(call.view.args, out);
        for dep in call.view.deps {
            if let Place::Inline(payload) = dep.place {
                drop_payload(payload, out);
            }
            dep.contains.iter().for_each(|inner| self.release(*inner));
            self.release(dep.object);
        }
        call.view.contains.iter().for_each(|inner| self.release(*inner));
    }

    fn answer_one_not_started(&mut self, key: Key, out: &mut Vec<Effect>) {
        let Some(call) = self.executor.calls.get(key) else { return };
        let reply =
            WireReply { key: call.task_key, status: ReplyStatus::NotStarted, ran_ns: 0, returns: SmallVec::new() };
        let peer = call.peer;
        self.send(peer, PeerMessage::Reply(reply), out);
        self.forget_call(key, out);
    }

    /// The process ends: whatever has not started goes back, and so does what still comes.
    pub(crate) fn answer_not_started(&mut self, out: &mut Vec<Effect>) {
        self.executor.ending = true;
        let queued: Vec<Key> = self.executor.ready.drain(..).collect();
        let held: Vec<Key> = self.executor.held.drain(..).collect();
        for key in queued.into_iter().chain(held) {
            self.answer_one_not_started(key, out);
        }
    }

    pub(crate) fn actor_ends(&mut self, cause: ActorDeath, out: &mut Vec<Effect>) {
        let reason = match &cause {
            ActorDeath::InitFailed { .. } => "its constructor raised",
            ActorDeath::Killed => "killed",
            ActorDeath::OutOfScope => "no handle is left",
            ActorDeath::Process(_) => "its process ended",
            ActorDeath::OwnerDied(_) => "its owner died",
            ActorDeath::NodeDied => "its node died",
            ActorDeath::Infeasible { .. } => "no node can hold it",
            ActorDeath::Exited => "it asked to end",
        };
        if let Some(actor) = self.executor.actor {
            out.push(Effect::ToRaylet(ProcessToRaylet::ActorState { actor, ended: Some(cause) }));
        }
        self.answer_not_started(out);
        out.push(Effect::Exit { reason: reason.to_owned() });
    }

    /// The caller wants it stopped. Queued calls are taken back by their claim, so this is for one that runs.
    pub(crate) fn interrupt(&mut self, peer: Key, task_key: u64, force: bool, out: &mut Vec<Effect>) {
        let running = self.executor.running.iter().find(|key| {
            self.executor.calls.get(**key).is_some_and(|call| call.peer == peer && call.task_key == task_key)
        });
        if let Some(&call) = running {
            out.push(Effect::Interrupt { call, force });
        }
    }

    /// The caller died: nobody waits for its calls. One that runs is answered to nobody.
    pub(crate) fn drop_calls_of(&mut self, peer: Key, out: &mut Vec<Effect>) {
        let queued = self.executor.calls.iter().filter(|(_, call)| call.peer == peer && !call.running);
        let keys: Vec<Key> = queued.map(|(key, _)| key).collect();
        self.executor.ready.retain(|key| !keys.contains(key));
        self.executor.held.retain(|key| !keys.contains(key));
        for key in keys {
            self.forget_call(key, out);
        }
    }
}

/// A value that nobody will get.
fn drop_value(value: &NewValue, out: &mut Vec<Effect>) {
    match value.place {
        Place::Inline(payload) => drop_payload(payload, out),
        Place::Arena(extent) => out.push(Effect::FreeLocal(extent)),
    }
}
