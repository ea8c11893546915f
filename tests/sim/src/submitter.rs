//! Who submits jobs from outside: submits, looks, stops and deletes, and asks again when an answer was lost.

use crate::check::broken;
use crate::schedule::{Event, Fault};
use crate::world::World;
use iosdk_gcs_core::{ApiCall, ApiReply, Input, JobStatus, NewJob};
use iosdk_types::{Amount, Map, ResourceSet, Span, Time};

#[derive(Clone, Debug)]
pub enum Act {
    Submit(Box<NewJob>),
    Stop,
    Delete,
    Look,
}

/// A call that is not answered yet.
enum Asked {
    Submit(Box<NewJob>),
    Delete(String),
    Other,
}

#[derive(Default)]
pub struct Submitter {
    asked: Map<u64, Asked>,
    next_request: u64,
    /// What is not accepted yet.
    to_come: usize,
    ids: Vec<String>,
}

impl World {
    pub(crate) fn arrange_submissions(&mut self) {
        let until = self.settings.faults.until.0;
        for index in 0..self.settings.jobs {
            let cpu = [0, 5_000, 10_000, 10_000, 20_000][self.random.index(5)];
            let cpu = if cpu > 10_000 && self.settings.cpus < 2 { 10_000 } else { cpu };
            let mut resources = ResourceSet::new().with("CPU", Amount(cpu));
            if self.random.chance(100) {
                resources.set("slot", Amount::ONE);
            }
            if self.random.chance(60) && !self.settings.infeasible_waits {
                resources.set("GPU", Amount::ONE);
            }
            let submission_id = self.random.chance(800).then(|| format!("mine-{index}"));
            let (user, digest) = (format!("user-{}", self.random.below(3)), self.random.draw());
            let job = NewJob { submission_id, user, resources, digest, ..NewJob::default() };
            self.submitter.to_come += 1;
            let at = Time(self.random.below(until * 2));
            self.schedule.at(at, Event::Submitter(Act::Submit(Box::new(job))));
            for (act, often) in [(Act::Stop, 300), (Act::Delete, 200), (Act::Look, 500)] {
                if self.random.chance(often) {
                    let later = at + Span(self.random.below(until * 2));
                    self.schedule.at(later, Event::Submitter(act));
                }
            }
        }
    }

    pub(crate) fn submitter_acts(&mut self, act: Act) {
        let now_ms = self.wall_ms();
        let pick = self.random.index(self.submitter.ids.len());
        let id = self.submitter.ids.get(pick).cloned();
        let (call, asked) = match (act, id) {
            (Act::Submit(job), _) => {
                if self.settings.faults.gcs_restarted > 0 && self.random.chance(150) {
                    let soon = self.delay(Span::from_millis(4));
                    self.after(soon, Event::Fault(Fault::GcsRestarted));
                }
                let job = NewJob { now_ms, ..*job };
                (ApiCall::Submit(job.clone()), Asked::Submit(Box::new(job)))
            }
            (Act::Stop, Some(id)) => {
                let force = self.random.chance(300);
                (ApiCall::Stop { id, force, by: "somebody".to_owned(), now_ms }, Asked::Other)
            }
            (Act::Delete, Some(id)) => {
                self.checks.job_1.may_be_deleted(&id);
                (ApiCall::Delete { id: id.clone() }, Asked::Delete(id))
            }
            (Act::Look, Some(id)) => (ApiCall::Job { id }, Asked::Other),
            (Act::Look, None) => (ApiCall::Usage { tenant: None }, Asked::Other),
            (Act::Stop | Act::Delete, None) => return,
        };
        self.ask_gcs(call, asked);
    }

    fn ask_gcs(&mut self, call: ApiCall, asked: Asked) {
        self.submitter.next_request += 1;
        let request = self.submitter.next_request;
        self.submitter.asked.insert(request, asked);
        self.step_gcs(Input::Api { request, call });
    }

    pub(crate) fn submitter_hears(&mut self, request: u64, reply: ApiReply) {
        let Some(asked) = self.submitter.asked.remove(&request) else { return };
        match (asked, reply) {
            (Asked::Submit(job), ApiReply::Accepted { number, submission_id, fresh: _ }) => {
                self.counts.add("submission::accepted");
                self.submitter.to_come -= 1;
                let verdict = self.checks.job_1.accepted(number, &submission_id);
                self.hold(verdict);
                if job.resources.get("GPU") != Amount(0) {
                    // Taken while nodes were expected, and none of them has one.
                    self.checks.job_1.waits_for_ever(number);
                }
                self.submitter.ids.push(submission_id);
            }
            (Asked::Submit(job), ApiReply::Error(error)) => {
                self.counts.add("submission::refused");
                self.submitter.to_come -= 1;
                if job.resources.get("GPU") == Amount(0) {
                    self.hold(broken("JOB-1", format!("{job:?} was refused: {error}")));
                }
            }
            (Asked::Delete(id), ApiReply::Deleted(_)) => {
                self.submitter.ids.retain(|known| *known != id);
            }
            (Asked::Submit(_) | Asked::Delete(_) | Asked::Other, _) => {}
        }
    }

    /// The GCS that was asked is gone. Who named its job may ask again; who did not cannot know whether it is there.
    pub(crate) fn submitter_was_cut_off(&mut self) {
        for (_, asked) in std::mem::take(&mut self.submitter.asked) {
            let Asked::Submit(job) = asked else { continue };
            if job.submission_id.is_none() {
                self.submitter.to_come -= 1;
                continue;
            }
            self.counts.add("submission::said again");
            let span = self.delay(Span::from_millis(50));
            self.after(span, Event::Submitter(Act::Submit(job)));
        }
    }

    pub(crate) fn jobs_are_over(&self) -> bool {
        self.submitter.to_come == 0 && self.checks.job_1.all_over()
    }

    /// What the GCS knows of each job, held against what it has promised.
    pub(crate) fn check_jobs_are_kept(&mut self) {
        let kept = self.gcs_jobs();
        let verdict = self.checks.job_1.kept(&kept);
        self.hold(verdict);
    }

    pub(crate) fn check_jobs_have_ended(&mut self) {
        let kept = self.gcs_jobs();
        let verdict = self.checks.job_1.kept(&kept).and_then(|()| self.checks.job_1.have_ended(&kept));
        self.hold(verdict);
    }

    /// Asked beside the log: nothing is changed by looking.
    fn gcs_jobs(&mut self) -> Map<u64, JobStatus> {
        let now = self.now;
        let mut effects = Vec::new();
        let call = ApiCall::Jobs { offset: 0, limit: usize::MAX, status: None };
        iosdk_types::Machine::step(&mut self.gcs, now, Input::Api { request: 0, call }, &mut effects);
        let page = effects.into_iter().find_map(|effect| match effect {
            iosdk_gcs_core::Effect::Reply { reply: ApiReply::Jobs(page, _), .. } => Some(page),
            _ => None,
        });
        page.unwrap_or_default().into_iter().map(|job| (job.number, job.status)).collect()
    }
}
