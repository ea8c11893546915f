//! What the node has, who holds how much of it, and whose CPU is lent out while it is blocked.

use iosdk_types::{Amount, Map, ResourceSet, Set};

pub(crate) const CPU: &str = "CPU";

/// What one process holds.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    pub(crate) resources: ResourceSet,
    /// Tells this hold from an earlier one of the same process.
    grant: u64,
    /// Blocked: its CPU is somebody else's for now.
    pub(crate) lent: bool,
    /// How often it took its CPU back, perhaps before the borrower was done.
    took_back: u32,
    /// True for actors: they hold until they die, nobody can ask them to give back.
    pub(crate) for_life: bool,
}

/// Who holds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Holder {
    Process(u32),
    /// The entrypoint of a submitted job.
    Job(u64),
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
    /// Whose hold has changed since the meter looked; `None` where nobody meters.
    journal: Option<Journal>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    pub(crate) touched: Set<Holder>,
    /// Among those: who took back what was lent.
    pub(crate) took_back: Set<Holder>,
}

impl Capacity {
    pub(crate) fn new(total: ResourceSet, metered: bool) -> Self {
        let journal = metered.then(Journal::default);
        Self { available: total.clone(), total, holds: Map::new(), jobs: Map::new(), changes: 0, journal }
    }

    fn changed(&mut self, holder: Holder) {
        self.changes += 1;
        if let Some(journal) = &mut self.journal {
            journal.touched.insert(holder);
            // Of a hold that is over.
            journal.took_back.remove(&holder);
        }
    }

    pub(crate) fn take_journal(&mut self) -> Journal {
        self.journal.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// What the holder has for itself now, without what it lends; `None` when it holds nothing (any more).
    /// `lent_too` is for tests that break the machine on purpose.
    pub(crate) fn charged(&self, holder: Holder, lent_too: bool) -> Option<ResourceSet> {
        match holder {
            Holder::Process(number) => self.holds.get(&number).map(|hold| {
                let mut charged = hold.resources.clone();
                if hold.lent && !lent_too {
                    charged.set(CPU, Amount(0));
                }
                charged
            }),
            Holder::Job(number) => self.jobs.get(&number).cloned(),
        }
    }

    /// Everything that is held: which grant or submitted job, what it has for itself, and how often it took back what it lent.
    pub(crate) fn granted(&self) -> impl Iterator<Item = (Result<u64, u64>, ResourceSet, u32)> {
        let processes =
            self.holds.iter().map(|(number, hold)| (Holder::Process(*number), Ok(hold.grant), hold.took_back));
        let jobs = self.jobs.keys().map(|number| (Holder::Job(*number), Err(*number), 0));
        processes.chain(jobs).filter_map(|(holder, name, backs)| Some((name, self.charged(holder, false)?, backs)))
    }

    pub(crate) fn take(&mut self, process: u32, resources: &ResourceSet, for_life: bool) {
        self.available.subtract(resources);
        self.changed(Holder::Process(process));
        let hold = Hold { resources: resources.clone(), grant: self.changes, lent: false, took_back: 0, for_life };
        let before = self.holds.insert(process, hold);
        debug_assert!(before.is_none(), "process {process} holds twice");
    }

    pub(crate) fn release(&mut self, process: u32) {
        if let Some(hold) = self.holds.remove(&process) {
            self.available.add(&hold.resources);
            self.changed(Holder::Process(process));
            if hold.lent {
                self.available.subtract(&hold.resources.only(CPU));
            }
        }
    }

    pub(crate) fn take_for_job(&mut self, number: u64, resources: &ResourceSet) {
        self.available.subtract(resources);
        self.changed(Holder::Job(number));
        let before = self.jobs.insert(number, resources.clone());
        debug_assert!(before.is_none(), "job {number} holds twice");
    }

    pub(crate) fn release_job(&mut self, number: u64) {
        if let Some(resources) = self.jobs.remove(&number) {
            self.available.add(&resources);
            self.changed(Holder::Job(number));
        }
    }

    /// It blocks: others may use its CPU.
    pub(crate) fn lend(&mut self, process: u32) {
        if let Some(hold) = self.holds.get_mut(&process).filter(|hold| !hold.lent) {
            hold.lent = true;
            self.available.add(&hold.resources.only(CPU));
            self.changed(Holder::Process(process));
        }
    }

    /// It runs again: its CPU is its own at once, even while the borrower still runs.
    /// `forget` is for tests that break the machine on purpose.
    pub(crate) fn take_back(&mut self, process: u32, forget: bool) {
        if let Some(hold) = self.holds.get_mut(&process).filter(|hold| hold.lent) {
            hold.lent = false;
            hold.took_back += 1;
            if !forget {
                self.available.subtract(&hold.resources.only(CPU));
            }
            self.changed(Holder::Process(process));
            if let Some(journal) = &mut self.journal {
                journal.took_back.insert(Holder::Process(process));
            }
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

    /// Submitted jobs whose entrypoints hold something.
    pub(crate) fn jobs_that_hold(&self) -> usize {
        self.jobs.values().filter(|held| !held.is_empty()).count()
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
            if hold.took_back > 0 {
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
