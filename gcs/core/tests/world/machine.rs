//! A machine of the world: its raylet comes and goes, its jobs (and what is written about their ends) stay.

use iosdk_types::message::{GcsToRaylet, RayletToGcs};
use iosdk_types::{Exit, JobCause, JobReport, Map};
use std::collections::VecDeque;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Here {
    Waiting,
    Running { started_ms: u64 },
    Over(JobReport),
}

pub(crate) struct Machine {
    pub(crate) cpu: i64,
    pub(crate) epoch: u32,
    /// Whether its raylet has a link.
    pub(crate) up: bool,
    /// Whether the GCS has heard which jobs it has, and has not heard that it is lost.
    pub(crate) ready: bool,
    pub(crate) inbox: VecDeque<GcsToRaylet>,
    pub(crate) jobs: Map<u64, Here>,
}

impl Machine {
    pub(crate) fn new(cpu: i64) -> Self {
        Self { cpu, epoch: 1, up: false, ready: false, inbox: VecDeque::new(), jobs: Map::new() }
    }

    pub(crate) fn cut(&mut self) {
        self.up = false;
        self.inbox.clear();
    }

    /// The jobs it takes along.
    pub(crate) fn reboot(&mut self) -> Vec<u64> {
        let lives = |here: &Here| !matches!(here, Here::Over(_));
        let lost = self.jobs.iter().filter(|(_, here)| lives(here)).map(|(number, _)| *number).collect();
        self.jobs.retain(|_, here| !lives(here));
        lost
    }

    pub(crate) fn lives(&self, number: u64) -> bool {
        self.jobs.get(&number).is_some_and(|here| !matches!(here, Here::Over(_)))
    }

    pub(crate) fn has_work(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// What follows a join.
    pub(crate) fn says_again(&self) -> Vec<RayletToGcs> {
        let again = self.jobs.iter().filter_map(|(number, here)| match here {
            Here::Waiting => None,
            Here::Running { started_ms } => Some(RayletToGcs::JobStarted { number: *number, started_ms: *started_ms }),
            Here::Over(report) => Some(RayletToGcs::JobEnded { number: *number, report: report.clone() }),
        });
        again.chain([RayletToGcs::JobsHere { running: self.jobs.keys().copied().collect() }]).collect()
    }

    /// A job that ends by what is heard.
    pub(crate) fn hears(&mut self, message: GcsToRaylet) -> Option<(u64, JobReport)> {
        match message {
            GcsToRaylet::StartJob { number, .. } => {
                self.jobs.entry(number).or_insert(Here::Waiting);
                None
            }
            GcsToRaylet::StopJob { number, .. } => {
                let (exit, started_ms) = match self.jobs.get(&number)? {
                    Here::Waiting => (Exit::Unknown, 0),
                    Here::Running { started_ms } => (Exit::Signal(15), *started_ms),
                    Here::Over(_) => return None,
                };
                let report = JobReport { exit, ..JobReport::unseen(JobCause::Stopped, started_ms, started_ms + 1) };
                self.jobs.insert(number, Here::Over(report.clone()));
                Some((number, report))
            }
            GcsToRaylet::JobNoted { number } => {
                if !self.lives(number) {
                    self.jobs.remove(&number);
                }
                None
            }
            _ => None,
        }
    }

    pub(crate) fn begins(&mut self, nth: usize, now_ms: u64) -> Option<u64> {
        let mut waiting = self.jobs.iter_mut().filter(|(_, here)| **here == Here::Waiting);
        let (number, here) = waiting.nth(nth)?;
        *here = Here::Running { started_ms: now_ms };
        Some(*number)
    }

    pub(crate) fn ends(&mut self, nth: usize, code: i32) -> Option<(u64, JobReport)> {
        let mut running = self.jobs.iter_mut().filter(|(_, here)| matches!(here, Here::Running { .. }));
        let (number, here) = running.nth(nth)?;
        let Here::Running { started_ms } = *here else { return None };
        let report =
            JobReport { exit: Exit::Code(code), ..JobReport::unseen(JobCause::Own, started_ms, started_ms + 5) };
        *here = Here::Over(report.clone());
        Some((*number, report))
    }
}
