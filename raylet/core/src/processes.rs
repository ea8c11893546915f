//! Who is here: drivers and workers, from admission to death.

use crate::{Effect, Raylet};
use iosdk_types::message::{Attach, RayletToGcs, RayletToProcess, VERSION};
use iosdk_types::{ActorId, Address, JobId, Map, Set, Time};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Known, not welcomed yet.
    Starting,
    Driver,
    Idle,
    Leased(u64),
    Actor(ActorId),
    /// Gets no more work; leaves when nobody uses what it owns, and may want workers for its own tasks until then.
    Retiring,
    /// Told to end; its death is awaited.
    Ending,
}

#[derive(Clone, Debug)]
pub(crate) struct Driver {
    /// Known from the start of a private cluster, or once it said hello.
    pub(crate) namespace: Option<String>,
    pub(crate) attach: Option<Attach>,
}

#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) pid: Option<i32>,
    /// `None` for workers.
    pub(crate) driver: Option<Driver>,
    /// A worker's from birth, a driver's once the GCS accepted it.
    pub(crate) job: Option<JobId>,
    pub(crate) said_hello: bool,
    pub(crate) phase: Phase,
    /// SIGKILL was asked for.
    pub(crate) killed: bool,
    /// We told it to end (whatever way).
    pub(crate) intended: bool,
}

impl Process {
    pub(crate) fn is_member(&self) -> bool {
        self.phase != Phase::Starting
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Processes {
    pub(crate) live: Map<u32, Process>,
    /// Number of the next process; never used twice.
    next: u32,
    /// Jobs whose driver is gone or leaves, and whose workers are not all dead.
    closing: Set<JobId>,
}

impl Processes {
    pub(crate) fn add_worker(&mut self, job: JobId) -> u32 {
        self.add(None, Some(job), None)
    }

    fn add_driver(&mut self, namespace: Option<String>, pid: i32) -> u32 {
        self.add(Some(Driver { namespace, attach: None }), None, Some(pid))
    }

    fn add(&mut self, driver: Option<Driver>, job: Option<JobId>, pid: Option<i32>) -> u32 {
        let number = self.next;
        self.next += 1;
        let process =
            Process { pid, driver, job, said_hello: false, phase: Phase::Starting, killed: false, intended: false };
        self.live.insert(number, process);
        number
    }

    pub(crate) fn phase(&self, number: u32) -> Option<Phase> {
        self.live.get(&number).map(|process| process.phase)
    }
}

impl Raylet {
    pub(crate) fn address(&self, number: u32) -> Address {
        Address { node: self.config.node, epoch: self.config.epoch, process: number }
    }

    /// The live process behind an address; `None` for the dead, the unknown and those of other nodes or incarnations.
    pub(crate) fn live(&self, address: Address) -> Option<u32> {
        let ours = address.node == self.config.node && address.epoch == self.config.epoch;
        (ours && self.processes.live.contains_key(&address.process)).then_some(address.process)
    }

    pub(crate) fn say(&self, to: u32, message: RayletToProcess, out: &mut Vec<Effect>) {
        out.push(Effect::ToProcess { to: self.address(to), message });
    }

    pub(crate) fn driver_connected(&mut self, pid: i32, namespace: Option<String>, out: &mut Vec<Effect>) {
        let number = self.processes.add_driver(namespace, pid);
        out.push(Effect::AdmitDriver { process: self.address(number) });
        if let Some(joined) = self.driver_joined(number) {
            self.tell_gcs(joined, out);
        }
    }

    /// What the GCS is told of a driver; `None` until the driver has said where it belongs.
    pub(crate) fn driver_joined(&self, number: u32) -> Option<RayletToGcs> {
        let process = self.processes.live.get(&number)?;
        let driver = process.driver.as_ref()?;
        let namespace = driver.namespace.clone()?;
        let submission = driver.attach.as_ref().and_then(|attach| attach.submission);
        Some(RayletToGcs::DriverJoined { process: self.address(number), namespace, job: process.job, submission })
    }

    pub(crate) fn driver_accepted(&mut self, now: Time, process: Address, job: JobId, out: &mut Vec<Effect>) {
        let Some(number) = self.live(process) else { return };
        let Some(driver) = self.processes.live.get_mut(&number).filter(|process| process.driver.is_some()) else {
            return;
        };
        if driver.job.is_some() {
            // Said again by a GCS that was restarted; it was told the job and keeps it.
            return;
        }
        driver.job = Some(job);
        let attach = driver.driver.as_ref().and_then(|driver| driver.attach.clone());
        self.meter.submitted(job, attach.as_ref().and_then(|attach| attach.submission));
        out.push(Effect::OpenJob { job, driver: process, attach });
        self.pool.open(job);
        self.welcome(now, number, out);
    }

    /// Its driver is gone or leaves: so do its workers and actors.
    pub(crate) fn close_job(&mut self, job: JobId, out: &mut Vec<Effect>) {
        for worker in self.workers_of(job) {
            self.end_process(worker, false, "its job is over".to_owned(), out);
        }
        self.pool.close(job);
        self.processes.closing.insert(job);
        self.close_if_empty(job, out);
    }

    fn workers_of(&self, job: JobId) -> Vec<u32> {
        let of_job = |(_, process): &(&u32, &Process)| process.job == Some(job) && process.driver.is_none();
        self.processes.live.iter().filter(of_job).map(|(number, _)| *number).collect()
    }

    /// The last of its workers is dead.
    pub(crate) fn close_if_empty(&mut self, job: JobId, out: &mut Vec<Effect>) {
        if self.processes.closing.contains(&job) && self.workers_of(job).is_empty() {
            self.processes.closing.remove(&job);
            out.push(Effect::CloseJob { job });
        }
    }

    pub(crate) fn hello(
        &mut self,
        now: Time,
        number: u32,
        (version, pid): (u32, i32),
        attach: Option<Attach>,
        out: &mut Vec<Effect>,
    ) {
        let Some(process) = self.processes.live.get_mut(&number) else { return };
        if process.phase == Phase::Ending {
            return;
        }
        process.pid.get_or_insert(pid);
        if version != VERSION && version.checked_add(1) != Some(VERSION) {
            let reason = format!("protocol version {version} does not fit the cluster's, {VERSION}");
            if let (None, Some(job)) = (&process.driver, process.job) {
                self.fork_failed(now, job, number, reason.clone(), out);
            }
            self.end_process(number, true, reason, out);
            return;
        }
        if process.said_hello && process.is_member() {
            // Repeated: say it again, change nothing.
            self.say_welcome(number, out);
            return;
        }
        process.said_hello = true;
        if let Some(driver) = process.driver.as_mut().filter(|driver| driver.namespace.is_none()) {
            let Some(attach) = attach else {
                let reason = "a driver that joins a head must say how its workers run".to_owned();
                return self.end_process(number, true, reason, out);
            };
            driver.namespace = Some(attach.namespace.clone());
            driver.attach = Some(attach);
            if let Some(joined) = self.driver_joined(number) {
                self.tell_gcs(joined, out);
            }
        }
        self.welcome(now, number, out);
    }

    /// Makes it a member once it said hello and its job is known.
    fn welcome(&mut self, now: Time, number: u32, out: &mut Vec<Effect>) {
        let Some(process) = self.processes.live.get_mut(&number) else { return };
        let Some(job) = process.job.filter(|_| process.said_hello && process.phase == Phase::Starting) else { return };
        if process.driver.is_some() {
            process.phase = Phase::Driver;
        } else {
            process.phase = Phase::Idle;
            self.pool.worker_ready(job, number, now);
        }
        self.lanes.admit(number);
        self.say_welcome(number, out);
    }

    fn say_welcome(&self, number: u32, out: &mut Vec<Effect>) {
        let Some(job) = self.processes.live.get(&number).and_then(|process| process.job) else { return };
        let message = RayletToProcess::Welcome {
            version: VERSION,
            address: self.address(number),
            node: self.config.node_id,
            job,
            session: self.config.session.clone(),
            session_dir: self.config.session_dir.clone(),
            node_ip: self.config.node_ip.clone(),
            arena_limit: self.config.arena_limit,
            infeasible_waits: self.config.infeasible_waits,
        };
        self.say(number, message, out);
    }

    /// Nobody needs this worker. It leaves when nobody uses what it owns: only it knows, so it is not killed.
    pub(crate) fn retire(&mut self, number: u32, out: &mut Vec<Effect>) {
        self.pool.forget(number);
        if let Some(process) = self.processes.live.get_mut(&number) {
            process.phase = Phase::Retiring;
            process.intended = true;
            self.say(number, RayletToProcess::Retire, out);
        }
    }

    /// Ends a process: a polite word and time to leave, or at once. What it holds stays held until it is dead.
    /// A driver is somebody's program: it is told, never killed.
    pub(crate) fn end_process(&mut self, number: u32, graceful: bool, reason: String, out: &mut Vec<Effect>) {
        let to = self.address(number);
        let Some(process) = self.processes.live.get_mut(&number) else { return };
        if process.killed || (graceful && process.phase == Phase::Ending) {
            return;
        }
        process.phase = Phase::Ending;
        process.intended = true;
        self.pool.forget(number);
        self.leases.abandon_all_of(number);
        if graceful || process.driver.is_some() {
            out.push(Effect::ToProcess { to, message: RayletToProcess::Exit { reason } });
        }
        if process.driver.is_none() {
            process.killed = !graceful;
            out.push(Effect::Kill { process: to, graceful });
        }
    }
}
