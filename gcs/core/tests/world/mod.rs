//! A cluster around the real machine: a log that becomes durable late, effects that wait for it, and machines that run jobs
//! and outlive their raylets. It counts what it sees by itself and stops at the first broken promise.

#![allow(dead_code, reason = "each test binary uses its own part")]

mod ledger;
mod machine;

use iosdk_gcs_core::{
    ApiCall, ApiReply, Config, Effect, Gcs, Input, JobStatus, JobView, NewJob, Record, Snapshot, waits_for_log,
};
use iosdk_types::message::{GcsToRaylet, NodeRecord, RayletToGcs, VERSION};
use iosdk_types::{Address, Amount, JobId, JobReport, Machine as _, Map, NodeId, ResourceSet, Set, Span, Time};
use ledger::Ledger;
pub(crate) use machine::Machine;

pub(crate) fn cpus(units: i64) -> ResourceSet {
    ResourceSet::new().with("CPU", Amount::units(units))
}

pub(crate) struct World {
    pub(crate) gcs: Gcs,
    config: Config,
    pub(crate) now: Time,
    /// Written so far, and how much of it survives a crash for certain.
    pub(crate) log: Vec<Record>,
    durable: usize,
    snapshots: Vec<(usize, Snapshot)>,
    held: Vec<Effect>,
    pub(crate) machines: Map<u32, Machine>,
    ledger: Ledger,
    /// Submissions whose acceptance was heard.
    pub(crate) accepted: Set<u64>,
    driver_jobs: Map<JobId, Address>,
    drivers: u32,
    /// Jobs that a reboot took along, for those that may begin twice.
    rebooted: Map<u64, u32>,
    begun: Map<u64, u32>,
    reports: Map<u64, JobReport>,
    requests: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comes {
    /// Only the link was lost.
    Back,
    /// The raylet was restarted; jobs run on.
    Restarted,
    /// The machine was: jobs are gone.
    Rebooted,
}

impl World {
    pub(crate) fn new(config: Config, capacities: &[i64]) -> Self {
        let machines = capacities.iter().enumerate().map(|(node, cpu)| (node as u32, Machine::new(*cpu))).collect();
        Self {
            gcs: Gcs::new(config),
            ledger: Ledger::new(config.slots),
            config,
            now: Time(0),
            log: Vec::new(),
            durable: 0,
            snapshots: Vec::new(),
            held: Vec::new(),
            machines,
            accepted: Set::new(),
            driver_jobs: Map::new(),
            drivers: 0,
            rebooted: Map::new(),
            begun: Map::new(),
            reports: Map::new(),
            requests: 0,
        }
    }

    fn step(&mut self, input: Input) -> Vec<Effect> {
        let mut out = Vec::new();
        self.gcs.step(self.now, input, &mut out);
        self.take(out.clone());
        out
    }

    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Append(record) => {
                    if let Record::JobEnded { number, report } = &record {
                        self.is_true(*number, report);
                    }
                    self.ledger.written(&record, &self.machines);
                    self.log.push(record);
                }
                effect if waits_for_log(&effect) => self.held.push(effect),
                effect => self.perform(effect),
            }
        }
        assert_eq!(self.gcs.check(), Ok(()));
        self.ledger.nothing_waits_in_vain(&self.machines);
    }

    /// What is written about an end is what a node said, or what nobody could see.
    fn is_true(&self, number: u64, report: &JobReport) {
        use iosdk_types::JobCause as Cause;
        match report.cause {
            Cause::NodeLost => {}
            Cause::SupervisorDied => assert!(self.rebooted.contains_key(&number), "job {number} was not lost"),
            Cause::Stopped if report.started_ms == 0 && !self.reports.contains_key(&number) => {
                assert!(!self.begun.contains_key(&number), "job {number} was not in the queue");
            }
            _ => assert_eq!(self.reports.get(&number), Some(report), "job {number} ended otherwise"),
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Append(_) | Effect::Forgotten { .. } => {}
            Effect::Reply { reply: ApiReply::Accepted { number, .. }, .. } => {
                self.accepted.insert(number);
            }
            Effect::Reply { .. } => {}
            Effect::ToRaylet { message: GcsToRaylet::DriverAccepted { process, job }, .. } => {
                let first = *self.driver_jobs.entry(job).or_insert(process);
                assert_eq!(first, process, "two drivers have {job}");
            }
            Effect::ToRaylet { node, message } => self.deliver_later(node, message),
            Effect::StartJob { node, number, held } => {
                let spec = iosdk_types::JobSpec {
                    submission_id: String::new(),
                    entrypoint: "true".to_owned(),
                    env: Vec::new(),
                    secrets_file: None,
                    working_dir: None,
                    log_limit: 0,
                };
                self.deliver_later(node, GcsToRaylet::StartJob { number, held, spec });
            }
        }
    }

    fn deliver_later(&mut self, node: u32, message: GcsToRaylet) {
        if let Some(machine) = self.machines.get_mut(&node).filter(|machine| machine.up) {
            machine.inbox.push_back(message);
        }
    }

    pub(crate) fn says(&mut self, node: u32, message: RayletToGcs) {
        if self.machines[&node].up {
            self.step(Input::FromRaylet { node, message });
        }
    }

    pub(crate) fn calls(&mut self, call: ApiCall) -> ApiReply {
        self.requests += 1;
        let request = self.requests;
        let out = self.step(Input::Api { request, call });
        let mut replies = out.into_iter().filter_map(|effect| match effect {
            Effect::Reply { request: to, reply } if to == request => Some(reply),
            _ => None,
        });
        let (reply, none) = (replies.next(), replies.next());
        assert_eq!(none, None, "answered twice");
        reply.expect("every call is answered")
    }

    pub(crate) fn submits(&mut self, id: Option<&str>, resources: ResourceSet) -> ApiReply {
        let now_ms = 1_000 + self.now.0 / 1_000_000;
        let (submission_id, digest) = (id.map(str::to_owned), resources.get("CPU").0.unsigned_abs());
        self.calls(ApiCall::Submit(NewJob { submission_id, resources, digest, now_ms, ..NewJob::default() }))
    }

    /// The job under this id, as anybody sees it.
    pub(crate) fn job(&mut self, id: &str) -> JobView {
        match self.calls(ApiCall::Job { id: id.to_owned() }) {
            ApiReply::Job(view) => view,
            other => panic!("{other:?}"),
        }
    }

    /// The log is durable, and everybody has read everything.
    pub(crate) fn settles(&mut self) {
        let nodes: Vec<u32> = self.machines.keys().copied().collect();
        while !self.held.is_empty() || nodes.iter().any(|node| self.delivers(*node)) {
            self.flush();
        }
    }

    pub(crate) fn status(&mut self, number: u64) -> Option<JobStatus> {
        match self.calls(ApiCall::Jobs { offset: 0, limit: usize::MAX, status: None }) {
            ApiReply::Jobs(views, _) => views.iter().find(|view| view.number == number).map(|view| view.status),
            other => panic!("{other:?}"),
        }
    }

    /// The log is durable: what waited for it is let out.
    pub(crate) fn flush(&mut self) {
        self.durable = self.log.len();
        for effect in std::mem::take(&mut self.held) {
            self.perform(effect);
        }
    }

    pub(crate) fn snapshots(&mut self) {
        self.snapshots.push((self.log.len(), self.gcs.snapshot()));
    }

    fn recovered(&self) -> Gcs {
        let (from, snapshot) = match self.snapshots.last() {
            Some((from, snapshot)) => (*from, Some(snapshot.clone())),
            None => (0, None),
        };
        Gcs::recover(self.config, snapshot, self.log[from..].to_vec())
    }

    pub(crate) fn recovered_is_live(&self) {
        assert_eq!(self.recovered().snapshot(), self.gcs.snapshot());
    }

    /// The head is killed; of what it wrote and nobody was told, `lost` records are gone.
    pub(crate) fn head_restarts(&mut self, lost: usize) {
        let kept = self.log.len().saturating_sub(lost).max(self.durable);
        self.log.truncate(kept);
        self.snapshots.retain(|(from, _)| *from <= kept);
        self.held.clear();
        for machine in self.machines.values_mut() {
            machine.cut();
            machine.ready = false;
        }
        self.gcs = self.recovered();
        self.ledger = Ledger::new(self.config.slots);
        self.ledger.read(&self.log);
        self.durable = kept;
        assert_eq!(self.gcs.check(), Ok(()));
    }

    pub(crate) fn cut(&mut self, node: u32, lost: bool) {
        let machine = self.machines.get_mut(&node).expect("a machine");
        machine.cut();
        machine.ready &= !lost;
        if lost {
            self.step(Input::NodeLost { node });
        }
    }

    pub(crate) fn joins(&mut self, node: u32, how: Comes) {
        let machine = self.machines.get_mut(&node).expect("a machine");
        machine.cut();
        machine.ready = false;
        if how != Comes::Back {
            machine.epoch += 1;
        }
        if how == Comes::Rebooted {
            for number in machine.reboot() {
                *self.rebooted.entry(number).or_default() += 1;
            }
        }
        machine.up = true;
        let (epoch, resources) = (machine.epoch, cpus(machine.cpu));
        let again = machine.says_again();
        let (id, ip, hostname) = (NodeId([node as u8; 28]), "127.0.0.1".to_owned(), format!("host-{node}"));
        let record = NodeRecord { node: id, alive: true, ip, hostname, resources };
        self.says(node, RayletToGcs::Join { version: VERSION, node, epoch, record });
        for message in again {
            let last = matches!(message, RayletToGcs::JobsHere { .. });
            self.machines.get_mut(&node).expect("a machine").ready = last && self.ledger.believes(node, epoch);
            self.says(node, message);
        }
    }

    pub(crate) fn driver_arrives(&mut self, node: u32) {
        self.drivers += 1;
        let process = Address { node, epoch: self.machines[&node].epoch, process: self.drivers };
        let namespace = "n".to_owned();
        self.says(node, RayletToGcs::DriverJoined { process, namespace, job: None, submission: None });
    }

    /// The raylet reads its oldest message.
    pub(crate) fn delivers(&mut self, node: u32) -> bool {
        let machine = self.machines.get_mut(&node).expect("a machine");
        let Some(message) = machine.inbox.pop_front() else { return false };
        if let GcsToRaylet::StartJob { number, .. } = &message {
            let elsewhere = |(other, machine): (&u32, &Machine)| *other != node && machine.lives(*number);
            assert!(!self.machines.iter().any(elsewhere), "job {number} lives twice");
        }
        let machine = self.machines.get_mut(&node).expect("a machine");
        if let Some((number, report)) = machine.hears(message) {
            self.reports.insert(number, report.clone());
            self.says(node, RayletToGcs::JobEnded { number, report });
        }
        true
    }

    pub(crate) fn begins(&mut self, node: u32, nth: usize) {
        let started_ms = 2_000 + self.now.0 / 1_000_000;
        let machine = self.machines.get_mut(&node).expect("a machine");
        if let Some(number) = machine.begins(nth, started_ms) {
            let times = self.begun.entry(number).or_default();
            *times += 1;
            let lost = self.rebooted.get(&number).copied().unwrap_or(0);
            assert!(*times <= 1 + lost, "job {number} began {times} times and was lost {lost} times");
            assert!(!self.ledger.is_started(number), "job {number} is known to have begun and begins again");
            self.says(node, RayletToGcs::JobStarted { number, started_ms });
            let up = self.machines[&node].up;
            assert!(!up || self.ledger.is_started(number) || self.ledger.is_over(number), "{number} begins unnoticed");
        }
    }

    pub(crate) fn ends(&mut self, node: u32, nth: usize, code: i32) {
        let machine = self.machines.get_mut(&node).expect("a machine");
        if let Some((number, report)) = machine.ends(nth, code) {
            self.reports.insert(number, report.clone());
            self.says(node, RayletToGcs::JobEnded { number, report });
        }
    }

    pub(crate) fn passes(&mut self, span: Span) {
        self.now = self.now + span;
        if self.gcs.deadline().is_some_and(|due| due <= self.now) {
            let mut out = Vec::new();
            self.gcs.tick(self.now, &mut out);
            self.take(out);
            assert!(self.gcs.deadline().is_none_or(|due| due > self.now), "a deadline that has passed");
        }
    }

    /// No more trouble: everything that can end does.
    pub(crate) fn calms_down(&mut self) {
        let nodes: Vec<u32> = self.machines.keys().copied().collect();
        for node in &nodes {
            self.joins(*node, Comes::Restarted);
        }
        self.flush();
        for node in &nodes {
            while self.delivers(*node) {}
            for number in self.machines[node].jobs.keys().filter(|number| self.ledger.is_over(**number)) {
                assert!(!self.machines[node].lives(*number), "job {number} was given up and lives on");
            }
        }
        for _ in 0..10_000 {
            self.flush();
            let mut busy = false;
            for node in &nodes {
                while self.delivers(*node) {
                    busy = true;
                }
                self.begins(*node, 0);
                self.ends(*node, 0, 0);
                busy |= self.machines[node].has_work();
            }
            if !busy && self.held.is_empty() && self.machines.values().all(|machine| machine.inbox.is_empty()) {
                return;
            }
        }
        panic!("it does not calm down");
    }
}
