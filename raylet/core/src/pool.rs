//! The workers: forked when somebody waits for one, a few kept ready, too many idle ones retired.

use crate::processes::Phase;
use crate::{Effect, Raylet};
use iosdk_types::message::RayletToProcess;
use iosdk_types::{Set, Span, Time};

/// An idle worker beyond the node's CPUs is ended after this long.
const IDLE: Span = Span::from_secs(1);
/// The first pause after a failed start; doubled with each further failure.
const PAUSE: Span = Span::from_millis(20);
/// More starts than this at a time only make each of them late.
const STARTING_MAX: usize = 64;

#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    /// A driver came: from now on workers are kept ready.
    pub(crate) open: bool,
    /// Idle workers, longest idle first.
    pub(crate) idle: Vec<(u32, Time)>,
    starting: Set<u32>,
    /// Starts that failed in a row.
    failures: u32,
    not_before: Option<Time>,
    /// Given up on after too many failures, until somebody asks for a worker anew.
    paused: bool,
}

impl Pool {
    pub(crate) fn worker_ready(&mut self, number: u32, now: Time) {
        self.starting.remove(&number);
        self.failures = 0;
        self.not_before = None;
        self.idle.push((number, now));
    }

    pub(crate) fn back_from_lease(&mut self, number: u32, now: Time) {
        self.idle.push((number, now));
    }

    pub(crate) fn forget(&mut self, number: u32) {
        self.starting.remove(&number);
        self.idle.retain(|(idle, _)| *idle != number);
    }

    /// Takes the idle worker that `prefer` likes, or else the one that was last used: its caches are warm.
    /// Never `asker`: a worker may want workers for tasks of its own, and cannot be its own worker.
    pub(crate) fn pop(&mut self, asker: Option<u32>, prefer: impl Fn(u32) -> bool) -> Option<u32> {
        let may = |number: u32| Some(number) != asker;
        let preferred = self.idle.iter().rposition(|(number, _)| may(*number) && prefer(*number));
        let at = preferred.or_else(|| self.idle.iter().rposition(|(number, _)| may(*number)))?;
        Some(self.idle.remove(at).0)
    }

    /// Somebody else than the asker is idle.
    pub(crate) fn has_one_for(&self, asker: u32) -> bool {
        self.idle.iter().any(|(number, _)| *number != asker)
    }

    /// Somebody asks for work to be done: try again even after giving up.
    pub(crate) fn resume(&mut self) {
        self.paused = false;
    }

    /// Workers are on their way, or a pause after a failure runs.
    pub(crate) fn is_busy(&self) -> bool {
        !self.starting.is_empty() || self.not_before.is_some()
    }

    pub(crate) fn deadline(&self, keep: usize) -> Option<Time> {
        let retire = if self.idle.len() > keep { self.idle.first().map(|(_, since)| *since + IDLE) } else { None };
        let fork = if self.paused { None } else { self.not_before };
        retire.into_iter().chain(fork).min()
    }

    pub(crate) fn check(&self, phase: impl Fn(u32) -> Option<Phase>) -> Result<(), String> {
        for (number, _) in &self.idle {
            if phase(*number) != Some(Phase::Idle) {
                return Err(format!("worker {number} is in the pool but {:?}", phase(*number)));
            }
        }
        for number in &self.starting {
            if phase(*number) != Some(Phase::Starting) {
                return Err(format!("worker {number} counts as starting but is {:?}", phase(*number)));
            }
        }
        Ok(())
    }
}

impl Raylet {
    pub(crate) fn keep_idle(&self) -> usize {
        let cpus = self.capacity.total.get(crate::capacity::CPU).0.max(0) as u64;
        (cpus.div_ceil(10_000) as usize).max(self.config.workers_ahead as usize)
    }

    pub(crate) fn worker_forked(&mut self, number: u32, pid: i32) {
        if let Some(process) = self.processes.live.get_mut(&number) {
            process.pid = Some(pid);
        }
    }

    /// Forks what is missing: `needed` workers could be put to use now, had we them.
    pub(crate) fn fork_missing(&mut self, now: Time, needed: usize, out: &mut Vec<Effect>) {
        if !self.pool.open || self.pool.paused || self.pool.not_before.is_some_and(|time| time > now) {
            return;
        }
        self.pool.not_before = None;
        let wanted = needed + self.config.workers_ahead as usize;
        // After a failure one at a time: no use in failing many times over.
        let most = if self.pool.failures > 0 { 1 } else { STARTING_MAX };
        while self.pool.idle.len() + self.pool.starting.len() < wanted && self.pool.starting.len() < most {
            let number = self.processes.add(None, None);
            self.pool.starting.insert(number);
            out.push(Effect::ForkWorker { process: self.address(number) });
        }
    }

    /// The fork server could not make it: it never was.
    pub(crate) fn never_forked(&mut self, now: Time, number: u32, why: String, out: &mut Vec<Effect>) {
        let fresh = self.processes.live.get(&number);
        if fresh.is_some_and(|process| process.driver.is_none() && process.phase == Phase::Starting) {
            self.fork_failed(now, number, why, out);
            self.processes.live.remove(&number);
        } else if fresh.is_some_and(|process| process.driver.is_none() && !process.said_hello) {
            self.processes.live.remove(&number);
        }
    }

    /// A start failed. Tried again a bounded number of times, then everybody who waits for a worker is told why.
    pub(crate) fn fork_failed(&mut self, now: Time, number: u32, why: String, out: &mut Vec<Effect>) {
        self.pool.forget(number);
        self.pool.failures += 1;
        if self.pool.failures < self.config.fork_tries.max(1) {
            let pause = PAUSE.0.saturating_mul(1 << (self.pool.failures - 1).min(10));
            self.pool.not_before = Some(now + Span(pause));
            return;
        }
        let why = format!("no worker could be started ({} tries): {why}", self.pool.failures);
        self.pool.failures = 0;
        self.pool.not_before = None;
        self.pool.paused = true;
        for (owner, class) in self.leases.abandon_waiting() {
            self.say(owner, RayletToProcess::Infeasible { class, why: why.clone() }, out);
        }
        self.refuse_waiting_actors(&why, out);
    }

    pub(crate) fn retire_idle(&mut self, now: Time, out: &mut Vec<Effect>) {
        while self.pool.idle.len() > self.keep_idle() {
            let (number, since) = self.pool.idle[0];
            if since + IDLE > now {
                return;
            }
            self.retire(number, out);
        }
    }
}
