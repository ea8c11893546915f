//! A node around the machine: it forks, kills and answers as a shell would, and keeps books of its own on what was promised.

use crate::{Config, Effect, Input, Raylet};
use iosdk_types::message::{GcsToRaylet, ProcessToRaylet, RayletToGcs, RayletToProcess, VERSION};
use iosdk_types::spec::{ActorSpec, ClassSpec};
use iosdk_types::{ActorId, Address, Amount, Death, Exit, JobId, Machine, Map, NodeId, ResourceSet, Set, Span, Time};
use std::collections::VecDeque;

pub(super) const MIB: u64 = 1 << 20;

pub(super) fn cpus(count: f64) -> ResourceSet {
    ResourceSet::new().with("CPU", Amount::from_f64(count).unwrap())
}

pub(super) fn class(cpu: f64, depth: u32) -> ClassSpec {
    ClassSpec { resources: cpus(cpu), depth }
}

pub(super) struct LeaseBook {
    pub(super) owner: Address,
    pub(super) worker: Address,
    pub(super) class: u32,
    resources: ResourceSet,
}

pub(super) struct World {
    pub(super) raylet: Raylet,
    pub(super) now: Time,
    pub(super) said: Map<Address, Vec<RayletToProcess>>,
    pub(super) to_gcs: Vec<RayletToGcs>,
    pub(super) forks: VecDeque<Address>,
    pub(super) forks_succeed: bool,
    /// Workers told to end are dead at once.
    pub(super) kills_at_once: bool,
    pub(super) killed: Vec<Address>,
    /// Survivors answer `PeerDying` and `PeerDead` at once, the latter with these claims.
    pub(super) acks_at_once: bool,
    pub(super) claims: Map<Address, Vec<u64>>,
    pub(super) punched: Vec<(u64, u64)>,
    pub(super) pins_watched: Vec<u64>,
    pub(super) watching: bool,
    pub(super) shut_down: bool,
    pub(super) jobs_started: Vec<u64>,
    pub(super) jobs_stopped: Vec<(u64, bool)>,
    pub(super) jobs_forgotten: Vec<u64>,
    pub(super) alive: Set<Address>,
    /// Processor time of each process so far, in nanoseconds.
    pub(super) cpu: Map<Address, u64>,
    pub(super) drivers: Vec<Address>,
    pub(super) leases: Map<u64, LeaseBook>,
    leases_ever: Set<u64>,
    classes: Map<(Address, u32), ClassSpec>,
    pub(super) blocked: Set<Address>,
    extents: Map<u64, (u64, Address)>,
    pub(super) homes: Map<ActorId, Address>,
    total: ResourceSet,
    pub(super) broken: Option<String>,
}

impl World {
    pub(super) fn new(cpu: f64) -> Self {
        Self::with(cpu, |_| {})
    }

    pub(super) fn with(cpu: f64, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { resources: cpus(cpu), ..Config::new(0, 1, NodeId([7; 28])) };
        config.arena_limit = 16 * MIB;
        change(&mut config);
        let total = config.resources.clone();
        let mut world = Self {
            raylet: Raylet::new(config),
            now: Time(1),
            said: Map::new(),
            to_gcs: Vec::new(),
            forks: VecDeque::new(),
            forks_succeed: true,
            kills_at_once: true,
            killed: Vec::new(),
            acks_at_once: true,
            claims: Map::new(),
            punched: Vec::new(),
            pins_watched: Vec::new(),
            watching: false,
            shut_down: false,
            jobs_started: Vec::new(),
            jobs_stopped: Vec::new(),
            jobs_forgotten: Vec::new(),
            alive: Set::new(),
            cpu: Map::new(),
            drivers: Vec::new(),
            leases: Map::new(),
            leases_ever: Set::new(),
            classes: Map::new(),
            blocked: Set::new(),
            extents: Map::new(),
            homes: Map::new(),
            total,
            broken: None,
        };
        world.step(Input::GcsUp);
        world
    }

    pub(super) fn driver(&mut self) -> Address {
        self.step(Input::DriverConnected { pid: 100, namespace: Some(String::new()) });
        let driver = *self.drivers.last().unwrap();
        self.says(driver, ProcessToRaylet::Hello { version: VERSION, pid: 100, attach: None });
        driver
    }

    pub(super) fn says(&mut self, from: Address, message: ProcessToRaylet) {
        match &message {
            ProcessToRaylet::Demand { class, spec, .. } => {
                self.classes.insert((from, *class), spec.clone());
            }
            ProcessToRaylet::ReturnLease { lease, .. }
                if self.leases.get(lease).is_some_and(|book| book.owner == from) =>
            {
                self.leases.remove(lease);
            }
            ProcessToRaylet::ExtentReturn { offset }
                if self.extents.get(offset).is_some_and(|(_, holder)| *holder == from) =>
            {
                self.extents.remove(offset);
            }
            _ => {}
        }
        self.step(Input::FromProcess { from, message });
    }

    pub(super) fn demands(&mut self, owner: Address, number: u32, spec: ClassSpec, want: u32) {
        self.says(owner, ProcessToRaylet::Demand { class: number, spec, want });
    }

    pub(super) fn returns(&mut self, lease: u64) {
        let owner = self.leases[&lease].owner;
        self.says(owner, ProcessToRaylet::ReturnLease { lease, worker_usable: true });
    }

    /// `(lease, worker)` of what this owner has.
    pub(super) fn leases_of(&self, owner: Address) -> Vec<(u64, Address)> {
        self.leases.iter().filter(|(_, book)| book.owner == owner).map(|(lease, book)| (*lease, book.worker)).collect()
    }

    pub(super) fn heard(&mut self, process: Address) -> Vec<RayletToProcess> {
        self.said.remove(&process).unwrap_or_default()
    }

    pub(super) fn reclaimed(&mut self, process: Address) -> Vec<u64> {
        let only = |message| match message {
            RayletToProcess::Reclaim { lease } => Some(lease),
            _ => None,
        };
        self.heard(process).into_iter().filter_map(only).collect()
    }

    pub(super) fn dies(&mut self, process: Address) {
        if !self.alive.remove(&process) {
            return;
        }
        self.leases.retain(|_, book| book.owner != process && book.worker != process);
        self.blocked.remove(&process);
        self.homes.retain(|_, home| *home != process);
        let death = Death { pid: 1, exit: Exit::Signal(9), intended: false, last_lines: Vec::new() };
        self.step(Input::ProcessDied { process, death });
    }

    pub(super) fn status(&mut self, blocked: &[Address]) {
        self.blocked = blocked.iter().copied().collect();
        self.step(Input::Status { blocked: blocked.to_vec() });
    }

    /// Lets time pass, with a tick at each deadline on the way.
    pub(super) fn wait(&mut self, millis: u64) {
        let end = self.now + Span::from_millis(millis);
        while let Some(due) = self.raylet.deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            let mut out = Vec::new();
            self.raylet.tick(self.now, &mut out);
            let next = self.raylet.deadline();
            if next.is_some_and(|next| next <= self.now) && out.is_empty() {
                self.breaks(format!("a tick at {:?} did nothing and is due again", self.now));
                return;
            }
            self.perform(out);
        }
        self.now = end;
    }

    pub(super) fn step(&mut self, input: Input) {
        let mut out = Vec::new();
        self.raylet.step(self.now, input, &mut out);
        self.perform(out);
    }

    pub(super) fn breaks(&mut self, why: String) {
        self.broken.get_or_insert(why);
    }

    /// Panics with the first promise that was broken.
    pub(super) fn is_fine(&self) {
        assert_eq!(self.broken, None);
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        if let Err(why) = self.raylet.check() {
            self.breaks(why);
        }
        let mut after = Vec::new();
        for effect in effects {
            self.perform_one(effect, &mut after);
        }
        for input in after {
            match input {
                Input::ProcessDied { process, .. } => self.dies(process),
                other => self.step(other),
            }
        }
    }

    fn perform_one(&mut self, effect: Effect, after: &mut Vec<Input>) {
        match effect {
            Effect::ToProcess { to, message } => self.deliver(to, message, after),
            Effect::ToGcs(message) => {
                self.gcs_answers(&message, after);
                self.to_gcs.push(message);
            }
            Effect::ForkWorker { process, job: _ } if self.forks_succeed => {
                self.alive.insert(process);
                after.push(Input::WorkerForked { process, pid: 1000 });
                let message = ProcessToRaylet::Hello { version: VERSION, pid: 1000, attach: None };
                after.push(Input::FromProcess { from: process, message });
            }
            Effect::ForkWorker { process, job: _ } => self.forks.push_back(process),
            Effect::AdmitDriver { process } => {
                self.alive.insert(process);
                self.drivers.push(process);
            }
            Effect::Kill { process, .. } => {
                self.killed.push(process);
                if self.kills_at_once {
                    let death = Death { pid: 1, exit: Exit::Signal(9), intended: true, last_lines: Vec::new() };
                    after.push(Input::ProcessDied { process, death });
                }
            }
            Effect::OpenLanes { a, lane_in_a, b, lane_in_b } => {
                if (a == b && lane_in_a != lane_in_b) || lane_in_a >= crate::LANES_MAX || lane_in_b >= crate::LANES_MAX
                {
                    self.breaks(format!("lanes {lane_in_a} and {lane_in_b} between {a} and {b}"));
                }
            }
            Effect::WatchStatus { on } => self.watching = on,
            Effect::Punch { offset, bytes } => {
                if self.overlapping(offset, bytes).is_some() {
                    self.breaks(format!("punched {bytes} bytes at {offset}, which are somebody's"));
                }
                self.punched.push((offset, bytes));
            }
            Effect::WatchPins { offset, .. } => self.pins_watched.push(offset),
            Effect::OpenJob { .. } | Effect::CloseJob { .. } => {}
            Effect::StartJob { number, .. } => self.jobs_started.push(number),
            Effect::StopJob { number, force } => self.jobs_stopped.push((number, force)),
            Effect::MeasureCpu { processes } => {
                let used = processes.into_iter().filter(|process| self.alive.contains(process));
                let used = used.map(|process| (process, self.cpu.get(&process).copied().unwrap_or(0))).collect();
                after.push(Input::CpuUsed { used });
            }
            Effect::ForgetJob { number } => self.jobs_forgotten.push(number),
            Effect::ShutDown => self.shut_down = true,
        }
    }

    fn gcs_answers(&mut self, message: &RayletToGcs, after: &mut Vec<Input>) {
        match message {
            RayletToGcs::DriverJoined { process, .. } => {
                let answer = GcsToRaylet::DriverAccepted { process: *process, job: JobId::from_index(1) };
                after.push(Input::FromGcs(answer));
            }
            RayletToGcs::CreateActor { spec } => {
                after.push(Input::FromGcs(GcsToRaylet::StartActor { spec: spec.clone() }));
            }
            RayletToGcs::ActorStarted { actor, address } => {
                if self.homes.insert(*actor, *address).is_some_and(|home| home != *address) {
                    self.breaks(format!("ACT-2: {actor} has two processes"));
                }
                if self.leases.values().any(|book| book.worker == *address) {
                    self.breaks(format!("SCHED-2: {actor} lives in a leased worker"));
                }
            }
            _ => {}
        }
    }

    fn deliver(&mut self, to: Address, message: RayletToProcess, after: &mut Vec<Input>) {
        if !self.alive.contains(&to) {
            return;
        }
        let mut answer = |message| after.push(Input::FromProcess { from: to, message });
        match &message {
            RayletToProcess::Granted { class, lease, worker } => self.booked(to, *class, *lease, *worker),
            RayletToProcess::ExtentGranted { offset, bytes, .. } => self.extent_granted(to, *offset, *bytes),
            RayletToProcess::Retire => {
                let death = Death { pid: 1, exit: Exit::Code(0), intended: true, last_lines: Vec::new() };
                after.push(Input::ProcessDied { process: to, death });
            }
            RayletToProcess::PeerDying { peer } if self.acks_at_once => {
                answer(ProcessToRaylet::DeadAck { peer: *peer });
            }
            RayletToProcess::PeerDead { peer, .. } if self.acks_at_once => {
                let extents = self.claims.get(&to).cloned().unwrap_or_default();
                answer(ProcessToRaylet::Claims { holder: *peer, extents });
            }
            _ => {}
        }
        self.said.entry(to).or_default().push(message);
    }

    fn booked(&mut self, owner: Address, class: u32, lease: u64, worker: Address) {
        if !self.leases_ever.insert(lease) || self.leases.values().any(|book| book.worker == worker) {
            self.breaks(format!("SCHED-2: lease {lease} of {worker} is granted twice"));
        }
        if self.homes.values().any(|home| *home == worker) {
            self.breaks(format!("SCHED-2: {worker} is an actor's and leased"));
        }
        let resources = self.classes[&(owner, class)].resources.clone();
        self.leases.insert(lease, LeaseBook { owner, worker, class, resources: resources.clone() });
        // At the moment of a grant, what runs must fit the node, as far as the grant takes of it.
        let mut running = ResourceSet::new();
        for book in self.leases.values().filter(|book| !self.blocked.contains(&book.worker)) {
            running.add(&book.resources);
        }
        if resources.iter().any(|(name, _)| running.get(name) > self.total.get(name)) {
            self.breaks(format!("SCHED-1: {running} run on {}", self.total));
        }
    }

    fn overlapping(&self, offset: u64, bytes: u64) -> Option<u64> {
        let before = self.extents.range(..offset + bytes).next_back()?;
        (before.0 + before.1.0 > offset).then_some(*before.0)
    }

    fn extent_granted(&mut self, holder: Address, offset: u64, bytes: u64) {
        if self.extents.get(&offset) == Some(&(bytes, holder)) {
            return;
        }
        if let Some(other) = self.overlapping(offset, bytes) {
            self.breaks(format!("STORE-1: extents at {offset} and {other} overlap"));
        }
        self.extents.insert(offset, (bytes, holder));
        if self.extents.values().map(|(bytes, _)| bytes).sum::<u64>() > 16 * MIB {
            self.breaks("STORE-1: more handed out than there is".to_owned());
        }
    }

    /// Nobody has a pin in this extent.
    pub(super) fn unpinned(&mut self, offset: u64) {
        self.extents.remove(&offset);
        self.step(Input::Unpinned { offset });
    }

    pub(super) fn extent_offsets(&self, holder: Address) -> Vec<u64> {
        self.extents.iter().filter(|(_, (_, by))| *by == holder).map(|(offset, _)| *offset).collect()
    }

    pub(super) fn creates(&mut self, owner: Address, number: u8, placement: ResourceSet, held: ResourceSet) -> ActorId {
        let actor = ActorId::derive([number; 12], JobId::from_index(1));
        let spec = ActorSpec { actor, owner, submission: None, class_name: "A".to_owned(), placement, held };
        self.says(owner, ProcessToRaylet::CreateActor { spec });
        actor
    }
}
