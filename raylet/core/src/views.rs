//! What is told of a node to who asks: who is here and what each holds. Nothing is decided here.

use crate::Raylet;
use crate::capacity::CPU;
use crate::processes::{Phase, Process};
use iosdk_types::ResourceSet;
use iosdk_types::state::{WorkerPhase, WorkerState};

/// Holders named in one explanation.
const NAMED: usize = 8;

impl Raylet {
    /// Processes that were welcomed and were not told to end: those that can be asked.
    pub fn members(&self) -> impl Iterator<Item = u32> {
        let live = self.processes.live.iter();
        live.filter(|(_, process)| process.is_member() && process.phase != Phase::Ending).map(|(number, _)| *number)
    }

    /// Everybody here who was not told to end.
    pub fn workers(&self) -> Vec<WorkerState> {
        let live = self.processes.live.iter();
        live.filter_map(|(number, process)| self.worker_state(*number, process)).collect()
    }

    fn worker_state(&self, number: u32, process: &Process) -> Option<WorkerState> {
        let (phase, actor) = match process.phase {
            Phase::Starting => (WorkerPhase::Starting, None),
            Phase::Driver => (WorkerPhase::Driver, None),
            Phase::Idle | Phase::Retiring => (WorkerPhase::Idle, None),
            Phase::Leased(_) if self.capacity.is_lent(number) => (WorkerPhase::Blocked, None),
            Phase::Leased(_) => (WorkerPhase::Leased, None),
            Phase::Actor(actor) => (WorkerPhase::Actor, Some(actor)),
            Phase::Ending => return None,
        };
        let hold = self.capacity.holds.get(&number);
        Some(WorkerState {
            process: self.address(number),
            pid: process.pid.unwrap_or(0),
            job: process.job,
            phase,
            resources: hold.map(|hold| hold.resources.clone()).unwrap_or_default(),
            actor,
        })
    }

    /// Sentences about what is free here and who has the rest: for who wonders why something does not start.
    pub fn explain_capacity(&self) -> Vec<String> {
        let (total, free) = (&self.capacity.total, self.capacity.visible());
        let parts = total.iter().map(|(name, amount)| format!("{} of {amount} {name}", free.get(name)));
        let mut lines = vec![format!("its node has free: {}", parts.collect::<Vec<_>>().join(", "))];
        let mut holders: Vec<(String, &ResourceSet)> = Vec::new();
        for (number, hold) in self.capacity.holds.iter().filter(|(_, hold)| !hold.resources.is_empty()) {
            let Some(process) = self.processes.live.get(number) else { continue };
            let pid = process.pid.unwrap_or(0);
            let name = match process.phase {
                Phase::Actor(actor) => format!("actor {} ({actor}, pid {pid})", self.actors.class_of(actor)),
                _ if hold.lent => format!("the worker with pid {pid}, which is blocked and lends its {CPU}"),
                _ => format!("the worker with pid {pid}"),
            };
            holders.push((name, &hold.resources));
        }
        let more = holders.len().saturating_sub(NAMED);
        lines.extend(holders.iter().take(NAMED).map(|(name, held)| format!("{held} is held by {name}")));
        if more > 0 {
            lines.push(format!("{more} more processes hold something"));
        }
        let submitted = self.capacity.jobs_that_hold();
        if submitted > 0 {
            lines.push(format!("entrypoints of submitted jobs ({submitted}) hold something"));
        }
        lines
    }
}
