//! Doing what the machine asks: the one exhaustive match over its effects.

use crate::core::{After, Core, FollowUp};
use crate::record::ErrorRecord;
use iosdk_complain::complain;
use iosdk_net::doorbell::Urgency;
use iosdk_runtime_core::{Effect, Input, LocalError, NO_ARGS, ObjectState};
use iosdk_types::message::ProcessToRaylet;
use iosdk_types::message::peer::{PeerMessage, Place};
use iosdk_types::{Address, Key, Time};

impl Core {
    pub(crate) fn perform(&mut self, now: Time, effect: Effect) {
        match effect {
            Effect::Submitted { task, first } => self.submitted = Some((task, first)),
            Effect::Opened { object } => self.opened = Some(object),
            Effect::ActorOpened { actor } => self.actor_opened = Some(actor),
            Effect::Ready { object, waiter } => {
                let is_error = matches!(
                    self.owner.state(object),
                    ObjectState::Ready { is_error: true, .. } | ObjectState::Unknown
                );
                self.waiters.ready(waiter, is_error);
            }
            Effect::PushCall { to, task } => self.push_call(now, to, task),
            Effect::Send { to, message } => self.send(now, to, &message),
            Effect::Retract { task, peer } => {
                let won = self.links.retract(peer, task);
                self.step(now, Input::Retracted { task, won });
            }
            Effect::JudgeClaims { peer } => {
                let never_started = self.links.judge(peer);
                self.step(now, Input::Judged { peer, never_started });
            }
            Effect::FreeClaim { task, peer } => self.links.free_claim(peer, task),
            Effect::ToRaylet(message) => self.outbox.push(message),
            Effect::Detach { peer } => self.links.detach(peer),
            Effect::AttemptEnded { function, record } => self.attempt_ended(function, &record),
            // Executors look for calls whenever they drive; a parked one is told.
            Effect::CallsReady => self.waiters.wake_all(),
            Effect::Interrupt { call, force } => self.after.push(After::Interrupt { call, force }),
            Effect::Exit { reason } => {
                self.exit.get_or_insert(reason);
                self.waiters.wake_all();
            }
            Effect::DropPayload(payload) => self.payloads.drop_payload(payload),
            Effect::MakeError { objects, error } => self.make_error(now, objects, error),
            Effect::FreeLocal(extent) => {
                if self.store.free(&extent).is_ok() {
                    if now < self.keep_none_until {
                        self.store.drain();
                    }
                    self.give_back();
                }
            }
            // Its extent goes back as a whole, when the machine says `Unclaim`.
            Effect::FreeOrphan(_) => {}
        }
    }

    /// True when there was something to give.
    pub(crate) fn give_back(&mut self) -> bool {
        let returns = self.store.take_returns();
        let any = !returns.is_empty();
        self.outbox.extend(returns.into_iter().map(|offset| ProcessToRaylet::ExtentReturn { offset }));
        any
    }

    fn push_call(&mut self, now: Time, to: Address, task: Key) {
        let Some(claim) = self.links.open_claim(to, task) else {
            // The peer went away between the decision and now, and nothing was written.
            self.step(now, Input::Retracted { task, won: true });
            return;
        };
        match self.owner.wire_call(task, claim) {
            Some(call) => self.send(now, to, &PeerMessage::Call(call)),
            // It ended meanwhile: the slot is all there was.
            None => self.links.free_claim(to, task),
        }
    }

    fn send(&mut self, now: Time, to: Address, message: &PeerMessage) {
        let payloads = &self.payloads;
        let bytes = |payload| if payload == NO_ARGS { &[][..] } else { payloads.bytes(payload) };
        if !self.links.push(to, message, bytes, urgency(message)) {
            // Whoever waits for its answer must hear of it: the peer counts as dead.
            complain!("iosdk: a message to process {to} is longer than a lane carries; giving up the connection");
            self.step(now, Input::LanePoisoned { peer: to });
            self.links.detach(to);
        }
    }

    fn make_error(&mut self, now: Time, objects: Vec<Key>, error: LocalError) {
        let bytes = self.record(error).to_bytes();
        for object in objects {
            let payload = self.payloads.insert(&bytes);
            self.follow_up(now, FollowUp::Fail { object, payload });
        }
    }

    fn record(&self, error: LocalError) -> ErrorRecord {
        match error {
            LocalError::WorkerCrashed { task, function, attempts } => {
                ErrorRecord::WorkerCrashed { task: task.hex(), function: self.name_of(function), attempts }
            }
            LocalError::ActorDied { actor, cause } => ErrorRecord::ActorDied {
                actor: actor.hex(),
                class_name: self.actor_names.get(&actor).cloned().unwrap_or_default(),
                cause,
            },
            LocalError::Cancelled { task } => ErrorRecord::Cancelled { task: task.hex(), function: String::new() },
            LocalError::OwnerDied { object, owner, death } => {
                ErrorRecord::OwnerDied { object: object.hex(), owner: owner.to_string(), death }
            }
            LocalError::ObjectLost { object } => ErrorRecord::ObjectLost { object: object.hex() },
            LocalError::Infeasible { task: _, function, why } => {
                ErrorRecord::Infeasible { function: self.name_of(function), why }
            }
            LocalError::DependencyFailed { task: _, function, dependency } => {
                let cause = match self.owner.state(dependency) {
                    ObjectState::Ready { place: Place::Inline(payload), .. } => self.payloads.bytes(payload).to_vec(),
                    ObjectState::Ready { place: Place::Arena(_), .. } | ObjectState::Pending | ObjectState::Unknown => {
                        ErrorRecord::ObjectLost { object: String::new() }.to_bytes()
                    }
                };
                ErrorRecord::DependencyFailed { function: self.name_of(function), cause }
            }
        }
    }
}

/// Calls and replies are found by whoever waits or executes; what others wait for, memory included, is seen to however busy user
/// code is.
fn urgency(message: &PeerMessage) -> Urgency {
    match message {
        PeerMessage::Define { .. } | PeerMessage::Call(_) | PeerMessage::Reply(_) => Urgency::Lazy,
        PeerMessage::Return { .. }
        | PeerMessage::LendAck { .. }
        | PeerMessage::Free { .. }
        | PeerMessage::Fetch { .. }
        | PeerMessage::Value { .. }
        | PeerMessage::Register { .. }
        | PeerMessage::Registered { .. }
        | PeerMessage::Cancel { .. }
        | PeerMessage::CancelObject { .. } => Urgency::Urgent,
    }
}
