//! Submitted jobs of this node: each waits until what it holds is free, is started once, and its end is told until it is noted.

use crate::{Effect, Raylet};
use iosdk_types::message::RayletToGcs;
use iosdk_types::{JobCause, JobReport, JobSpec, Map, ResourceSet};
use std::collections::VecDeque;

#[derive(Clone, Debug)]
enum Stage {
    /// For room.
    Waits(Box<JobSpec>),
    /// The supervisor was asked for; the entrypoint may have begun.
    Runs {
        started_ms: Option<u64>,
    },
    Over(JobReport),
}

#[derive(Clone, Debug)]
struct Job {
    /// As people know it; empty when an earlier incarnation of this daemon started it.
    name: String,
    held: ResourceSet,
    stage: Stage,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Jobs {
    here: Map<u64, Job>,
    queue: VecDeque<u64>,
}

impl Jobs {
    /// What the job that has waited longest needs free.
    pub(crate) fn first_need(&self) -> Option<ResourceSet> {
        self.here.get(self.queue.front()?).map(|job| job.held.clone())
    }

    pub(crate) fn name(&self, number: u64) -> &str {
        self.here.get(&number).map_or("", |job| &job.name)
    }

    pub(crate) fn wait(&self) -> bool {
        !self.queue.is_empty()
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let waiting = self.here.values().filter(|job| matches!(job.stage, Stage::Waits(_))).count();
        if waiting != self.queue.len() {
            return Err(format!("{} submitted jobs queue, {waiting} wait", self.queue.len()));
        }
        Ok(())
    }
}

impl Raylet {
    /// Said again, it is the same job: the GCS hears how far it is.
    pub(crate) fn start_job(&mut self, number: u64, held: ResourceSet, spec: JobSpec, out: &mut Vec<Effect>) {
        if self.jobs.here.contains_key(&number) {
            return self.tell_job(number, out);
        }
        if self.shutting_down {
            return;
        }
        if !self.capacity.total.covers(&held) {
            let why = format!("it needs {held}; the node has {}", self.capacity.total);
            let report = JobReport::unseen(JobCause::CannotStart(why), 0, 0);
            self.jobs.here.insert(number, Job { name: spec.submission_id, held, stage: Stage::Over(report) });
            return self.tell_job(number, out);
        }
        let name = spec.submission_id.clone();
        self.jobs.here.insert(number, Job { name, held, stage: Stage::Waits(Box::new(spec)) });
        self.jobs.queue.push_back(number);
    }

    /// A job that an earlier incarnation of this daemon started: its supervisor outlived it. Its room is taken whatever else
    /// was granted; this is said before anything else is.
    pub(crate) fn job_found(&mut self, number: u64, held: ResourceSet, started_ms: Option<u64>) {
        if self.overlooks_found_jobs() {
            return;
        }
        self.capacity.take_for_job(number, &held);
        self.meter.job_found(number);
        self.jobs.here.insert(number, Job { name: String::new(), held, stage: Stage::Runs { started_ms } });
    }

    /// Starts those there is room for, in order: the first that lacks room is waited for.
    pub(crate) fn start_jobs(&mut self, out: &mut Vec<Effect>) {
        while let Some(number) = self.jobs.queue.front().copied() {
            let Some(job) = self.jobs.here.get_mut(&number) else { return };
            if !self.capacity.available.covers(&job.held) {
                return;
            }
            self.jobs.queue.pop_front();
            let started = std::mem::replace(&mut job.stage, Stage::Runs { started_ms: None });
            if let Stage::Waits(spec) = started {
                self.capacity.take_for_job(number, &job.held);
                out.push(Effect::StartJob { number, held: job.held.clone(), spec: *spec });
            }
        }
    }

    pub(crate) fn job_started(&mut self, number: u64, at_ms: u64, out: &mut Vec<Effect>) {
        if let Some(Job { stage: Stage::Runs { started_ms }, .. }) = self.jobs.here.get_mut(&number) {
            *started_ms = Some(at_ms);
            self.tell_job(number, out);
        }
    }

    pub(crate) fn job_over(&mut self, number: u64, report: JobReport, out: &mut Vec<Effect>) {
        let Some(job) = self.jobs.here.get_mut(&number).filter(|job| matches!(job.stage, Stage::Runs { .. })) else {
            return;
        };
        self.meter.job_over(number, &report);
        job.stage = Stage::Over(report);
        self.capacity.release_job(number);
        self.tell_job(number, out);
        if self.forgets_job_ends() {
            self.jobs.here.remove(&number);
        }
    }

    pub(crate) fn stop_job(&mut self, number: u64, force: bool, out: &mut Vec<Effect>) {
        let Some(job) = self.jobs.here.get_mut(&number) else { return };
        match job.stage {
            Stage::Waits(_) => {
                job.stage = Stage::Over(JobReport::unseen(JobCause::Stopped, 0, 0));
                self.jobs.queue.retain(|waiting| *waiting != number);
                self.tell_job(number, out);
            }
            Stage::Runs { .. } => out.push(Effect::StopJob { number, force }),
            Stage::Over(_) => {}
        }
    }

    /// The GCS wrote its end down.
    pub(crate) fn job_noted(&mut self, number: u64, out: &mut Vec<Effect>) {
        if self.jobs.here.get(&number).is_some_and(|job| matches!(job.stage, Stage::Over(_))) {
            self.jobs.here.remove(&number);
            out.push(Effect::ForgetJob { number });
        }
    }

    /// After a join, last of what is said again.
    pub(crate) fn tell_jobs(&mut self, out: &mut Vec<Effect>) {
        let running: Vec<u64> = self.jobs.here.keys().copied().collect();
        for number in &running {
            self.tell_job(*number, out);
        }
        out.push(Effect::ToGcs(RayletToGcs::JobsHere { running }));
    }

    fn tell_job(&mut self, number: u64, out: &mut Vec<Effect>) {
        let Some(job) = self.jobs.here.get(&number) else { return };
        // With the link down nothing has to wait: all of it is said again after the join.
        let message = match &job.stage {
            Stage::Runs { started_ms: Some(started_ms) } => RayletToGcs::JobStarted { number, started_ms: *started_ms },
            Stage::Over(report) => RayletToGcs::JobEnded { number, report: report.clone() },
            Stage::Waits(_) | Stage::Runs { started_ms: None } => return,
        };
        if self.gcs.is_up() {
            out.push(Effect::ToGcs(message));
        }
    }
}
