//! What the node has, who holds how much of it, and whose CPU is lent out while it is blocked.

use iosdk_types::{Map, ResourceSet};

pub(crate) const CPU: &str = "CPU";

/// What one process holds.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    pub(crate) resources: ResourceSet,
    /// Blocked: its CPU is somebody else's for now.
    pub(crate) lent: bool,
    /// It took its CPU back once, perhaps before the borrower was done.
    pub(crate) resumed: bool,
    /// True for actors: they hold until they die, nobody can ask them to give back.
    pub(crate) for_life: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Capacity {
    pub(crate) total: ResourceSet,
    /// `total` less what is held and not lent. CPU goes below zero when a lender resumes before its borrower is done.
    pub(crate) available: ResourceSet,
    pub(crate) holds: Map<u32, Hold>,
    /// What entrypoints of submitted jobs hold, for life.
    jobs: Map<u64, ResourceSet>,
    /// Grows with each change, so that nobody compares sets to notice one.
    pub(crate) changes: u64,
}

impl Capacity {
    pub(crate) fn new(total: ResourceSet) -> Self {
        Self { available: total.clone(), total, holds: Map::new(), jobs: Map::new(), changes: 0 }
    }

    pub(crate) fn take(&mut self, process: u32, resources: &ResourceSet, for_life: bool) {
        self.available.subtract(resources);
        self.changes += 1;
        let hold = Hold { resources: resources.clone(), lent: false, resumed: false, for_life };
        let before = self.holds.insert(process, hold);
        debug_assert!(before.is_none(), "process {process} holds twice");
    }

    pub(crate) fn release(&mut self, process: u32) {
        if let Some(hold) = self.holds.remove(&process) {
            self.available.add(&hold.resources);
            self.changes += 1;
            if hold.lent {
                self.available.subtract(&hold.resources.only(CPU));
            }
        }
    }

    pub(crate) fn take_for_job(&mut self, number: u64, resources: &ResourceSet) {
        self.available.subtract(resources);
        self.changes += 1;
        let before = self.jobs.insert(number, resources.clone());
        debug_assert!(before.is_none(), "job {number} holds twice");
    }

    pub(crate) fn release_job(&mut self, number: u64) {
        if let Some(resources) = self.jobs.remove(&number) {
            self.available.add(&resources);
            self.changes += 1;
        }
    }

    /// It blocks: others may use its CPU.
    pub(crate) fn lend(&mut self, process: u32) {
        if let Some(hold) = self.holds.get_mut(&process).filter(|hold| !hold.lent) {
            hold.lent = true;
            self.available.add(&hold.resources.only(CPU));
            self.changes += 1;
        }
    }

    /// It runs again: its CPU is its own at once, even while the borrower still runs.
    /// `forget` is for tests that break the machine on purpose.
    pub(crate) fn take_back(&mut self, process: u32, forget: bool) {
        if let Some(hold) = self.holds.get_mut(&process).filter(|hold| hold.lent) {
            hold.lent = false;
            hold.resumed = true;
            if !forget {
                self.available.subtract(&hold.resources.only(CPU));
            }
            self.changes += 1;
        }
    }

    pub(crate) fn is_lent(&self, process: u32) -> bool {
        self.holds.get(&process).is_some_and(|hold| hold.lent)
    }

    /// CPU that can come free by asking leases for it: all but what actors and jobs hold for life.
    pub(crate) fn reachable_cpu(&self) -> i64 {
        let for_life = self.holds.values().filter(|hold| hold.for_life && !hold.lent);
        let jobs = self.jobs.values().map(|held| held.get(CPU).0).sum::<i64>();
        self.total.get(CPU).0 - jobs - for_life.map(|hold| hold.resources.get(CPU).0).sum::<i64>()
    }

    /// What can be told to others: nothing below zero.
    pub(crate) fn visible(&self) -> ResourceSet {
        let mut visible = ResourceSet::new();
        for (name, amount) in self.available.iter().filter(|(_, amount)| amount.0 > 0) {
            visible.set(name, amount);
        }
        visible
    }

    /// SCHED-1: the sums agree, nothing but CPU is ever granted beyond the total, and CPU only by as much as lenders resumed.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut expected = self.total.clone();
        let mut resumed = 0;
        self.jobs.values().for_each(|held| expected.subtract(held));
        for hold in self.holds.values() {
            expected.subtract(&hold.resources);
            if hold.lent {
                expected.add(&hold.resources.only(CPU));
            }
            if hold.resumed {
                resumed += hold.resources.get(CPU).0;
            }
        }
        if expected != self.available {
            return Err(format!("SCHED-1: available is {}, but {expected} follows from the holds", self.available));
        }
        for (name, amount) in self.available.iter() {
            let allowed = if name == CPU { resumed } else { 0 };
            if amount.0 < -allowed {
                return Err(format!("SCHED-1: {name} is granted {} beyond the node's", -amount.to_f64()));
            }
        }
        Ok(())
    }
}

/// True for amounts a well-behaved process can ask for.
pub(crate) fn is_sane(resources: &ResourceSet) -> bool {
    resources.iter().all(|(_, amount)| amount.0 > 0)
}
