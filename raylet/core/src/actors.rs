//! Actors of this node: placed here by the GCS, each in a process of its own for life.

use crate::capacity::{CPU, is_sane};
use crate::processes::Phase;
use crate::{Effect, Raylet};
use iosdk_types::message::{ActorDeath, RayletToGcs, RayletToProcess};
use iosdk_types::spec::ActorSpec;
use iosdk_types::{ActorId, Address, Death, JobId, Map, ResourceSet, Set, Time};
use std::collections::VecDeque;

/// Actors that do not fit are passed by this many others in one go.
const LOOK_AT: usize = 32;
/// Ended actors remembered, so that a repeated message starts none of them again.
const REMEMBERED: usize = 4096;
/// The last of these are told again after a join: word of their end may have been lost with the link, or with the GCS.
const REPEATED: usize = 256;

#[derive(Clone, Debug)]
pub(crate) struct Actor {
    spec: ActorSpec,
    /// `None` while it waits for room and a worker.
    process: Option<u32>,
    /// Its constructor has returned.
    pub(crate) constructed: bool,
    /// Why it is going to be gone, said by it or by the GCS. The first word counts.
    stop: Option<ActorDeath>,
}

#[derive(Clone, Debug)]
struct Ended {
    cause: ActorDeath,
    /// `None` when it never lived here.
    lived: Option<(ActorSpec, u32)>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Actors {
    pub(crate) known: Map<ActorId, Actor>,
    queue: VecDeque<ActorId>,
    ended: Map<ActorId, Ended>,
    ended_order: VecDeque<ActorId>,
    /// Creations asked for by processes of this node that the GCS has not answered.
    pub(crate) creating: Map<ActorId, ActorSpec>,
}

impl Actors {
    fn bury(&mut self, actor: ActorId, cause: ActorDeath) {
        let entry = self.known.remove(&actor);
        self.queue.retain(|waiting| *waiting != actor);
        let lived = entry.and_then(|entry| Some((entry.spec, entry.process?)));
        match self.ended.get_mut(&actor) {
            Some(before) => before.cause = cause,
            None => {
                self.ended.insert(actor, Ended { cause, lived });
                self.ended_order.push_back(actor);
            }
        }
        if self.ended_order.len() > REMEMBERED
            && let Some(oldest) = self.ended_order.pop_front()
        {
            self.ended.remove(&oldest);
        }
    }

    pub(crate) fn class_of(&self, actor: ActorId) -> String {
        self.known.get(&actor).map(|entry| entry.spec.class_name.clone()).unwrap_or_default()
    }

    fn cause_of(&self, actor: ActorId) -> Option<ActorDeath> {
        self.ended.get(&actor).map(|ended| ended.cause.clone())
    }

    /// Those that ended last: what they were and in which process they lived, and why they are gone.
    pub(crate) fn lately_ended(&self) -> impl Iterator<Item = (&ActorSpec, u32, &ActorDeath)> {
        let latest = self.ended_order.iter().skip(self.ended_order.len().saturating_sub(REPEATED));
        latest.filter_map(|actor| {
            let ended = self.ended.get(actor)?;
            let (spec, process) = ended.lived.as_ref()?;
            Some((spec, *process, &ended.cause))
        })
    }

    /// Those that wait for room. A GCS that knows of them says so again after a join; one that was restarted does not, and sends
    /// them where it likes once it hears of them from their owners.
    pub(crate) fn forget_queued(&mut self) {
        self.queue.clear();
        self.known.retain(|_, entry| entry.process.is_some());
    }

    pub(crate) fn forget_owner(&mut self, owner: Address) {
        self.creating.retain(|_, spec| spec.owner != owner);
    }

    /// `(actor, process)` of those that live.
    pub(crate) fn running(&self) -> impl Iterator<Item = (ActorId, u32)> {
        self.known.iter().filter_map(|(actor, entry)| Some((*actor, entry.process?)))
    }

    /// Those that live, each with its process.
    pub(crate) fn living(&self) -> impl Iterator<Item = (&ActorSpec, u32)> {
        self.known.values().filter_map(|entry| Some((&entry.spec, entry.process?)))
    }

    pub(crate) fn check(&self, phase: impl Fn(u32) -> Option<Phase>) -> Result<(), String> {
        for (actor, entry) in &self.known {
            match entry.process.map(&phase) {
                Some(Some(Phase::Ending)) => {}
                Some(Some(Phase::Actor(lives_there))) if lives_there == *actor => {}
                Some(other) => return Err(format!("ACT-2: the process of {actor} is {other:?}")),
                None if !self.queue.contains(actor) => return Err(format!("{actor} waits for nothing")),
                None => {}
            }
            if self.ended.contains_key(actor) {
                return Err(format!("ACT-2: {actor} ended and lives"));
            }
        }
        let waiting = self.known.values().filter(|entry| entry.process.is_none()).count();
        if waiting != self.queue.len() {
            return Err(format!("{} actors queue, {waiting} wait", self.queue.len()));
        }
        Ok(())
    }
}

impl Raylet {
    pub(crate) fn create_actor(&mut self, from: u32, mut spec: ActorSpec, out: &mut Vec<Effect>) {
        if spec.owner != self.address(from) {
            return;
        }
        if !is_sane(&spec.placement) || !is_sane(&spec.held) {
            let why = format!("{} or {} is not an amount of resources", spec.placement, spec.held);
            let message = RayletToProcess::ActorDead { actor: spec.actor, cause: ActorDeath::Infeasible { why } };
            return self.say(from, message, out);
        }
        spec.submission = self.job_of(from).and_then(|job| self.meter.submission_of(job));
        self.actors.creating.insert(spec.actor, spec.clone());
        self.tell_gcs(RayletToGcs::CreateActor { spec }, out);
    }

    pub(crate) fn start_actor(&mut self, spec: ActorSpec, out: &mut Vec<Effect>) {
        let actor = spec.actor;
        if let Some(entry) = self.actors.known.get(&actor) {
            if let Some(process) = entry.process {
                self.tell_gcs(RayletToGcs::ActorStarted { actor, address: self.address(process) }, out);
            }
            return;
        }
        if let Some(cause) = self.actors.cause_of(actor) {
            return self.tell_gcs(RayletToGcs::ActorEnded { actor, cause }, out);
        }
        let total = &self.capacity.total;
        if self.shutting_down || !total.covers(&spec.placement) || !total.covers(&spec.held) {
            return self.tell_gcs(RayletToGcs::ActorRefused { actor }, out);
        }
        self.actors.known.insert(actor, Actor { spec, process: None, constructed: false, stop: None });
        self.actors.queue.push_back(actor);
        self.pool.resume(actor.job());
    }

    fn fits(available: &ResourceSet, spec: &ActorSpec) -> bool {
        available.covers(&spec.placement) && available.covers(&spec.held)
    }

    /// Starts those there is room for. Placement only has to be free at this moment; `held` is taken for life. Returns
    /// the jobs of those that lack nothing but a worker (one that is not their own owner).
    pub(crate) fn start_actors(&mut self, now: Time, out: &mut Vec<Effect>) -> Set<JobId> {
        let mut lacking = Set::new();
        let mut at = 0;
        let here = self.address(0);
        while at < self.actors.queue.len().min(LOOK_AT) && self.pool.has_idle() {
            let actor = self.actors.queue[at];
            let Some(entry) = self.actors.known.get_mut(&actor) else { break };
            if !Self::fits(&self.capacity.available, &entry.spec) {
                at += 1;
                continue;
            }
            // Not in the worker that owns it: that may want to work on, and its end would be its owner's.
            let owner = entry.spec.owner;
            let owner_here = (owner == Address { process: owner.process, ..here }).then_some(owner.process);
            let Some(worker) = self.pool.pop(actor.job(), owner_here, |_| false) else {
                lacking.insert(actor.job());
                at += 1;
                continue;
            };
            entry.process = Some(worker);
            self.actors.queue.remove(at);
            self.meter.submitted(actor.job(), entry.spec.submission);
            self.capacity.take(worker, &entry.spec.held, true);
            if let Some(process) = self.processes.live.get_mut(&worker) {
                process.phase = Phase::Actor(actor);
            }
            if self.grants_twice() {
                self.pool.back_from_lease(actor.job(), worker, now);
            }
            // With the link down `ActorLives` says it after the join, unless it is dead by then.
            if self.gcs.is_up() {
                out.push(Effect::ToGcs(RayletToGcs::ActorStarted { actor, address: self.address(worker) }));
            }
        }
        lacking
    }

    /// How many of those who wait would start if there were workers; what they would hold is taken off.
    pub(crate) fn startable_actors(&self, available: &mut ResourceSet, most: usize) -> Map<JobId, usize> {
        let mut by_job = Map::new();
        for (actor, entry) in
            self.actors.queue.iter().filter_map(|actor| self.actors.known.get_key_value(actor)).take(most)
        {
            if Self::fits(available, &entry.spec) {
                available.subtract(&entry.spec.held);
                *by_job.entry(actor.job()).or_default() += 1;
            }
        }
        by_job
    }

    pub(crate) fn actors_wait(&self) -> bool {
        !self.actors.queue.is_empty() || self.jobs.wait()
    }

    /// What the submitted job or the actor that has waited longest needs free, if it is room that it lacks.
    pub(crate) fn first_placement(&self) -> Option<ResourceSet> {
        if let Some(need) = self.jobs.first_need().filter(|need| !self.capacity.available.covers(need)) {
            return Some(need);
        }
        let mut waiting = self.actors.queue.iter().take(LOOK_AT).filter_map(|actor| self.actors.known.get(actor));
        let reachable = self.capacity.reachable_cpu();
        let entry = waiting.find(|entry| {
            !Self::fits(&self.capacity.available, &entry.spec) && entry.spec.placement.get(CPU).0 <= reachable
        })?;
        Some(entry.spec.placement.clone())
    }

    pub(crate) fn stop_actor(&mut self, actor: ActorId, cause: ActorDeath, out: &mut Vec<Effect>) {
        let process = self.actors.known.get(&actor).map(|entry| entry.process);
        match process {
            Some(Some(process)) => {
                let graceful = matches!(cause, ActorDeath::OutOfScope | ActorDeath::Exited);
                self.set_stop(actor, cause);
                self.end_process(process, graceful, "its actor ends".to_owned(), out);
            }
            Some(None) => self.end_unstarted(actor, cause, out),
            None => {
                let cause = self.actors.cause_of(actor).unwrap_or(cause);
                self.end_unstarted(actor, cause, out);
            }
        }
    }

    fn end_unstarted(&mut self, actor: ActorId, cause: ActorDeath, out: &mut Vec<Effect>) {
        self.actors.bury(actor, cause.clone());
        self.tell_gcs(RayletToGcs::ActorEnded { actor, cause }, out);
    }

    fn set_stop(&mut self, actor: ActorId, cause: ActorDeath) {
        if let Some(entry) = self.actors.known.get_mut(&actor) {
            entry.stop.get_or_insert(cause);
        }
    }

    /// From the actor's own process, and believed from nobody else.
    pub(crate) fn actor_state(&mut self, from: u32, actor: ActorId, ended: Option<ActorDeath>, out: &mut Vec<Effect>) {
        let Some(entry) = self.actors.known.get_mut(&actor).filter(|entry| entry.process == Some(from)) else { return };
        match ended {
            None => entry.constructed = true,
            Some(cause) => {
                entry.stop.get_or_insert(cause);
                self.end_process(from, true, "its actor ended".to_owned(), out);
            }
        }
    }

    /// The actor that lived in this process, and why it is gone.
    pub(crate) fn actor_process_died(&mut self, process: u32, death: &Death) -> Option<(ActorId, ActorDeath)> {
        let actor = self.actors.running().find(|(_, home)| *home == process).map(|(actor, _)| actor)?;
        let stop = self.actors.known.get(&actor).and_then(|entry| entry.stop.clone());
        let cause = stop.unwrap_or_else(|| ActorDeath::Process(death.clone()));
        self.actors.bury(actor, cause.clone());
        Some((actor, cause))
    }

    /// No worker can be had for them.
    pub(crate) fn refuse_waiting_actors(&mut self, job: JobId, why: &str, out: &mut Vec<Effect>) {
        let waiting: Vec<ActorId> = self.actors.queue.iter().copied().filter(|actor| actor.job() == job).collect();
        for actor in waiting {
            self.end_unstarted(actor, ActorDeath::Infeasible { why: why.to_owned() }, out);
        }
    }
}
