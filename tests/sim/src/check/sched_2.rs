//! SCHED-2: a lease is granted at most once, and a worker is on one lease at a time.

use crate::check::{Verdict, broken};
use iosdk_types::{Address, Map};

const NAME: &str = "SCHED-2";

#[derive(Default)]
pub struct Sched2 {
    /// Leases ever granted, by node, incarnation and number: to whom, and which worker.
    granted: Map<(u32, u32, u64), (Address, Address)>,
    on_lease: Map<Address, u64>,
}

impl Sched2 {
    pub fn granted(&mut self, lease: u64, to: Address, worker: Address) -> Verdict {
        if let Some((before, _)) = self.granted.insert((worker.node, worker.epoch, lease), (to, worker)) {
            return broken(NAME, format!("lease {lease} is granted to {to} and was granted to {before}"));
        }
        if let Some(other) = self.on_lease.insert(worker, lease) {
            return broken(NAME, format!("worker {worker} is on lease {lease} and still on {other}"));
        }
        Ok(())
    }

    /// The worker of a lease, if this owner has it.
    pub fn returned(&mut self, lease: u64, by: Address) -> Option<Address> {
        let (owner, worker) = *self.granted.get(&(by.node, by.epoch, lease))?;
        if owner != by || self.on_lease.get(&worker) != Some(&lease) {
            return None;
        }
        self.on_lease.remove(&worker);
        Some(worker)
    }

    /// Leases end with their worker and with their owner. Returns the workers that are free of one now.
    pub fn died(&mut self, process: Address) -> Vec<Address> {
        self.on_lease.remove(&process);
        let ended = |worker: &Address, lease: &u64| {
            self.granted.get(&(worker.node, worker.epoch, *lease)).is_some_and(|(owner, _)| *owner == process)
        };
        let workers: Vec<Address> =
            self.on_lease.iter().filter(|(worker, lease)| ended(worker, lease)).map(|(worker, _)| *worker).collect();
        for worker in &workers {
            self.on_lease.remove(worker);
        }
        workers
    }
}
