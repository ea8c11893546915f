//! Who gets a worker next: actors, then the deepest demand, then whoever has waited longest, in turns.

use crate::capacity::CPU;
use crate::processes::Phase;
use crate::{Effect, Raylet};
use iosdk_types::message::RayletToProcess;
use iosdk_types::{Address, JobId, Key, Map, ResourceSet, Set, Span, Time};

/// How long one may keep what others wait for, and how long a big demand may be passed by smaller ones.
pub(crate) const QUANTUM: Span = Span::from_millis(20);
/// All leased workers blocked for this long: nobody will ever give anything back.
const STALL: Span = Span::from_millis(20);
/// Forks thought of at a time; more are thought of when these are ready.
const AHEAD_MAX: usize = 64;

impl Raylet {
    /// After anything that may matter: gives out what can be given, and says what is missing.
    pub(crate) fn schedule(&mut self, now: Time, out: &mut Vec<Effect>) {
        if self.shutting_down {
            return;
        }
        self.start_jobs(out);
        let mut lacking = self.start_actors(now, out);
        while self.pool.has_idle()
            && let Some((_, owner, class)) = self.pick(now, &lacking)
        {
            if !self.grant(now, owner, class, out) {
                lacking.extend(self.job_of(owner));
            }
        }
        let stalled = self.break_stall(now, out);
        self.fork_for(now, &lacking, stalled, out);
        self.reclaim(now, out);
        self.watch_status(out);
    }

    /// Workers for jobs that could use them now and have none idle: `lacking` none but the asker itself, who is no use.
    fn fork_for(&mut self, now: Time, lacking: &Set<JobId>, stalled: Option<JobId>, out: &mut Vec<Effect>) {
        let missing = |job: &JobId| lacking.contains(job) || stalled == Some(*job) || self.pool.idle_of(*job) == 0;
        let jobs = self.pool.jobs();
        let anybody = jobs.iter().any(missing) || self.actors_wait();
        let startable = if anybody { self.startable(now) } else { Map::new() };
        for job in jobs.iter().chain(startable.keys().filter(|job| !jobs.contains(job))).copied() {
            let wanted = startable.get(&job).copied().unwrap_or(0).max(usize::from(stalled == Some(job)));
            let idle = self.pool.idle_of(job);
            let is_missing = lacking.contains(&job) || stalled == Some(job) || idle == 0;
            self.fork_missing(now, job, if is_missing { wanted + idle } else { 0 }, out);
        }
    }

    /// The shape and the demand to serve next, if the node has room for any.
    fn pick(&self, now: Time, lacking: &Set<JobId>) -> Option<(Key, u32, u32)> {
        if self.leases.active.is_empty() {
            return None;
        }
        self.pick_from(now, &self.capacity.available, &Map::new(), lacking)
    }

    /// Owners of the jobs in `without` are passed: there are no workers for them.
    fn pick_from(
        &self,
        now: Time,
        available: &ResourceSet,
        planned: &Map<Key, u32>,
        without: &Set<JobId>,
    ) -> Option<(Key, u32, u32)> {
        let served = |owner| without.is_empty() || self.job_of(owner).is_none_or(|job| !without.contains(&job));
        let starving = self.starving(now, available, planned);
        let mut best: Option<(u32, u64, Key, u32, u32)> = None;
        for (depth, key) in &self.leases.active {
            if best.is_some_and(|(best_depth, ..)| best_depth > depth.0) {
                break;
            }
            let Some(shape) = self.leases.shapes.get(*key) else { continue };
            let Some((turn, owner, class)) = shape.queue.iter().find(|(_, owner, _)| served(*owner)).copied() else {
                continue;
            };
            let passed = starving.is_some_and(|(starving_depth, starving_turn)| {
                depth.0 <= starving_depth && turn > starving_turn && shape.spec.resources.get(CPU).0 > 0
            });
            let under_cap = shape.leases + planned.get(key).copied().unwrap_or(0) < shape.cap;
            if passed || !under_cap || !available.covers(&shape.spec.resources) {
                continue;
            }
            if best.is_none_or(|(_, best_turn, ..)| turn < best_turn) {
                best = Some((depth.0, turn, *key, owner, class));
            }
        }
        best.map(|(_, _, key, owner, class)| (key, owner, class))
    }

    /// The deepest demand that has waited a quantum for nothing but CPU that leases could give back: smaller demand that came
    /// later must not take every CPU that comes free from under it.
    fn starving(&self, now: Time, available: &ResourceSet, planned: &Map<Key, u32>) -> Option<(u32, u64)> {
        let reachable = self.capacity.reachable_cpu();
        for (depth, key) in &self.leases.active {
            let Some(shape) = self.leases.shapes.get(*key) else { continue };
            let Some((turn, owner, class)) = shape.queue.first().copied() else { continue };
            let need = &shape.spec.resources;
            let cpu = need.get(CPU);
            let only_cpu = available.get(CPU) < cpu
                && need.iter().all(|(name, amount)| name == CPU || available.get(name) >= amount);
            let waited = self.leases.demands.get(&(owner, class)).is_some_and(|demand| demand.since + QUANTUM <= now);
            let under_cap = shape.leases + planned.get(key).copied().unwrap_or(0) < shape.cap;
            if only_cpu && waited && under_cap && cpu.0 <= reachable {
                return Some((depth.0, turn));
            }
        }
        None
    }

    /// Leases an idle worker to this demand. Lanes first, so that the owner can use it at once. False when nobody but the
    /// owner itself is idle.
    fn grant(&mut self, now: Time, owner: u32, class: u32, out: &mut Vec<Effect>) -> bool {
        let Some(shape) = self.leases.demands.get(&(owner, class)).map(|demand| demand.shape) else { return false };
        let Some(job) = self.job_of(owner) else { return false };
        let lanes = &self.lanes;
        let Some(worker) = self.pool.pop(job, Some(owner), |idle| lanes.are_attached(owner, idle)) else {
            return false;
        };
        if !self.attach_both(owner, worker, out) {
            self.pool.back_from_lease(job, worker, now);
            self.leases.abandon(now, owner, class);
            let why = format!("a process talks to {} others at most", crate::LANES_MAX);
            self.say(owner, RayletToProcess::Infeasible { class, why }, out);
            return true;
        }
        if let Some(shape) = self.leases.shapes.get(shape) {
            self.capacity.take(worker, &shape.spec.resources, false);
        }
        let lease = self.leases.book(now, owner, class, worker);
        if let Some(process) = self.processes.live.get_mut(&worker) {
            process.phase = Phase::Leased(lease);
        }
        self.leases.stalled_since = None;
        if self.grants_twice() {
            self.pool.back_from_lease(job, worker, now);
        }
        self.say(owner, RayletToProcess::Granted { class, lease, worker: self.address(worker) }, out);
        true
    }

    /// Every leased worker is blocked and somebody waits: after a while one more is granted, whatever the cap says. Returns
    /// the job when that lacks a worker only.
    fn break_stall(&mut self, now: Time, out: &mut Vec<Effect>) -> Option<JobId> {
        let blocked = !self.leases.live.is_empty()
            && self.leases.live.values().all(|lease| lease.owner.is_some() && self.capacity.is_lent(lease.worker));
        if self.leases.active.is_empty() || !blocked || self.pick(now, &Set::new()).is_some() {
            self.leases.stalled_since = None;
            return None;
        }
        let since = *self.leases.stalled_since.get_or_insert(now);
        if since + STALL > now {
            return None;
        }
        let (owner, class) = self.stalled_demand()?;
        if self.grant(now, owner, class, out) { None } else { self.job_of(owner) }
    }

    /// The demand that is served first to break a stall.
    fn stalled_demand(&self) -> Option<(u32, u32)> {
        let mut shapes = self.leases.active.iter().filter_map(|(_, key)| self.leases.shapes.get(*key));
        let chosen = shapes.find(|shape| self.capacity.available.covers(&shape.spec.resources))?;
        chosen.queue.first().map(|(_, owner, class)| (*owner, *class))
    }

    /// How many more workers of which job could be put to use now, had we them.
    fn startable(&self, now: Time) -> Map<JobId, usize> {
        let mut available = self.capacity.available.clone();
        let mut planned: Map<Key, u32> = Map::new();
        let mut by_job = self.startable_actors(&mut available, AHEAD_MAX);
        let mut count: usize = by_job.values().sum();
        while count < AHEAD_MAX {
            let Some((key, owner, _)) = self.pick_from(now, &available, &planned, &Set::new()) else { break };
            let Some(shape) = self.leases.shapes.get(key) else { break };
            let wanted = self.leases.wanted(shape);
            let planned = planned.entry(key).or_default();
            if *planned >= wanted {
                // The plan does not turn queues: this one is served to its end, look at the others.
                *planned = shape.cap;
                continue;
            }
            *planned += 1;
            available.subtract(&shape.spec.resources);
            count += 1;
            if let Some(job) = self.job_of(owner) {
                *by_job.entry(job).or_default() += 1;
            }
        }
        by_job
    }

    /// The status words are worth reading while somebody waits for what a blocked worker could lend. What is not read is not
    /// believed: nothing stays lent once we stop looking.
    fn watch_status(&mut self, out: &mut Vec<Effect>) {
        let on = !self.leases.active.is_empty() || self.actors_wait();
        if on == self.watching {
            return;
        }
        self.watching = on;
        out.push(Effect::WatchStatus { on });
        if !on {
            let holders: Vec<u32> = self.capacity.holds.keys().copied().collect();
            for holder in holders {
                self.capacity.take_back(holder, false);
            }
        }
    }

    pub(crate) fn status(&mut self, blocked: &[Address]) {
        if !self.watching {
            return;
        }
        let blocked: Set<u32> = blocked.iter().filter_map(|address| self.live(*address)).collect();
        let holders: Vec<u32> = self.capacity.holds.keys().copied().collect();
        let forget = self.overgrants_on_unblock();
        for holder in holders {
            if blocked.contains(&holder) {
                self.capacity.lend(holder);
            } else {
                self.capacity.take_back(holder, forget);
            }
        }
    }

    /// The earliest moment at which waiting alone changes what may be granted.
    pub(crate) fn grant_deadline(&self) -> Option<Time> {
        let stall = self.leases.stalled_since.map(|since| since + STALL);
        stall.filter(|_| !self.stall_lacks_room()).into_iter().chain(self.leases.next_reclaim).min()
    }

    /// A stall that no grant can break now: looking again before something changes is of no use.
    fn stall_lacks_room(&self) -> bool {
        self.stalled_demand().is_none_or(|(owner, _)| {
            self.job_of(owner).is_none_or(|job| !self.pool.has_one_for(job, owner) && self.pool.is_busy(job))
        })
    }
}
