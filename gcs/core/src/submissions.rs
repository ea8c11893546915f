//! Calls from outside: jobs are submitted, looked at, stopped and deleted.

use crate::record::{Job, State};
use crate::refusal::check_id;
use crate::{ApiCall, ApiError, ApiReply, Effect, Gcs, JobStatus, JobView, NewJob, Record};
use iosdk_types::{Amount, JobCause, JobReport, ResourceSet, Time};

impl Gcs {
    pub(crate) fn answer_call(&mut self, now: Time, call: ApiCall, out: &mut Vec<Effect>) -> ApiReply {
        let answer = match call {
            ApiCall::Submit(job) => self.submit(now, job, out),
            ApiCall::Job { id } => self.named(&id).map(|(number, job)| ApiReply::Job(self.view_of(number, job))),
            ApiCall::Jobs { offset, limit, status } => Ok(self.list_jobs(offset, limit, status)),
            ApiCall::Stop { id, force, by, now_ms } => {
                self.wall.set(now, now_ms);
                self.stop_job(&id, force, by, now_ms, out)
            }
            ApiCall::Delete { id } => self.delete_job(&id, out),
            ApiCall::Usage { tenant } => Ok(ApiReply::Usage(self.usage_lines(tenant.as_deref()))),
            ApiCall::Cluster => Ok(ApiReply::Cluster(self.view_cluster())),
            ApiCall::Actors { only, limit } => Ok(self.view_actors(only, limit)),
            ApiCall::Drivers => Ok(self.view_drivers()),
        };
        answer.unwrap_or_else(ApiReply::Error)
    }

    fn named(&self, id: &str) -> Result<(u64, &Job), ApiError> {
        self.kept.find(id).ok_or_else(|| ApiError::NoSuchJob { id: id.to_owned() })
    }

    fn submit(&mut self, now: Time, new: NewJob, out: &mut Vec<Effect>) -> Result<ApiReply, ApiError> {
        self.wall.set(now, new.now_ms);
        let number = self.kept.lasting.last_number + 1;
        let submission_id = match &new.submission_id {
            Some(id) => {
                check_id(id)?;
                if let Some((number, job)) = self.kept.find(id) {
                    let same = job.digest == new.digest;
                    let here = ApiReply::Accepted { number, submission_id: id.clone(), fresh: false };
                    return if same { Ok(here) } else { Err(ApiError::DuplicateId { id: id.clone() }) };
                }
                id.clone()
            }
            None => self.make_up_id(number, &new),
        };
        if let Some((resource, amount)) = new.resources.iter().find(|(_, amount)| *amount < Amount(0)) {
            return Err(ApiError::BadAmount { resource: resource.to_owned(), amount });
        }
        self.refuse_what_never_fits(&new.resources)?;
        let NewJob { user, tenant, resources, digest, now_ms: at_ms, .. } = new;
        let asked = resources.clone();
        let id = submission_id.clone();
        self.write(Record::JobAccepted { number, submission_id: id, user, tenant, resources, digest, at_ms }, out);
        self.start_new(number, &asked, out);
        Ok(ApiReply::Accepted { number, submission_id, fresh: true })
    }

    fn refuse_what_never_fits(&self, asked: &ResourceSet) -> Result<(), ApiError> {
        let possible = self.nodes.alive().any(|(_, node)| node.record.resources.covers(asked));
        if possible || self.config.infeasible_waits || self.expects_nodes() {
            return Ok(());
        }
        let mut largest = ResourceSet::new();
        for (_, node) in self.nodes.alive() {
            for (name, amount) in node.record.resources.iter().filter(|(name, _)| asked.get(name) != Amount(0)) {
                largest.set(name, largest.get(name).max(amount));
            }
        }
        Err(ApiError::Infeasible { asked: asked.clone(), nodes: self.nodes.alive().count(), largest })
    }

    /// Looks like the ids that Ray makes up.
    fn make_up_id(&self, number: u64, new: &NewJob) -> String {
        const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let mut seed = new.digest ^ new.now_ms.rotate_left(32) ^ number;
        loop {
            let mut next = || {
                seed = splitmix(seed);
                char::from(DIGITS[(seed % DIGITS.len() as u64) as usize])
            };
            let id: String = "raysubmit_".chars().chain(std::iter::repeat_with(&mut next).take(16)).collect();
            if !self.kept.ids.contains_key(&id) {
                return id;
            }
        }
    }

    fn stop_job(
        &mut self,
        id: &str,
        force: bool,
        by: String,
        at_ms: u64,
        out: &mut Vec<Effect>,
    ) -> Result<ApiReply, ApiError> {
        let (number, job) = self.named(id)?;
        let (state, asked) = (job.state.clone(), job.stop.as_ref().map(|stop| stop.force));
        match state {
            State::Ended { .. } => return Ok(ApiReply::Stopped(false)),
            State::Queued => {
                self.write(Record::JobStopAsked { number, by, force, at_ms }, out);
                let report = JobReport::unseen(JobCause::Stopped, 0, at_ms);
                self.write(Record::JobEnded { number, report }, out);
                self.start_queued(out);
            }
            State::Sent { node } | State::Running { node, .. } => {
                // Who asked first is who stopped it, unless another has no patience.
                let force_now = force || asked == Some(true);
                if asked.is_none_or(|before| force_now && !before) {
                    self.write(Record::JobStopAsked { number, by, force, at_ms }, out);
                }
                Self::stop_at(node, number, force_now, out);
            }
        }
        Ok(ApiReply::Stopped(true))
    }

    fn delete_job(&mut self, id: &str, out: &mut Vec<Effect>) -> Result<ApiReply, ApiError> {
        let (number, job) = self.named(id)?;
        let status = Self::status_of(job);
        if !status.is_over() {
            return Err(ApiError::NotOver { id: id.to_owned(), status: status.as_str() });
        }
        self.write(Record::JobDeleted { number }, out);
        Ok(ApiReply::Deleted(true))
    }

    fn list_jobs(&self, offset: usize, limit: usize, status: Option<JobStatus>) -> ApiReply {
        let wanted = |job: &Job| status.is_none_or(|status| Self::status_of(job) == status);
        let jobs = || self.kept.lasting.jobs.iter().rev().filter(|(_, job)| wanted(job));
        let page: Vec<JobView> =
            jobs().skip(offset).take(limit).map(|(number, job)| self.view_of(*number, job)).collect();
        ApiReply::Jobs(page, jobs().count())
    }
}

/// One step of a generator whose outputs look unrelated.
fn splitmix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
