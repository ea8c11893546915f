//! The state that must last, and what follows from it: a fold of records and of nothing else. A record that makes no sense
//! where it stands (it cannot be written by this machine) changes nothing.

use crate::queue::Queue;
use crate::record::{Incarnation, Job, Record, Snapshot, State, StopAsked};
use iosdk_types::{Amount, JobId, Map, ResourceSet, Set};

#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    pub(crate) lasting: Snapshot,
    pub(crate) ids: Map<String, u64>,
    pub(crate) queue: Queue,
    pub(crate) hosts: Map<u32, Host>,
    /// Jobs that have ended.
    pub(crate) over: Set<u64>,
    /// Jobs that are sent or run.
    pub(crate) placed: usize,
}

/// The submitted jobs of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) jobs: Set<u64>,
    pub(crate) held: ResourceSet,
}

impl Kept {
    pub(crate) fn recover(snapshot: Snapshot, records: &[Record]) -> Self {
        let mut kept = Self { lasting: snapshot, ..Self::default() };
        let jobs = std::mem::take(&mut kept.lasting.jobs);
        for (number, job) in jobs {
            kept.list(number, &job);
            kept.lasting.jobs.insert(number, job);
        }
        for record in records {
            kept.apply(record);
        }
        kept
    }

    pub(crate) fn job(&self, number: u64) -> Option<&Job> {
        self.lasting.jobs.get(&number)
    }

    pub(crate) fn find(&self, id: &str) -> Option<(u64, &Job)> {
        let number = *self.ids.get(id)?;
        Some((number, self.job(number)?))
    }

    pub(crate) fn jobs_at(&self, node: u32) -> Vec<u64> {
        self.hosts.get(&node).map(|host| host.jobs.iter().copied().collect()).unwrap_or_default()
    }

    pub(crate) fn apply(&mut self, record: &Record) {
        match record {
            Record::JobAccepted { number, submission_id, user, tenant, resources, digest, at_ms } => {
                let job = Job {
                    submission_id: submission_id.clone(),
                    user: user.clone(),
                    tenant: tenant.clone(),
                    resources: resources.clone(),
                    digest: *digest,
                    submitted_ms: *at_ms,
                    driver: None,
                    stop: None,
                    state: State::Queued,
                };
                if *number > self.lasting.last_number {
                    self.lasting.last_number = *number;
                    self.list(*number, &job);
                    self.lasting.jobs.insert(*number, job);
                }
            }
            Record::JobSent { number, node } => {
                self.moves(*number, |state| (*state == State::Queued).then_some(State::Sent { node: *node }));
            }
            Record::JobStarted { number, node, started_ms } => self.moves(*number, |state| {
                let sent = *state == State::Sent { node: *node };
                sent.then_some(State::Running { node: *node, started_ms: *started_ms })
            }),
            Record::JobEnded { number, report } => self.moves(*number, |state| {
                let live = !matches!(state, State::Ended { .. });
                live.then(|| State::Ended { node: state.host(), report: report.clone() })
            }),
            Record::JobStopAsked { number, by, force, at_ms } => {
                if let Some(job) = self.lasting.jobs.get_mut(number) {
                    job.stop = Some(StopAsked { by: by.clone(), force: *force, at_ms: *at_ms });
                }
            }
            Record::JobDeleted { number } => {
                if let Some(job) = self.lasting.jobs.remove(number) {
                    self.unlist(*number, &job);
                    self.ids.remove(&job.submission_id);
                }
            }
            Record::DriverJob { index, submission } => self.driver_job(*index, *submission),
            Record::UsageBooked { node, epoch, records } => {
                let jobs = &self.lasting.jobs;
                let user_of = |number| jobs.get(&number).map(|job: &Job| job.user.as_str());
                self.lasting.usage.book(*node, *epoch, records, user_of);
            }
            Record::NodeIncarnation { node, epoch, alive, hostname, resources } => {
                let (hostname, resources) = (hostname.clone(), resources.clone());
                self.lasting.usage.capacity(*node, *epoch, &resources);
                self.lasting.nodes.insert(*node, Incarnation { epoch: *epoch, alive: *alive, hostname, resources });
            }
        }
    }

    fn driver_job(&mut self, index: u32, submission: Option<u64>) {
        self.lasting.last_driver_job = self.lasting.last_driver_job.max(index);
        if let Some(job) = submission.and_then(|number| self.lasting.jobs.get_mut(&number)) {
            job.driver.get_or_insert(JobId::from_index(index));
        }
    }

    fn moves(&mut self, number: u64, next: impl FnOnce(&State) -> Option<State>) {
        let Some(mut job) = self.lasting.jobs.remove(&number) else { return };
        if let Some(state) = next(&job.state) {
            self.unlist(number, &job);
            job.state = state;
            self.list(number, &job);
        }
        self.lasting.jobs.insert(number, job);
    }

    fn list(&mut self, number: u64, job: &Job) {
        self.ids.insert(job.submission_id.clone(), number);
        if job.state == State::Queued {
            self.queue.add(number, &job.resources);
        }
        if matches!(job.state, State::Ended { .. }) {
            self.over.insert(number);
        }
        if let Some(node) = job.state.host() {
            let host = self.hosts.entry(node).or_default();
            host.jobs.insert(number);
            host.held.add(&job.resources);
            self.placed += 1;
        }
    }

    fn unlist(&mut self, number: u64, job: &Job) {
        self.queue.remove(number, &job.resources);
        self.over.remove(&number);
        let Some(node) = job.state.host() else { return };
        let Some(host) = self.hosts.get_mut(&node) else { return };
        if host.jobs.remove(&number) {
            host.held.subtract(&job.resources);
            self.placed -= 1;
        }
        if host.jobs.is_empty() {
            self.hosts.remove(&node);
        }
    }

    /// Whether what follows from the jobs is what they say.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.queue.check()?;
        self.lasting.usage.check()?;
        let again = Self::recover(self.lasting.clone(), &[]);
        if (&again.ids, &again.queue, &again.over, again.placed) != (&self.ids, &self.queue, &self.over, self.placed) {
            return Err("the lists of jobs are not those of the jobs".to_owned());
        }
        if again.hosts != self.hosts {
            return Err(format!("the jobs are at {:?}, listed are {:?}", again.hosts, self.hosts));
        }
        match self.hosts.values().flat_map(|host| host.held.iter()).find(|(_, amount)| *amount < Amount(0)) {
            Some((name, amount)) => Err(format!("jobs hold {amount} of {name}")),
            None => Ok(()),
        }
    }
}
