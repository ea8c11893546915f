//! The shell of an owner machine: steps it, performs what it asks for, and moves messages between lanes and machines.

use crate::check::broken;
use crate::check::own_1::{dropped_payload, got_failure};
use crate::count;
use crate::memory::{Content, READY, RETRACTED};
use crate::process::Process;
use crate::random::mix;
use crate::schedule::{Event, Frame, How};
use crate::wire;
use crate::world::World;
use iosdk_runtime_core::{Effect, Input, LocalError, NO_ARGS};
use iosdk_types::message::peer::{Claim, PeerMessage};
use iosdk_types::message::{ProcessToRaylet, RayletToProcess};
use iosdk_types::{Address, Key, Machine, Span};
use std::collections::VecDeque;

/// What a step of the local API answers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answers {
    pub task: Option<Key>,
    pub object: Option<Key>,
    pub actor: Option<Key>,
}

/// What the effects of one step leave to do, besides what was scheduled.
#[derive(Default)]
struct Follow {
    inputs: VecDeque<Input>,
    effects: VecDeque<Effect>,
    answers: Answers,
}

impl World {
    /// Steps the machine of a process, and again with whatever its effects answer at once.
    pub fn step_owner(&mut self, at: Address, input: Input) -> Answers {
        let mut follow = Follow::default();
        follow.inputs.push_back(input);
        while let Some(input) = follow.inputs.pop_front() {
            let now = self.now;
            let Some(process) = self.processes.get_mut(&at) else { break };
            self.counts.add(count::owner_input::of(&input));
            self.trace.note(now, format_args!("{at} <- {input:?}"));
            let mut effects = Vec::new();
            process.owner.step(now, input, &mut effects);
            follow.effects.extend(effects);
            self.perform(at, &mut follow);
        }
        self.settle_owner(at);
        follow.answers
    }

    pub fn tick_owner(&mut self, at: Address) {
        let now = self.now;
        // An earlier deadline was arranged since: that tick is the valid one, or each would arrange a next one for ever.
        let Some(process) = self.processes.get_mut(&at).filter(|process| process.tick_at == Some(now)) else { return };
        process.tick_at = None;
        let mut follow = Follow::default();
        if process.owner.deadline().is_some_and(|deadline| deadline <= now) {
            let mut effects = Vec::new();
            process.owner.tick(now, &mut effects);
            follow.effects.extend(effects);
            self.perform(at, &mut follow);
            while let Some(input) = follow.inputs.pop_front() {
                self.step_owner(at, input);
            }
        }
        self.settle_owner(at);
    }

    /// Performs effects that came out of a call that is no step.
    pub fn perform_effects(&mut self, at: Address, effects: Vec<Effect>) {
        let mut follow = Follow { effects: effects.into(), ..Follow::default() };
        self.perform(at, &mut follow);
        while let Some(input) = follow.inputs.pop_front() {
            self.step_owner(at, input);
        }
        self.settle_owner(at);
    }

    /// After a step: the machine's state must be sane and its deadline arranged.
    fn settle_owner(&mut self, at: Address) {
        let Some(process) = self.processes.get_mut(&at) else { return };
        let sane = if self.trace.events % 512 < 2 { process.owner.check() } else { Ok(()) };
        let deadline = process.owner.deadline().filter(|deadline| process.tick_at.is_none_or(|at| *deadline < at));
        if let Some(deadline) = deadline {
            let deadline = deadline.max(self.now);
            process.tick_at = Some(deadline);
            self.schedule.at(deadline, Event::OwnerTick { process: at });
        }
        if let Err(text) = sane {
            self.hold(broken("OWN-1", format!("owner {at}: {text}")));
        }
    }

    fn perform(&mut self, at: Address, follow: &mut Follow) {
        while let Some(effect) = follow.effects.pop_front() {
            self.counts.add(count::owner_effect::of(&effect));
            self.trace.note(self.now, format_args!("{at} -> {effect:?}"));
            match effect {
                Effect::Submitted { task, first } => {
                    follow.answers.task = Some(task);
                    follow.answers.object = Some(first);
                }
                Effect::Opened { object } => follow.answers.object = Some(object),
                Effect::ActorOpened { actor } => follow.answers.actor = Some(actor),
                Effect::Ready { object: _, waiter } => self.wake(at, waiter),
                Effect::PushCall { to, task } => self.push_call(at, to, task, follow),
                Effect::Send { to, message } => self.send(at, to, message),
                Effect::Retract { task, peer } => self.retract(at, task, peer, follow),
                Effect::JudgeClaims { peer } => self.judge(at, peer, follow),
                Effect::FreeClaim { task, peer } => self.free_claim(at, task, peer),
                Effect::ToRaylet(message) => self.tell_raylet(at, message),
                Effect::Detach { peer } => self.detach(at, peer),
                Effect::CallsReady => self.call_is_ready(at),
                Effect::AttemptEnded { function: _, record } => {
                    let verdict = self.checks.task_1.recorded(&self.ghost, &record);
                    self.hold(verdict);
                }
                Effect::Interrupt { call, force } => self.interrupt(at, call, force),
                Effect::Exit { reason: _ } => self.leave(at),
                Effect::DropPayload(payload) => {
                    let dropped = self.processes.get_mut(&at).is_none_or(|process| process.payloads.remove(payload));
                    if !dropped {
                        self.hold(dropped_payload(at, &format!("{payload:?} is dropped twice")));
                    }
                }
                Effect::MakeError { objects, error } => self.make_error(at, &objects, &error, follow),
                Effect::FreeLocal(extent) => self.free_local(at, extent),
                // Its extent goes back as a whole, when the machine says `Unclaim`.
                Effect::FreeOrphan(_) => {}
            }
        }
    }

    /// An error in the machine's own words must have a reason at once, whether or not anybody ever looks at it.
    fn make_error(&mut self, at: Address, objects: &[Key], error: &LocalError, follow: &mut Follow) {
        for object in objects.iter().copied() {
            let Some(process) = self.processes.get_mut(&at) else { return };
            let descriptor = process.owner.describe(object);
            let payload = process.payloads.insert(Content::Local { error: error.clone() });
            let mut effects = Vec::new();
            process.owner.resolve_error(self.now, object, payload, &mut effects);
            follow.effects.extend(effects);
            if let Some(descriptor) = descriptor {
                let verdict = got_failure(&self.ghost, descriptor.object, error);
                self.hold(verdict);
            }
        }
    }

    fn push_call(&mut self, at: Address, to: Address, task: Key, follow: &mut Follow) {
        let Some(process) = self.processes.get_mut(&at) else { return };
        if !process.attached.contains(&to) {
            if self.ghost.is_gone(to) {
                follow.inputs.push_back(Input::Retracted { task, won: true });
            } else {
                self.hold(broken("OWN-1", format!("{at} pushes a call to {to} before their lanes are open")));
            }
            return;
        }
        let lane = self.lanes.entry((at, to)).or_default();
        let Some((slot, generation)) = lane.claims.take_slot() else {
            return self.hold(broken("TASK-1", format!("{at} has more than 512 unanswered calls at {to}")));
        };
        let claim = Claim { slot, generation };
        let Some(call) = process.owner.wire_call(task, claim) else {
            lane.claims.give_slot(slot);
            return;
        };
        process.in_flight.insert((to, task), claim);
        self.send(at, to, PeerMessage::Call(call));
    }

    /// The longest that a message takes in this lane.
    fn slowest(&self, from: Address, to: Address) -> Span {
        let (often, times) = self.settings.slow_lanes;
        let ends = u64::from(from.node) << 48 | u64::from(from.process) << 24 | u64::from(to.process);
        let is_slow = mix(self.settings.seed ^ mix(ends)) % 1000 < often;
        Span(self.settings.lane.0 * if is_slow { times } else { 1 })
    }

    fn send(&mut self, at: Address, to: Address, mut message: PeerMessage) {
        self.counts.add(count::peer::of(&message));
        let Some(process) = self.processes.get_mut(&at) else { return };
        if !process.attached.contains(&to) {
            if !self.ghost.is_gone(to) {
                self.hold(broken("OWN-1", format!("{at} sends {message:?} to {to} before their lanes are open")));
            }
            return;
        }
        let no_args = match &message {
            PeerMessage::Call(call) => call.args == NO_ARGS,
            _ => false,
        };
        let contents = if no_args {
            vec![Content::Args { seed: 0, actors: Vec::new() }]
        } else {
            match wire::encode(&mut message, &process.payloads) {
                Ok(contents) => contents,
                Err(handle) => {
                    return self
                        .hold(dropped_payload(at, &format!("{handle:?} is gone before it was sent in {message:?}")));
                }
            }
        };
        let slowest = self.slowest(at, to);
        let delay = self.delay(slowest);
        let lane = self.lanes.entry((at, to)).or_default();
        let visible = lane.fifo.arrival(self.now, delay);
        lane.queue.push_back(Frame { visible, message, contents });
        self.schedule.at(visible, Event::Lane { from: at, to });
    }

    /// Takes what is visible in a lane, or all of it, into the consumer's machine.
    pub fn drain_lane(&mut self, from: Address, to: Address, all: bool) {
        loop {
            let now = self.now;
            let Some(process) = self.processes.get_mut(&to).filter(|process| process.attached.contains(&from)) else {
                return;
            };
            let Some(lane) = self.lanes.get_mut(&(from, to)).filter(|lane| !lane.poisoned) else { return };
            if !lane.queue.front().is_some_and(|frame| all || frame.visible <= now) {
                return;
            }
            let Some(Frame { mut message, contents, .. }) = lane.queue.pop_front() else { return };
            wire::decode(&mut message, contents, &mut process.payloads);
            self.step_owner(to, Input::FromPeer { from, message });
        }
    }

    fn drain_all_lanes(&mut self, to: Address) {
        let from: Vec<Address> =
            self.lanes.keys().filter(|(_, consumer)| *consumer == to).map(|(from, _)| *from).collect();
        for from in from {
            self.drain_lane(from, to, true);
        }
    }

    fn retract(&mut self, at: Address, task: Key, peer: Address, follow: &mut Follow) {
        let Some(process) = self.processes.get(&at) else { return };
        let won = match (process.in_flight.get(&(peer, task)), self.lanes.get_mut(&(at, peer))) {
            (Some(claim), Some(lane)) => lane.claims.swap(claim.slot, claim.generation, RETRACTED),
            _ => return self.hold(broken("TASK-1", format!("{at} retracts {task:?}, which is not at {peer}"))),
        };
        self.counts.add(if won { "retract::won" } else { "retract::lost" });
        follow.inputs.push_back(Input::Retracted { task, won });
    }

    fn judge(&mut self, at: Address, peer: Address, follow: &mut Follow) {
        let Some(process) = self.processes.get(&at) else { return };
        let lane = self.lanes.get(&(at, peer));
        let state = |claim: &Claim| lane.and_then(|lane| lane.claims.state(claim.slot, claim.generation));
        let never_started: Vec<u64> = process
            .in_flight
            .iter()
            .filter(|((to, _), claim)| *to == peer && matches!(state(claim), Some(READY | RETRACTED)))
            .map(|((_, task), _)| task.0)
            .collect();
        self.counts.add(if never_started.is_empty() { "judged::all started" } else { "judged::some never started" });
        follow.inputs.push_back(Input::Judged { peer, never_started });
    }

    fn free_claim(&mut self, at: Address, task: Key, peer: Address) {
        let Some(process) = self.processes.get_mut(&at) else { return };
        let Some(claim) = process.in_flight.remove(&(peer, task)) else {
            return self.hold(broken("TASK-1", format!("{at} frees the claim of {task:?}, which is not at {peer}")));
        };
        if let Some(lane) = self.lanes.get_mut(&(at, peer)) {
            lane.claims.give_slot(claim.slot);
        }
    }

    fn detach(&mut self, at: Address, peer: Address) {
        if self.ghost.is_gone(peer) || self.ghost.poisoned.contains(&peer) {
            self.lanes.remove(&(peer, at));
            self.lanes.remove(&(at, peer));
            if let Some(process) = self.processes.get_mut(&at) {
                process.attached.remove(&peer);
            }
        }
    }

    fn free_local(&mut self, at: Address, extent: iosdk_types::Extent) {
        let Some(node) = self.nodes.get_mut(&at.node) else { return };
        let ours = extent.holder == at && node.arena.read(&extent).is_some();
        if !ours {
            return self.hold(broken("OWN-1", format!("{at} frees {extent:?}, which is not there")));
        }
        node.arena.stored.remove(&extent.offset);
        self.return_extents(at, 1);
    }

    /// Gives empty extents back but for `kept` of them for the next put, unless one was just asked for or is about to be filled.
    fn return_extents(&mut self, at: Address, kept: usize) {
        let wants =
            self.processes.get(&at).and_then(|process| process.body.as_ref()).is_some_and(|body| body.wanted.is_some());
        if wants || self.is_taking_turns == Some(at) {
            return;
        }
        let Some(node) = self.nodes.get_mut(&at.node) else { return };
        for empty in node.arena.empty_extents(at).into_iter().skip(kept) {
            if let Some(extent) = self.nodes.get_mut(&at.node).and_then(|node| node.arena.granted.get_mut(&empty)) {
                extent.is_returned = true;
            }
            self.tell_raylet(at, ProcessToRaylet::ExtentReturn { offset: empty });
        }
    }

    pub fn tell_raylet(&mut self, at: Address, message: ProcessToRaylet) {
        self.counts.add(count::to_raylet::of(&message));
        let delay = self.delay(self.settings.socket);
        let Some(process) = self.processes.get_mut(&at) else { return };
        let arrival = process.to_raylet.arrival(self.now, delay);
        self.schedule.at(arrival, Event::ToRaylet { from: at, message });
    }

    pub fn leave(&mut self, at: Address) {
        if let Some(process) = self.processes.get_mut(&at).filter(|process| !process.ending) {
            process.ending = true;
            let span = Span(1 + self.random.below(2_000_000));
            self.after(span, Event::Killed { process: at, how: How::Leaves });
        }
    }

    /// The raylet says something to a process.
    pub fn process_hears(&mut self, to: Address, message: RayletToProcess) {
        if !self.processes.contains_key(&to) {
            return;
        }
        self.counts.add(count::to_process::of(&message));
        match message {
            RayletToProcess::Welcome { job, .. } => self.welcome(to, job),
            RayletToProcess::ExtentGranted { request, .. } => self.room_answered(to, request, true),
            RayletToProcess::ExtentRefused { request, .. } => {
                self.counts.add("fault::store full");
                self.room_answered(to, request, false);
            }
            RayletToProcess::Answer { .. } | RayletToProcess::Log { .. } | RayletToProcess::Describe { .. } => {}
            RayletToProcess::Attach { peer, .. } => {
                if let Some(process) = self.processes.get_mut(&to) {
                    process.attached.insert(peer);
                }
                self.step_owner(to, Input::FromRaylet(message));
                self.drain_lane(peer, to, false);
            }
            RayletToProcess::PeerDying { peer } => {
                self.drain_lane(peer, to, true);
                self.step_owner(to, Input::FromRaylet(message));
            }
            RayletToProcess::MakeRoom => self.return_extents(to, 0),
            RayletToProcess::PeerDead { peer, .. } => self.peer_is_dead(to, peer, message),
            RayletToProcess::Granted { .. }
            | RayletToProcess::Reclaim { .. }
            | RayletToProcess::Infeasible { .. }
            | RayletToProcess::NoSuchPeer { .. }
            | RayletToProcess::ActorAlive { .. }
            | RayletToProcess::ActorDead { .. }
            | RayletToProcess::Exit { .. }
            | RayletToProcess::Retire => {
                self.step_owner(to, Input::FromRaylet(message));
            }
        }
    }

    fn peer_is_dead(&mut self, to: Address, peer: Address, message: RayletToProcess) {
        self.drain_all_lanes(to);
        self.step_owner(to, Input::FromRaylet(message));
        // What the dead process owned in our extents is nobody's.
        if let Some(node) = self.nodes.get_mut(&to.node) {
            let arena = &mut node.arena;
            let swept: Vec<u64> = arena
                .stored
                .iter()
                .filter(|(at, stored)| {
                    stored.owner == peer && arena.extent_of(**at).is_some_and(|(_, extent)| extent.holder == to)
                })
                .map(|(at, _)| *at)
                .collect();
            for offset in swept {
                arena.stored.remove(&offset);
            }
        }
        if let Some(process) = self.processes.get_mut(&to) {
            process.attached.remove(&peer);
            self.lanes.remove(&(peer, to));
            self.lanes.remove(&(to, peer));
        }
    }

    fn welcome(&mut self, to: Address, job: iosdk_types::JobId) {
        let Some(process) = self.processes.get_mut(&to).filter(|process| !process.welcomed) else { return };
        let pid = process.pid;
        let fifo = (process.to_raylet, process.from_raylet);
        let mut fresh = Process::new(to, pid, process.program);
        fresh.owner = iosdk_runtime_core::Owner::new(to, job);
        fresh.owner.keep_history();
        (fresh.to_raylet, fresh.from_raylet, fresh.welcomed, fresh.slowness) = (fifo.0, fifo.1, true, process.slowness);
        let definition = fresh.payloads.insert(Content::Definition);
        fresh.function = fresh.owner.define(definition);
        self.plant_in_owner(&mut fresh.owner);
        let is_driver = fresh.is_driver();
        self.processes.insert(to, fresh);
        if is_driver {
            self.start_program(to);
        }
    }
}
