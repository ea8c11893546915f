//! PURE. The raylet machine: what one node knows and decides about its resources, leases, workers, lanes, actors and arena.
//! Invariants: SCHED-1, SCHED-2, STORE-1, ACT-2, JOB-1, USE-1 (`iosdk_types::invariant`).

mod account;
mod actors;
mod arena;
mod capacity;
pub mod config;
mod deaths;
pub mod effect;
mod endings;
mod gcs;
mod grant;
pub mod input;
mod jobs;
mod lanes;
mod leases;
mod metering;
mod planted;
mod pool;
mod processes;
mod reclaim;
mod store;
#[cfg(test)]
mod tests;
mod views;

pub use arena::UNIT as EXTENT_UNIT;
pub use config::Config;
pub use effect::Effect;
pub use input::Input;
pub use lanes::LANES_MAX;
#[cfg(feature = "planted")]
pub use planted::Bug;

use iosdk_types::message::ProcessToRaylet;
use iosdk_types::{Address, Machine, ResourceSet, Time};
use processes::Phase;

pub struct Raylet {
    config: Config,
    processes: processes::Processes,
    pool: pool::Pool,
    capacity: capacity::Capacity,
    leases: leases::Leases,
    lanes: lanes::Lanes,
    deaths: deaths::Deaths,
    actors: actors::Actors,
    jobs: jobs::Jobs,
    arena: arena::Arena,
    gcs: gcs::Link,
    meter: metering::Meter,
    /// The shell reads status words for us.
    watching: bool,
    shutting_down: bool,
    #[cfg(feature = "planted")]
    planted: Option<Bug>,
}

impl Raylet {
    pub fn new(config: Config) -> Self {
        Self {
            processes: processes::Processes::default(),
            pool: pool::Pool::default(),
            capacity: capacity::Capacity::new(config.resources.clone(), config.meters),
            leases: leases::Leases::default(),
            lanes: lanes::Lanes::default(),
            deaths: deaths::Deaths::default(),
            actors: actors::Actors::default(),
            jobs: jobs::Jobs::default(),
            arena: arena::Arena::new(config.arena_limit),
            gcs: gcs::Link::default(),
            meter: metering::Meter::default(),
            watching: false,
            shutting_down: false,
            #[cfg(feature = "planted")]
            planted: None,
            config,
        }
    }

    /// Whether the whole state makes sense. Costs time in proportion to it: for tests and simulations.
    pub fn check(&self) -> Result<(), String> {
        let phase = |number| self.processes.phase(number);
        let is_live = |number| self.processes.live.contains_key(&number);
        self.capacity.check()?;
        self.leases.check()?;
        self.pool.check(|number| self.processes.live.get(&number).map(|process| (process.phase, process.job)))?;
        self.lanes.check(is_live)?;
        self.deaths.check(is_live)?;
        self.actors.check(phase)?;
        self.jobs.check()?;
        self.arena.check()?;
        if let Some((owner, class)) = self.leases.waiting().find(|(owner, _)| phase(*owner) == Some(Phase::Ending)) {
            return Err(format!("{owner} is ending and waits for workers of class {class}"));
        }
        for (number, lease) in &self.leases.live {
            if let Some(owner) = lease.owner
                && !is_live(owner)
            {
                return Err(format!("lease {number} outlives its owner {owner}"));
            }
            let expected = match (phase(lease.worker), lease.owner) {
                (Some(Phase::Leased(of)), Some(_)) => of == *number,
                (Some(Phase::Ending), _) => true,
                _ => false,
            };
            if !expected || !self.capacity.holds.contains_key(&lease.worker) {
                return Err(format!("lease {number}: its worker is {:?}", phase(lease.worker)));
            }
        }
        if self.arena.held.values().any(|held| is_live(held.holder) == held.orphan.is_some()) {
            return Err("an extent's holder is both alive and dead".to_owned());
        }
        Ok(())
    }

    /// What is granted now: which grant (numbers are never used twice) or submitted job, what it has for itself, and how
    /// often it took back what it lent. Costs time in proportion to it: for tests and simulations.
    pub fn granted(&self) -> Vec<(Result<u64, u64>, ResourceSet, u32)> {
        self.capacity.granted().collect()
    }

    fn shut_down(&mut self, out: &mut Vec<Effect>) {
        if !self.shutting_down {
            self.shutting_down = true;
            out.push(Effect::ShutDown);
        }
    }

    fn process_says(&mut self, now: Time, from: Address, message: ProcessToRaylet, out: &mut Vec<Effect>) {
        let Some(number) = self.live(from) else { return };
        if let ProcessToRaylet::Hello { version, pid, attach } = message {
            return self.hello(now, number, (version, pid), attach, out);
        }
        let Some(phase) = self.processes.phase(number).filter(|phase| *phase != Phase::Starting) else { return };
        match message {
            ProcessToRaylet::Hello { .. } => {}
            ProcessToRaylet::Demand { class, spec, want } => {
                if phase != Phase::Ending {
                    self.demand(now, number, class, spec, want, out);
                }
            }
            ProcessToRaylet::ReturnLease { lease, worker_usable } => {
                self.return_lease(now, number, lease, worker_usable, out);
            }
            ProcessToRaylet::Connect { peer } => self.connect(number, peer, out),
            ProcessToRaylet::CreateActor { spec } => self.create_actor(number, spec, out),
            ProcessToRaylet::ResolveActor { actor } => self.watch_actor(number, actor, out),
            ProcessToRaylet::KillActor { actor, no_restart } => self.kill_actor(number, actor, no_restart, out),
            ProcessToRaylet::ActorState { actor, ended } => self.actor_state(number, actor, ended, out),
            ProcessToRaylet::DeadAck { peer } => {
                if self.address(peer.process) == peer {
                    self.dead_ack(number, peer.process, out);
                }
            }
            ProcessToRaylet::Claims { holder, extents } => {
                if self.address(holder.process) == holder {
                    self.claims(number, holder.process, &extents, out);
                }
            }
            ProcessToRaylet::Unclaim { holder, extent } => self.unclaim(number, holder, extent, out),
            ProcessToRaylet::ExtentRequest { request, bytes } => self.extent_request(now, number, request, bytes, out),
            ProcessToRaylet::ExtentReturn { offset } => self.extent_return(now, number, offset, out),
            ProcessToRaylet::Query { request, query } => self.query(number, request, &query, out),
            // The shell has asked.
            ProcessToRaylet::Described { .. } => {}
            ProcessToRaylet::Shutdown => match self.job_of(number).filter(|_| phase == Phase::Driver) {
                Some(_) if self.config.ends_with_driver => self.shut_down(out),
                Some(job) => self.close_job(job, out),
                None => {}
            },
        }
    }
}

impl Machine for Raylet {
    type Input = Input;
    type Effect = Effect;

    fn step(&mut self, now: Time, input: Input, out: &mut Vec<Effect>) {
        match input {
            Input::DriverConnected { pid, namespace } => self.driver_connected(pid, namespace, out),
            Input::WorkerForked { process, pid } => {
                if let Some(number) = self.live(process) {
                    self.worker_forked(number, pid);
                }
            }
            Input::ForkFailed { process, why } => {
                if let Some(number) = self.live(process) {
                    self.never_forked(now, number, why, out);
                }
            }
            Input::FromProcess { from, message } => self.process_says(now, from, message, out),
            Input::FromGcs(message) => self.gcs_says(now, message, out),
            Input::GcsUp => self.gcs_up(out),
            Input::GcsDown => self.gcs_down(),
            Input::ProcessDied { process, death } => self.process_died(now, process, death, out),
            Input::JobFound { number, held, started_ms } => self.job_found(number, held, started_ms),
            Input::JobStarted { number, started_ms } => self.job_started(number, started_ms, out),
            Input::JobEnded { number, report } => self.job_over(number, report, out),
            Input::CpuUsed { used } => self.cpu_used(now, &used, out),
            Input::Status { blocked } => self.status(&blocked),
            Input::Unpinned { offset } => self.unpinned(now, offset, out),
        }
        self.schedule(now, out);
        self.note_changes(now);
        self.meter(now, out);
    }

    fn deadline(&self) -> Option<Time> {
        let mut earliest =
            [self.deaths.deadline(), self.arena.deadline(), self.gcs.deadline()].into_iter().flatten().min();
        if self.gcs.is_up() {
            earliest = earliest.into_iter().chain(self.meter.deadline()).min();
        }
        if !self.shutting_down {
            let scheduling = self.grant_deadline().into_iter().chain(self.pool_deadline());
            earliest = earliest.into_iter().chain(scheduling).min();
        }
        earliest
    }

    fn tick(&mut self, now: Time, out: &mut Vec<Effect>) {
        self.stop_waiting_for_acks(now, out);
        self.refuse_overdue(now, out);
        if !self.shutting_down {
            self.retire_idle(now, out);
        }
        self.schedule(now, out);
        self.note_changes(now);
        self.meter(now, out);
        self.report_if_due(now, out);
    }
}
