//! The link to the GCS: what is said, what waits for the link, and what is said again when it comes back.

use crate::{Effect, Raylet};
use iosdk_types::message::{ActorDeath, GcsToRaylet, NodeRecord, Query, RayletToGcs, RayletToProcess, VERSION};
use iosdk_types::{ActorId, Address, Amount, Map, Set, Span, Time};
use std::collections::VecDeque;

/// The cluster hears of changes this long after them, in one word for all of them.
const REPORT: Span = Span::from_millis(100);
/// Queries kept while the link is down.
const QUERIES_MAX: usize = 1024;
/// Dead actors remembered for those who ask after them.
const DEAD_MAX: usize = 1024;

#[derive(Clone, Debug, Default)]
pub(crate) struct Link {
    up: bool,
    waiting: Vec<RayletToGcs>,
    view_version: u64,
    /// `Capacity::changes` as of the last report.
    reported: u64,
    report_at: Option<Time>,
    watchers: Map<ActorId, Set<Address>>,
    /// Actors that a process here wants ended, until it is known that they are; a restarted GCS may not have heard of it.
    kills: Map<ActorId, Address>,
    /// Actors that the GCS said are dead, the oldest first: a restarted one does not know them.
    dead: VecDeque<(ActorId, ActorDeath)>,
}

impl Link {
    pub(crate) fn forget_watcher(&mut self, watcher: Address) {
        self.kills.retain(|_, killer| *killer != watcher);
        self.watchers.retain(|_, watchers| {
            watchers.remove(&watcher);
            !watchers.is_empty()
        });
    }

    fn remember_dead(&mut self, actor: ActorId, cause: &ActorDeath) {
        if self.cause_of(actor).is_none() {
            if self.dead.len() == DEAD_MAX {
                self.dead.pop_front();
            }
            self.dead.push_back((actor, cause.clone()));
        }
    }

    fn cause_of(&self, actor: ActorId) -> Option<ActorDeath> {
        self.dead.iter().rev().find(|(dead, _)| *dead == actor).map(|(_, cause)| cause.clone())
    }

    pub(crate) fn is_up(&self) -> bool {
        self.up
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.report_at.filter(|_| self.up)
    }
}

impl Raylet {
    pub(crate) fn tell_gcs(&mut self, message: RayletToGcs, out: &mut Vec<Effect>) {
        if self.gcs.up {
            out.push(Effect::ToGcs(message));
        } else {
            self.gcs.waiting.push(message);
        }
    }

    /// Joins, and says again whatever may have been lost with the old connection.
    pub(crate) fn gcs_up(&mut self, out: &mut Vec<Effect>) {
        self.gcs.up = true;
        self.actors.forget_queued();
        let record = NodeRecord {
            node: self.config.node_id,
            alive: true,
            ip: self.config.node_ip.clone(),
            hostname: self.config.hostname.clone(),
            resources: self.config.resources.clone(),
        };
        let (node, epoch) = (self.config.node, self.config.epoch);
        out.push(Effect::ToGcs(RayletToGcs::Join { version: VERSION, node, epoch, record }));
        // A GCS that was restarted is told the jobs that it gave out before.
        out.extend(self.processes.live.keys().filter_map(|number| self.driver_joined(*number)).map(Effect::ToGcs));
        // Before the creations: one that was answered by no GCS may live here all the same.
        for (spec, process) in self.actors.living() {
            let (spec, address) = (spec.clone(), self.address(process));
            out.push(Effect::ToGcs(RayletToGcs::ActorLives { spec, address }));
        }
        for (spec, process, cause) in self.actors.lately_ended() {
            let (actor, spec, address) = (spec.actor, spec.clone(), self.address(process));
            out.push(Effect::ToGcs(RayletToGcs::ActorLives { spec, address }));
            out.push(Effect::ToGcs(RayletToGcs::ActorEnded { actor, cause: cause.clone() }));
        }
        let creating = self.actors.creating.values().cloned();
        out.extend(creating.map(|spec| Effect::ToGcs(RayletToGcs::CreateActor { spec })));
        out.extend(self.gcs.kills.keys().map(|actor| {
            // Restarts are decided by nobody yet.
            Effect::ToGcs(RayletToGcs::KillActor { actor: *actor, no_restart: true })
        }));
        for (actor, watchers) in &self.gcs.watchers {
            let watches = watchers.iter().map(|watcher| RayletToGcs::WatchActor { actor: *actor, watcher: *watcher });
            out.extend(watches.map(Effect::ToGcs));
        }
        out.extend(self.gcs.waiting.drain(..).map(Effect::ToGcs));
        self.tell_jobs(out);
        self.meter.link_up();
        self.report(out);
    }

    pub(crate) fn gcs_down(&mut self) {
        self.gcs.up = false;
    }

    fn report(&mut self, out: &mut Vec<Effect>) {
        self.gcs.report_at = None;
        self.gcs.reported = self.capacity.changes;
        self.gcs.view_version += 1;
        let (version, mut available) = (self.gcs.view_version, self.capacity.visible());
        let room = self.arena.limit.saturating_sub(self.arena.used);
        available.set("object_store_memory", Amount::units(i64::try_from(room).unwrap_or(i64::MAX)));
        out.push(Effect::ToGcs(RayletToGcs::View { version, available }));
    }

    /// Notices that there is something to report.
    pub(crate) fn note_changes(&mut self, now: Time) {
        if self.gcs.reported != self.capacity.changes {
            self.gcs.report_at.get_or_insert(now + REPORT);
        }
    }

    pub(crate) fn report_if_due(&mut self, now: Time, out: &mut Vec<Effect>) {
        if self.gcs.deadline().is_some_and(|due| due <= now) {
            self.report(out);
        }
    }

    pub(crate) fn query(&mut self, from: u32, request: u64, query: &Query, out: &mut Vec<Effect>) {
        let asker = self.address(from);
        if !self.gcs.up && self.gcs.waiting.len() >= QUERIES_MAX {
            return;
        }
        let message = match query {
            Query::Nodes => RayletToGcs::Nodes { request, asker },
            Query::ClusterResources => RayletToGcs::ClusterResources { request, asker },
            Query::AvailableResources => {
                // Who asks has often just changed it.
                if self.gcs.up {
                    self.report(out);
                }
                RayletToGcs::AvailableResources { request, asker }
            }
        };
        self.tell_gcs(message, out);
    }

    pub(crate) fn watch_actor(&mut self, from: u32, actor: ActorId, out: &mut Vec<Effect>) {
        if let Some(cause) = self.gcs.cause_of(actor) {
            return self.say(from, RayletToProcess::ActorDead { actor, cause }, out);
        }
        let watcher = self.address(from);
        self.gcs.watchers.entry(actor).or_default().insert(watcher);
        self.tell_gcs(RayletToGcs::WatchActor { actor, watcher }, out);
    }

    /// With the link down nothing has to wait: it is said again after the join.
    pub(crate) fn kill_actor(&mut self, from: u32, actor: ActorId, no_restart: bool, out: &mut Vec<Effect>) {
        self.gcs.kills.insert(actor, self.address(from));
        if self.gcs.up {
            out.push(Effect::ToGcs(RayletToGcs::KillActor { actor, no_restart }));
        }
    }

    pub(crate) fn gcs_says(&mut self, now: Time, message: GcsToRaylet, out: &mut Vec<Effect>) {
        match message {
            // The versions' ranges overlap or the GCS would have closed the connection.
            GcsToRaylet::Joined { version: _ } => {}
            GcsToRaylet::DriverAccepted { process, job } => self.driver_accepted(now, process, job, out),
            GcsToRaylet::StartActor { spec } => self.start_actor(spec, out),
            GcsToRaylet::StopActor { actor, cause } => self.stop_actor(actor, cause, out),
            GcsToRaylet::ActorAlive { actor, address, watcher } => {
                self.answered(actor, watcher);
                if let Some(number) = self.live(watcher) {
                    self.say(number, RayletToProcess::ActorAlive { actor, address }, out);
                }
            }
            GcsToRaylet::ActorDead { actor, cause, watcher } => {
                self.answered(actor, watcher);
                self.gcs.watchers.remove(&actor);
                self.gcs.kills.remove(&actor);
                self.gcs.remember_dead(actor, &cause);
                if let Some(number) = self.live(watcher) {
                    self.say(number, RayletToProcess::ActorDead { actor, cause }, out);
                }
            }
            GcsToRaylet::StartJob { number, held, spec } => self.start_job(number, held, spec, out),
            GcsToRaylet::StopJob { number, force } => self.stop_job(number, force, out),
            GcsToRaylet::JobNoted { number } => self.job_noted(number, out),
            GcsToRaylet::UsageNoted { epoch, seq } => {
                if epoch == self.config.epoch {
                    self.meter.noted(seq);
                }
            }
            GcsToRaylet::Answer { request, asker, answer } => {
                if let Some(number) = self.live(asker) {
                    self.say(number, RayletToProcess::Answer { request, answer }, out);
                }
            }
            // The shell answers it: nothing is decided.
            GcsToRaylet::Query { .. } => {}
        }
    }

    fn answered(&mut self, actor: ActorId, watcher: Address) {
        if self.actors.creating.get(&actor).is_some_and(|spec| spec.owner == watcher) {
            self.actors.creating.remove(&actor);
        }
    }
}
