//! PURE. The owner machine: what one process (driver or worker) knows and decides about the tasks it submitted, the objects it
//! owns or borrows, the leases it holds, the actors it calls and the calls it executes for others.
//! Invariants: OWN-1, OWN-2, TASK-1, ACT-1 (`iosdk_types::invariant`).
//!
//! Two counts rule an object's life. A hold is local (a handle, a task's argument, a container, a running call). A loan is
//! another process: the owner counts loans to borrowers until they say `Return`, and a borrower that hands a reference on
//! counts a loan of its own until the receiver says `LendAck`. Loans are counted in the step that decides to send, and the
//! receiver settles every reference of every message that reaches it, whether it then uses the message or throws it away.
//! So only a receiver's death leaves loans to be dropped, and that is done when it is judged dead.

pub mod effect;
pub mod error;
pub mod input;

mod actors;
mod borrow;
mod cancel;
mod check;
mod classes;
mod deaths;
mod executor;
mod extents;
mod history;
mod ids;
mod objects;
mod peers;
pub mod planted;
mod steal;
mod tasks;
pub mod views;
mod wire;

pub use effect::Effect;
pub use error::LocalError;
pub use executor::{CallDep, CallView};
pub use input::{Draft, Input, NewValue, Target};
pub use objects::{ObjectState, Resolved};
pub use wire::NO_ARGS;

use actors::Actors;
use classes::Classes;
use executor::Executor;
use extents::Claims;
use ids::Ids;
use iosdk_types::message::RayletToProcess;
use iosdk_types::message::peer::{Payload, PeerMessage};
use iosdk_types::{Address, JobId, Key, Machine, Slab, Time};
use objects::Object;
use peers::Peers;
use tasks::Tasks;

pub struct Owner {
    me: Address,
    ids: Ids,
    objects: Slab<Object>,
    /// How many objects got their value so far, and how many of those are errors.
    resolved: Resolved,
    tasks: Tasks,
    classes: Classes,
    actors: Actors,
    executor: Executor,
    peers: Peers,
    claims: Claims,
    /// Fetches and registrations that await an answer.
    asked: usize,
    /// Objects whose last hold just went; emptied before each step ends.
    doomed: Vec<Key>,
    /// The time of this step.
    now: Time,
    keeps_history: bool,
    /// No deadline is earlier; some may be later. `tick` computes it anew.
    due: Option<Time>,
    #[cfg(feature = "planted")]
    planted: Option<planted::Bug>,
}

impl Owner {
    pub fn new(me: Address, job: JobId) -> Self {
        Self {
            me,
            ids: Ids::new(me, job),
            objects: Slab::default(),
            resolved: Resolved::default(),
            tasks: Tasks::default(),
            classes: Classes::default(),
            actors: Actors::default(),
            executor: Executor::default(),
            peers: Peers::default(),
            claims: Claims::default(),
            asked: 0,
            doomed: Vec::new(),
            now: Time(0),
            keeps_history: false,
            due: None,
            #[cfg(feature = "planted")]
            planted: None,
        }
    }

    /// Calls pushed and not answered, fetches and registrations not answered: while there are any, somebody must look.
    pub fn in_flight(&self) -> usize {
        self.asked + self.peers.slots_in_use()
    }

    /// For those who wait for many objects: nothing of theirs has come while this stays the same.
    pub fn resolved(&self) -> Resolved {
        self.resolved
    }

    pub fn live_objects(&self) -> usize {
        self.objects.len()
    }

    pub fn live_tasks(&self) -> usize {
        self.tasks.live.len()
    }

    pub fn live_calls(&self) -> usize {
        self.executor.calls.len()
    }

    /// Nothing is held, owed, queued or running here.
    pub fn idle(&self) -> bool {
        self.live_objects() == 0 && self.live_tasks() == 0 && self.live_calls() == 0 && self.in_flight() == 0
    }

    fn wake(&mut self, at: Time) {
        if self.due.is_none_or(|due| at < due) {
            self.due = Some(at);
        }
    }

    fn peer_said(&mut self, now: Time, from: Address, message: PeerMessage, out: &mut Vec<Effect>) {
        let peer = self.peer_at(from);
        if !self.peers.may_speak(peer) {
            self.discard_message(message, out);
            return;
        }
        self.opened(now, peer, out);
        match message {
            PeerMessage::Define { function, payload } => self.learn_definition(peer, function, payload, out),
            PeerMessage::Call(call) => self.called(peer, call, out),
            PeerMessage::Reply(reply) => self.replied(now, peer, reply, out),
            PeerMessage::Fetch { object, token } => self.fetched(peer, object, token, out),
            PeerMessage::Value { token, value } => self.value_came(now, peer, token, value, out),
            PeerMessage::Register { object, token } => self.register(peer, object, token, out),
            PeerMessage::Registered { token, known } => self.registered(peer, token, known, out),
            PeerMessage::Return { object, times } => self.returned(peer, object, times),
            PeerMessage::LendAck { object, times } => self.lend_acked(peer, object, times),
            PeerMessage::Free { extent } => out.push(Effect::FreeLocal(extent)),
            PeerMessage::Cancel { key, force } => self.interrupt(peer, key, force, out),
            PeerMessage::CancelObject { object, force } => {
                if let Some(object) = self.ours(&object) {
                    self.cancel(object, force, out);
                }
            }
        }
    }

    fn raylet_said(&mut self, now: Time, message: RayletToProcess, out: &mut Vec<Effect>) {
        match message {
            RayletToProcess::Granted { class, lease, worker } => self.granted(now, class, lease, worker, out),
            RayletToProcess::Reclaim { lease } => self.reclaim(now, lease, out),
            RayletToProcess::Infeasible { class, why } => self.infeasible(class, &why, out),
            RayletToProcess::Attach { peer, pid, .. } => {
                let peer = self.peer_at(peer);
                if let Some(peer) = self.peers.get_mut(peer) {
                    peer.pid = pid;
                }
                self.opened(now, peer, out);
            }
            RayletToProcess::NoSuchPeer { peer, death } => self.no_such_peer(now, peer, death, out),
            RayletToProcess::PeerDying { peer } => self.peer_dying(peer, out),
            RayletToProcess::PeerDead { peer, death } => self.peer_dead(peer, death, out),
            RayletToProcess::ActorAlive { actor, address } => self.actor_alive(actor, address, out),
            RayletToProcess::ActorDead { actor, cause } => self.actor_dead(actor, cause, out),
            RayletToProcess::Exit { reason } => {
                self.answer_not_started(out);
                out.push(Effect::Exit { reason });
            }
            RayletToProcess::Retire => {
                self.answer_not_started(out);
                self.executor.retiring = true;
            }
            // Identity, arena extents, answers to queries, descriptions and log lines are the shell's: no decision of ours hangs on them.
            RayletToProcess::Welcome { .. }
            | RayletToProcess::ExtentGranted { .. }
            | RayletToProcess::ExtentRefused { .. }
            | RayletToProcess::Answer { .. }
            | RayletToProcess::Log { .. }
            | RayletToProcess::MakeRoom
            | RayletToProcess::Describe { .. } => {}
        }
    }
}

impl Machine for Owner {
    type Input = Input;
    type Effect = Effect;

    fn step(&mut self, now: Time, input: Input, out: &mut Vec<Effect>) {
        self.now = now;
        match input {
            Input::Submit(draft) => self.submit(now, draft, out),
            Input::CreateActor { spec, draft } => self.create_actor(spec, draft, out),
            Input::AdoptActor { actor, object } => self.adopt_actor(actor, object, out),
            Input::Put(value) => self.put(value, out),
            Input::Retain { objects } => objects.into_iter().for_each(|object| self.retain(object)),
            Input::Release { objects } => objects.into_iter().for_each(|object| self.release_handle(object)),
            Input::Adopt { reference } => self.adopt(reference, out),
            Input::Watch { object, waiter } => self.watch(object, waiter, out),
            Input::Unwatch { object, waiter } => self.unwatch(object, waiter),
            Input::Cancel { object, force } => self.cancel(object, force, out),
            Input::KillActor { actor } => self.kill_actor(actor, out),
            Input::Executed { call, status, ran_ns, values } => self.executed(call, status, ran_ns, values, out),
            Input::ClaimLost { call } => self.claim_lost(call, out),
            Input::ActorEnds { cause } => self.actor_ends(cause, out),
            Input::FromPeer { from, message } => self.peer_said(now, from, message, out),
            Input::FromRaylet(message) => self.raylet_said(now, message, out),
            Input::LanePoisoned { peer } => self.lane_poisoned(peer, out),
            Input::Judged { peer, never_started } => self.judged(now, peer, never_started, out),
            Input::Retracted { task, won } => self.retracted(now, task, won, out),
        }
        self.bury(out);
        if self.executor.retiring && self.idle() {
            self.executor.retiring = false;
            out.push(Effect::Exit { reason: "idle".to_owned() });
        }
    }

    fn deadline(&self) -> Option<Time> {
        self.due
    }

    fn tick(&mut self, now: Time, out: &mut Vec<Effect>) {
        self.now = now;
        self.due = None;
        self.tick_leases(now, out);
        self.tick_demand(now, out);
        self.tick_actors(now, out);
        self.bury(out);
    }
}

/// The key of entry `index` in a table that only grows.
fn dense(index: usize) -> Key {
    Key(1 << 32 | index as u64)
}

fn drop_payload(payload: Payload, out: &mut Vec<Effect>) {
    if payload != NO_ARGS {
        out.push(Effect::DropPayload(payload));
    }
}
