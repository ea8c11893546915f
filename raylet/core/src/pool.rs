//! The workers of each job: forked when somebody waits for one, a few kept ready, too many idle ones retired. A worker belongs to
//! the job it was forked for: another's modules, environment and secrets may be in its memory.

use crate::processes::Phase;
use crate::{Effect, Raylet};
use iosdk_types::message::RayletToProcess;
use iosdk_types::{JobId, Map, Set, Span, Time};

/// An idle worker beyond the node's CPUs is ended after this long.
const IDLE: Span = Span::from_secs(1);
/// The first pause after a failed start; doubled with each further failure.
const PAUSE: Span = Span::from_millis(20);
/// More starts of a job than this at a time only make each of them late.
const STARTING_MAX: usize = 64;

/// The workers of one job that do nothing, and those on their way.
#[derive(Clone, Debug, Default)]
struct Workers {
    /// A driver of this node opened it: some are kept ready. Others only came with an actor.
    open: bool,
    /// Longest idle first.
    idle: Vec<(u32, Time)>,
    starting: Set<u32>,
    /// Starts that failed in a row.
    failures: u32,
    not_before: Option<Time>,
    /// Given up on after too many failures, until somebody asks for a worker anew.
    paused: bool,
}

impl Workers {
    fn is_over(&self) -> bool {
        !self.open && self.idle.is_empty() && self.starting.is_empty() && self.failures == 0 && !self.paused
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    jobs: Map<JobId, Workers>,
    idle: usize,
}

impl Pool {
    /// From now on workers of this job are kept ready.
    pub(crate) fn open(&mut self, job: JobId) {
        self.jobs.entry(job).or_default().open = true;
    }

    /// Nobody is forked for it any more. Its workers are told to end by the caller.
    pub(crate) fn close(&mut self, job: JobId) {
        if let Some(workers) = self.jobs.get_mut(&job) {
            workers.open = false;
            workers.not_before = None;
            (workers.failures, workers.paused) = (0, false);
        }
        self.jobs.retain(|_, workers| !workers.is_over());
    }

    pub(crate) fn worker_ready(&mut self, job: JobId, number: u32, now: Time) {
        let workers = self.jobs.entry(job).or_default();
        workers.starting.remove(&number);
        workers.failures = 0;
        workers.not_before = None;
        self.back_from_lease(job, number, now);
    }

    pub(crate) fn back_from_lease(&mut self, job: JobId, number: u32, now: Time) {
        self.jobs.entry(job).or_default().idle.push((number, now));
        self.idle += 1;
    }

    pub(crate) fn forget(&mut self, number: u32) {
        for workers in self.jobs.values_mut() {
            workers.starting.remove(&number);
            workers.idle.retain(|(idle, _)| *idle != number);
        }
        self.idle = self.jobs.values().map(|workers| workers.idle.len()).sum();
        self.jobs.retain(|_, workers| !workers.is_over());
    }

    /// Takes the job's idle worker that `prefer` likes, or else the one that was last used: its caches are warm.
    /// Never `asker`: a worker may want workers for tasks of its own, and cannot be its own worker.
    pub(crate) fn pop(&mut self, job: JobId, asker: Option<u32>, prefer: impl Fn(u32) -> bool) -> Option<u32> {
        let idle = &mut self.jobs.get_mut(&job)?.idle;
        let may = |number: u32| Some(number) != asker;
        let preferred = idle.iter().rposition(|(number, _)| may(*number) && prefer(*number));
        let at = preferred.or_else(|| idle.iter().rposition(|(number, _)| may(*number)))?;
        self.idle -= 1;
        Some(idle.remove(at).0)
    }

    pub(crate) fn has_idle(&self) -> bool {
        self.idle > 0
    }

    pub(crate) fn idle_of(&self, job: JobId) -> usize {
        self.jobs.get(&job).map_or(0, |workers| workers.idle.len())
    }

    /// Somebody else of this job than the asker is idle.
    pub(crate) fn has_one_for(&self, job: JobId, asker: u32) -> bool {
        self.jobs.get(&job).is_some_and(|workers| workers.idle.iter().any(|(number, _)| *number != asker))
    }

    /// Somebody asks for work to be done: try again even after giving up.
    pub(crate) fn resume(&mut self, job: JobId) {
        if let Some(workers) = self.jobs.get_mut(&job) {
            workers.paused = false;
        }
    }

    /// Workers of this job are on their way, or a pause after a failure runs.
    pub(crate) fn is_busy(&self, job: JobId) -> bool {
        self.jobs.get(&job).is_some_and(|workers| !workers.starting.is_empty() || workers.not_before.is_some())
    }

    pub(crate) fn jobs(&self) -> Vec<JobId> {
        self.jobs.keys().copied().collect()
    }

    /// The worker to retire next, and since when it is idle: of those that are more than what is kept ready, while there are
    /// more than `keep` in all or nobody of this node needs them.
    fn surplus(&self, keep: usize, ahead: usize) -> Option<(u32, Time)> {
        let too_many = self.idle > keep;
        let surplus = self.jobs.values().filter_map(|workers| {
            let kept = if workers.open { ahead } else { 0 };
            let first = workers.idle.first().filter(|_| workers.idle.len() > kept)?;
            (too_many || !workers.open).then_some(*first)
        });
        surplus.min_by_key(|(_, since)| *since)
    }

    pub(crate) fn deadline(&self, keep: usize, ahead: usize) -> Option<Time> {
        let retire = self.surplus(keep, ahead).map(|(_, since)| since + IDLE);
        let fork = self.jobs.values().filter(|workers| !workers.paused).filter_map(|workers| workers.not_before).min();
        retire.into_iter().chain(fork).min()
    }

    pub(crate) fn check(&self, process: impl Fn(u32) -> Option<(Phase, Option<JobId>)>) -> Result<(), String> {
        for (job, workers) in &self.jobs {
            for (number, _) in &workers.idle {
                if process(*number) != Some((Phase::Idle, Some(*job))) {
                    return Err(format!("worker {number} is in the pool of {job} but {:?}", process(*number)));
                }
            }
            for number in &workers.starting {
                if process(*number) != Some((Phase::Starting, Some(*job))) {
                    return Err(format!("worker {number} counts as starting for {job} but is {:?}", process(*number)));
                }
            }
        }
        if self.idle != self.jobs.values().map(|workers| workers.idle.len()).sum::<usize>() {
            return Err(format!("the pool counts {} idle workers and has others", self.idle));
        }
        Ok(())
    }
}

impl Raylet {
    /// The job that a live process belongs to.
    pub(crate) fn job_of(&self, number: u32) -> Option<JobId> {
        self.processes.live.get(&number)?.job
    }

    pub(crate) fn keep_idle(&self) -> usize {
        let cpus = self.capacity.total.get(crate::capacity::CPU).0.max(0) as u64;
        (cpus.div_ceil(10_000) as usize).max(self.ahead() * self.pool.jobs.len())
    }

    fn ahead(&self) -> usize {
        self.config.workers_ahead as usize
    }

    pub(crate) fn pool_deadline(&self) -> Option<Time> {
        self.pool.deadline(self.keep_idle(), self.ahead())
    }

    pub(crate) fn worker_forked(&mut self, number: u32, pid: i32) {
        if let Some(process) = self.processes.live.get_mut(&number) {
            process.pid = Some(pid);
        }
    }

    /// Forks what is missing: `needed` workers of this job could be put to use now, had we them.
    pub(crate) fn fork_missing(&mut self, now: Time, job: JobId, needed: usize, out: &mut Vec<Effect>) {
        let ahead = self.ahead();
        // A job of another node's driver has none until an actor of it comes here.
        if needed > 0 {
            self.pool.jobs.entry(job).or_default();
        }
        let Some(workers) = self.pool.jobs.get_mut(&job) else { return };
        if workers.paused || workers.not_before.is_some_and(|time| time > now) {
            return;
        }
        workers.not_before = None;
        let wanted = needed + if workers.open { ahead } else { 0 };
        // After a failure one at a time: no use in failing many times over.
        let most = if workers.failures > 0 { 1 } else { STARTING_MAX };
        while workers.idle.len() + workers.starting.len() < wanted && workers.starting.len() < most {
            let number = self.processes.add_worker(job);
            workers.starting.insert(number);
            let (node, epoch) = (self.config.node, self.config.epoch);
            out.push(Effect::ForkWorker { process: iosdk_types::Address { node, epoch, process: number }, job });
        }
    }

    /// The fork server could not make it: it never was.
    pub(crate) fn never_forked(&mut self, now: Time, number: u32, why: String, out: &mut Vec<Effect>) {
        let Some(process) = self.processes.live.get(&number).filter(|process| process.driver.is_none()) else { return };
        let (phase, job, said_hello) = (process.phase, process.job, process.said_hello);
        if phase == Phase::Starting || !said_hello {
            self.processes.live.remove(&number);
        }
        if let (Phase::Starting, Some(job)) = (phase, job) {
            self.fork_failed(now, job, number, why, out);
        }
    }

    /// A start failed. Tried again a bounded number of times, then everybody of the job who waits for a worker is told why.
    pub(crate) fn fork_failed(&mut self, now: Time, job: JobId, number: u32, why: String, out: &mut Vec<Effect>) {
        let tries = self.config.fork_tries.max(1);
        let Some(workers) = self.pool.jobs.get_mut(&job) else { return };
        workers.starting.remove(&number);
        workers.failures += 1;
        if workers.failures < tries {
            let pause = PAUSE.0.saturating_mul(1 << (workers.failures - 1).min(10));
            workers.not_before = Some(now + Span(pause));
            return;
        }
        let why = format!("no worker could be started ({} tries): {why}", workers.failures);
        workers.failures = 0;
        workers.not_before = None;
        workers.paused = true;
        let live = &self.processes.live;
        let of_job = |owner: u32| live.get(&owner).is_some_and(|process| process.job == Some(job));
        for (owner, class) in self.leases.abandon_waiting(of_job) {
            self.say(owner, RayletToProcess::Infeasible { class, why: why.clone() }, out);
        }
        self.refuse_waiting_actors(job, &why, out);
    }

    pub(crate) fn retire_idle(&mut self, now: Time, out: &mut Vec<Effect>) {
        while let Some((number, _)) =
            self.pool.surplus(self.keep_idle(), self.ahead()).filter(|(_, since)| *since + IDLE <= now)
        {
            self.retire(number, out);
        }
    }
}
