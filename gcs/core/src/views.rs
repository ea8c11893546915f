//! What is told about submitted jobs: their state, and a sentence that says why.

use crate::kept::Kept;
use crate::record::{Job, State};
use crate::start::Fit;
use crate::{ClusterView, Gcs, JobStatus, JobView, NodeView};
use iosdk_types::{Exit, JobCause, JobReport, ResourceSet, Time};

/// The wall clock, as far as it is known: the last time it was shown, and when that was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wall {
    shown_at: Time,
    ms: u64,
}

impl Wall {
    /// Until the shell shows it: not before anything that is written down.
    pub(crate) fn of(kept: &Kept) -> Self {
        let newest = |job: &Job| match &job.state {
            State::Queued | State::Sent { .. } => job.submitted_ms,
            State::Running { started_ms, .. } => *started_ms,
            State::Ended { report, .. } => report.ended_ms,
        };
        Self { shown_at: Time(0), ms: kept.lasting.jobs.values().map(newest).max().unwrap_or(0) }
    }

    pub(crate) fn set(&mut self, now: Time, ms: u64) {
        *self = Self { shown_at: now, ms };
    }

    pub(crate) fn at(&self, now: Time) -> u64 {
        self.ms.saturating_add((now - self.shown_at).0 / 1_000_000)
    }
}

impl Gcs {
    pub(crate) fn status_of(job: &Job) -> JobStatus {
        match &job.state {
            // Not before the node says that it has begun.
            State::Queued | State::Sent { .. } => JobStatus::Pending,
            State::Running { .. } => JobStatus::Running,
            State::Ended { report, .. } => match (&report.cause, report.exit) {
                (JobCause::Stopped, _) => JobStatus::Stopped,
                (JobCause::Own, Exit::Code(0)) => JobStatus::Succeeded,
                (
                    JobCause::Own | JobCause::SupervisorDied | JobCause::CannotStart(_) | JobCause::NodeLost,
                    Exit::Code(_) | Exit::Signal(_) | Exit::Unknown,
                ) => JobStatus::Failed,
            },
        }
    }

    pub(crate) fn view_of(&self, number: u64, job: &Job) -> JobView {
        let (node, started_ms, report) = match &job.state {
            State::Queued => (None, None, None),
            State::Sent { node } => (Some(*node), None, None),
            State::Running { node, started_ms } => (Some(*node), Some(*started_ms), None),
            State::Ended { node, report } => (*node, Some(report.started_ms).filter(|ms| *ms != 0), Some(report)),
        };
        JobView {
            number,
            submission_id: job.submission_id.clone(),
            user: job.user.clone(),
            tenant: job.tenant.clone(),
            resources: job.resources.clone(),
            status: Self::status_of(job),
            message: self.message_of(job),
            submitted_ms: job.submitted_ms,
            started_ms,
            ended_ms: report.map(|report| report.ended_ms),
            node,
            driver: job.driver,
            report: report.cloned(),
        }
    }

    fn message_of(&self, job: &Job) -> String {
        let asked = job.stop.as_ref().map(|stop| by(&stop.by));
        let stopping = asked.as_ref().map(|by| format!("; it was asked to stop{by}")).unwrap_or_default();
        match &job.state {
            State::Queued => self.why_queued(job),
            State::Sent { node } => {
                format!("sent to {}, which has not said yet that it has begun{stopping}", self.name_of(*node))
            }
            State::Running { node, .. } => format!("runs on {}{stopping}", self.name_of(*node)),
            State::Ended { node: None, .. } => {
                format!("stopped{} while it waited; it never started", asked.unwrap_or_default())
            }
            State::Ended { node: Some(node), report } => self.why_ended(*node, report, asked.as_deref()),
        }
    }

    fn why_queued(&self, job: &Job) -> String {
        if !self.slot_is_free() {
            let slots = self.config.slots;
            return format!("waits: {slots} submitted jobs run, which is as many as may at a time");
        }
        match self.fit(&job.resources) {
            Fit::Now(_) => {
                "waits for its turn: a job that came before it has waited longer than others may pass it".into()
            }
            Fit::Later if job.resources.is_empty() => "waits for a node that takes jobs".to_owned(),
            Fit::Later => format!("waits until {} is not held by other jobs", job.resources),
            Fit::Never if job.resources.is_empty() => "waits for a node to join".to_owned(),
            Fit::Never => format!("waits for a node with {} to join: no node has that even when idle", job.resources),
        }
    }

    fn why_ended(&self, node: u32, report: &JobReport, asked: Option<&str>) -> String {
        let (place, exit) = (self.name_of(node), report.exit);
        match &report.cause {
            JobCause::Own if exit == Exit::Code(0) => "its entrypoint exited with code 0".to_owned(),
            JobCause::Own => {
                format!("its entrypoint on {place} {}; its log has what it printed", ended(exit))
            }
            JobCause::Stopped => {
                let by = asked.unwrap_or_default();
                if report.started_ms == 0 {
                    format!("stopped{by} before it started on {place}")
                } else {
                    format!("stopped{by}: its entrypoint on {place} {}", ended(exit))
                }
            }
            JobCause::SupervisorDied => format!(
                "the process on {place} that watched it was killed, or the machine was restarted, so nobody knows how its \
                 entrypoint ended; submit it again"
            ),
            JobCause::CannotStart(why) => format!("its entrypoint could not be started on {place}: {why}"),
            JobCause::NodeLost if report.started_ms == 0 => format!(
                "{place} was lost and did not come back in 60 s; whether it had begun the job is not known, so no other node \
                 was given it: submit it again"
            ),
            JobCause::NodeLost => {
                format!("{place} was lost while it ran the job and did not come back in 60 s; submit it again")
            }
        }
    }

    fn name_of(&self, node: u32) -> String {
        match self.kept.lasting.nodes.get(&node) {
            Some(known) if !known.hostname.is_empty() => format!("node {node} ({})", known.hostname),
            _ => format!("node {node}"),
        }
    }

    pub(crate) fn view_cluster(&self) -> ClusterView {
        let mut total = ResourceSet::new();
        let mut available = ResourceSet::new();
        for (_, node) in self.nodes.alive() {
            total.add(&node.record.resources);
            available.add(&node.available);
        }
        let nodes = self.nodes.all.iter().map(|(number, node)| NodeView {
            node: *number,
            record: node.record.clone(),
            available: node.available.clone(),
            jobs: self.kept.hosts.get(number).map_or(0, |host| host.jobs.len()),
        });
        let (queued, running) = (self.kept.queue.len(), self.kept.placed);
        ClusterView { nodes: nodes.collect(), total, available, queued, running }
    }
}

fn by(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" by {name}") }
}

/// `Exit` as the end of a sentence about an entrypoint.
fn ended(exit: Exit) -> String {
    match exit {
        Exit::Signal(_) => format!("was {exit}"),
        Exit::Code(_) | Exit::Unknown => exit.to_string(),
    }
}
