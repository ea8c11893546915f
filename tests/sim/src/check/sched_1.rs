//! SCHED-1: no slot of a node is granted beyond its capacity. At each grant, what leases, actors and submitted jobs hold must fit; a process
//! that the raylet was told is blocked lends its CPU, nothing else.

use crate::check::{Verdict, broken};
use iosdk_types::{Address, Map, ResourceSet, Set};

const NAME: &str = "SCHED-1";

#[derive(Default)]
struct Node {
    total: ResourceSet,
    holds: Map<Address, ResourceSet>,
    /// Entrypoints of submitted jobs.
    jobs: Map<u64, ResourceSet>,
    blocked: Set<Address>,
}

#[derive(Default)]
pub struct Sched1 {
    nodes: Map<u32, Node>,
}

impl Sched1 {
    pub fn node(&mut self, node: u32, total: ResourceSet) {
        self.nodes.insert(node, Node { total, ..Node::default() });
    }

    /// The raylet was told who is blocked now. Who was blocked and is not any more takes its CPU back.
    pub fn status(&mut self, node: u32, blocked: &[Address]) {
        if let Some(node) = self.nodes.get_mut(&node) {
            node.blocked = blocked.iter().copied().collect();
        }
    }

    /// `process` is given to somebody, or to an actor.
    pub fn granted(&mut self, process: Address, resources: &ResourceSet) -> Verdict {
        let Some(node) = self.nodes.get_mut(&process.node) else { return Ok(()) };
        let mut held = resources.clone();
        node.jobs.values().for_each(|of_job| held.add(of_job));
        for (other, holds) in node.holds.iter().filter(|(other, _)| **other != process) {
            held.add(holds);
            if node.blocked.contains(other) {
                held.subtract(&holds.only("CPU"));
            }
        }
        node.holds.insert(process, resources.clone());
        // Who resumes while its CPU is lent out oversubscribes for a moment; a grant may not add to that.
        if resources.iter().all(|(name, _)| held.get(name) <= node.total.get(name)) {
            return Ok(());
        }
        broken(NAME, format!("giving {process} {resources} makes {held} of {}", node.total))
    }

    /// A submitted job is begun.
    pub fn job_begins(&mut self, number: u32, job: u64, resources: &ResourceSet) -> Verdict {
        let nobody = Address { node: number, epoch: u32::MAX, process: u32::MAX };
        let verdict = self.granted(nobody, resources);
        self.released(nobody);
        self.job_found(number, job, resources);
        verdict
    }

    /// It runs already: its room is taken whatever else there is.
    pub fn job_found(&mut self, number: u32, job: u64, resources: &ResourceSet) {
        if let Some(node) = self.nodes.get_mut(&number) {
            node.jobs.insert(job, resources.clone());
        }
    }

    pub fn job_ends(&mut self, number: u32, job: u64) {
        if let Some(node) = self.nodes.get_mut(&number) {
            node.jobs.remove(&job);
        }
    }

    pub fn released(&mut self, process: Address) {
        if let Some(node) = self.nodes.get_mut(&process.node) {
            node.holds.remove(&process);
        }
    }
}
