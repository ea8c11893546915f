//! What nodes say about submitted jobs. A node says it until it is answered, so everything may be heard twice.

use crate::record::State;
use crate::{Effect, Gcs, Record};
use iosdk_types::message::GcsToRaylet;
use iosdk_types::{JobCause, JobReport, Set, Time};

impl Gcs {
    pub(crate) fn job_started(&mut self, node: u32, number: u64, started_ms: u64, out: &mut Vec<Effect>) {
        let state = self.kept.job(number).map(|job| &job.state);
        match state {
            Some(State::Sent { node: chosen }) if *chosen == node => {
                self.write(Record::JobStarted { number, node, started_ms }, out);
            }
            Some(state) if state.host() == Some(node) => {}
            _ => Self::stop_at(node, number, true, out),
        }
    }

    pub(crate) fn job_ended(&mut self, node: u32, number: u64, report: JobReport, out: &mut Vec<Effect>) {
        let here = self.kept.job(number).is_some_and(|job| job.state.host() == Some(node));
        if here {
            self.write(Record::JobEnded { number, report }, out);
        }
        out.push(Effect::ToRaylet { node, message: GcsToRaylet::JobNoted { number } });
        if here {
            self.start_queued(out);
        }
    }

    /// A node that joined says which jobs it has: what it does not have is begun there, or is over.
    pub(crate) fn jobs_here(&mut self, now: Time, node: u32, running: &[u64], out: &mut Vec<Effect>) {
        let running: Set<u64> = running.iter().copied().collect();
        let ours = self.kept.jobs_at(node);
        for number in &ours {
            let Some(job) = self.kept.job(*number) else { continue };
            let (state, stop) = (job.state.clone(), job.stop.as_ref().map(|stop| stop.force));
            match state {
                State::Running { started_ms, .. } if !running.contains(number) => {
                    let report = JobReport::unseen(JobCause::SupervisorDied, started_ms, self.wall.at(now));
                    self.write(Record::JobEnded { number: *number, report }, out);
                    continue;
                }
                State::Sent { .. } if !running.contains(number) => self.send_again(*number, node, out),
                State::Sent { .. } | State::Running { .. } | State::Queued | State::Ended { .. } => {}
            }
            if let Some(force) = stop {
                Self::stop_at(node, *number, force, out);
            }
        }
        // Given up on, or deleted since.
        for number in running.iter().filter(|number| !ours.contains(number)) {
            Self::stop_at(node, *number, true, out);
        }
        self.takes_jobs(node);
        self.accounted(node, out);
        self.start_queued(out);
    }

    /// The history of a head that runs for years stays bounded.
    pub(crate) fn forget_the_oldest(&mut self, out: &mut Vec<Effect>) {
        while self.config.jobs_kept != 0
            && self.kept.over.len() > self.config.jobs_kept
            && let Some(&number) = self.kept.over.first()
        {
            self.write(Record::JobDeleted { number }, out);
            out.push(Effect::Forgotten { number });
        }
    }

    pub(crate) fn stop_at(node: u32, number: u64, force: bool, out: &mut Vec<Effect>) {
        out.push(Effect::ToRaylet { node, message: GcsToRaylet::StopJob { number, force } });
    }
}
