//! Submitted jobs where they run: each has a supervisor that outlives the daemon, begins it, and keeps how it ended until that
//! is written down elsewhere. Some entrypoints are drivers.

use crate::schedule::{Event, How};
use crate::world::World;
use iosdk_raylet_core::Input;
use iosdk_types::{Address, Exit, JobCause, JobReport, ResourceSet, Span};

pub struct Supervisor {
    held: ResourceSet,
    started_ms: Option<u64>,
    over: Option<JobReport>,
    pub driver: Option<Address>,
}

/// What happens to a submitted job next.
#[derive(Clone, Copy, Debug)]
pub enum Moment {
    Begins,
    Exits { code: i32 },
    Stopped { force: bool },
    Killed,
}

impl World {
    pub(crate) fn wall_ms(&self) -> u64 {
        1_700_000_000_000 + self.now.0 / 1_000_000
    }

    pub(crate) fn start_job(&mut self, node: u32, number: u64, held: ResourceSet) {
        let verdict = self.checks.job_1.begun(number, node);
        self.hold(verdict);
        let verdict = self.checks.sched_1.job_begins(node, number, &held);
        self.hold(verdict);
        self.supervisors.insert((node, number), Supervisor { held, started_ms: None, over: None, driver: None });
        let span = self.delay(Span::from_millis(5));
        self.after(span, Event::Supervisor { node, number, moment: Moment::Begins });
    }

    pub(crate) fn stop_job(&mut self, node: u32, number: u64, force: bool) {
        let span = self.delay(Span::from_millis(if force { 1 } else { 20 }));
        self.after(span, Event::Supervisor { node, number, moment: Moment::Stopped { force } });
    }

    pub(crate) fn forget_job(&mut self, node: u32, number: u64) {
        self.supervisors.remove(&(node, number));
    }

    pub(crate) fn supervisor_goes_on(&mut self, node: u32, number: u64, moment: Moment) {
        let now_ms = self.wall_ms();
        let Some(supervisor) = self.supervisors.get_mut(&(node, number)).filter(|known| known.over.is_none()) else {
            return;
        };
        let started_ms = supervisor.started_ms.unwrap_or(0);
        let (exit, cause) = match moment {
            Moment::Begins if self.random.chance(50) => {
                (Exit::Unknown, JobCause::CannotStart("the working directory cannot be unpacked".to_owned()))
            }
            Moment::Begins => return self.entrypoint_begins(node, number),
            Moment::Exits { code } => (Exit::Code(code), JobCause::Own),
            Moment::Stopped { force } => (Exit::Signal(if force { 9 } else { 15 }), JobCause::Stopped),
            Moment::Killed => (Exit::Unknown, JobCause::SupervisorDied),
        };
        let cpu_ns = (now_ms - started_ms.min(now_ms)) * 1_000;
        let cpu_ns = if started_ms == 0 { 0 } else { cpu_ns };
        let report = JobReport { exit, cause, started_ms, ended_ms: now_ms, cpu_ns, log_bytes: 0, log_dropped: 0 };
        supervisor.over = Some(report.clone());
        self.checks.job_1.over(number, &report);
        if let Some(driver) = supervisor.driver.take() {
            self.kill(driver, How::Leaves);
        }
        self.job_is_over(node, number, report);
    }

    fn job_is_over(&mut self, node: u32, number: u64, report: JobReport) {
        if let Some(known) = self.nodes.get(&node) {
            self.checks.use_1.job_used(node, known.epoch, report.cpu_ns);
        }
        self.step_raylet(node, Input::JobEnded { number, report });
    }

    fn entrypoint_begins(&mut self, node: u32, number: u64) {
        let started_ms = self.wall_ms();
        if let Some(supervisor) = self.supervisors.get_mut(&(node, number)) {
            supervisor.started_ms = Some(started_ms);
        }
        self.step_raylet(node, Input::JobStarted { number, started_ms });
        let longest = if self.random.chance(300) { 500 } else { 60 };
        let span = self.delay(Span::from_millis(longest));
        let code = i32::from(self.random.chance(200));
        self.after(span, Event::Supervisor { node, number, moment: Moment::Exits { code } });
        if self.random.chance(400) {
            let wait = self.delay(Span::from_millis(3));
            self.expect_driver(node, Some(number), wait);
        }
    }

    /// The new daemon finds what the old one left, before it says anything to anybody.
    pub(crate) fn find_jobs(&mut self, node: u32) {
        let here = self.supervisors.range((node, 0)..=(node, u64::MAX));
        let found: Vec<_> = here
            .map(|((_, number), known)| (*number, known.held.clone(), known.started_ms, known.over.clone()))
            .collect();
        for (number, held, started_ms, over) in found {
            self.checks.sched_1.job_found(node, number, &held);
            self.step_raylet(node, Input::JobFound { number, held, started_ms });
            if let Some(report) = over {
                self.job_is_over(node, number, report);
            }
        }
    }

    /// As often as jobs run there.
    pub(crate) fn nodes_with_jobs(&self) -> impl Iterator<Item = u32> {
        self.supervisors.iter().filter(|(_, known)| known.over.is_none()).map(|((node, _), _)| *node)
    }

    pub(crate) fn kill_some_supervisor(&mut self) {
        let fit: Vec<(u32, u64)> =
            self.supervisors.iter().filter(|(_, known)| known.over.is_none()).map(|(key, _)| *key).collect();
        let pick = self.random.index(fit.len());
        if let Some((node, number)) = fit.get(pick).copied() {
            self.counts.add("fault::supervisor killed");
            self.supervisor_goes_on(node, number, Moment::Killed);
        }
    }
}
