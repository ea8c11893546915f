//! The world's own books, kept from the records alone: what waits, what is where, whose turn it is.

use super::Machine;
use iosdk_gcs_core::{PASSES_MAX, Record};
use iosdk_types::{Amount, Map};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    Queued,
    At(u32),
    Started(u32),
    Over,
}

#[derive(Default)]
pub(super) struct Ledger {
    slots: usize,
    jobs: Map<u64, (i64, Is)>,
    nodes: Map<u32, (u32, bool)>,
    /// The oldest job that could run somewhere, and how often it was passed.
    passed: (u64, u32),
}

impl Ledger {
    pub(super) fn new(slots: usize) -> Self {
        Self { slots, ..Self::default() }
    }

    pub(super) fn read(&mut self, log: &[Record]) {
        for record in log {
            self.fold(record);
        }
    }

    pub(super) fn believes(&self, node: u32, epoch: u32) -> bool {
        self.nodes.get(&node) == Some(&(epoch, true))
    }

    fn fold(&mut self, record: &Record) {
        match record {
            Record::JobAccepted { number, resources, .. } => {
                let asked = resources.get("CPU").0 / Amount::ONE.0;
                assert_eq!(self.jobs.insert(*number, (asked, Is::Queued)), None, "number {number} is used twice");
            }
            Record::JobSent { number, node } => {
                let job = self.jobs.get_mut(number).expect("a job that was accepted");
                assert_eq!(job.1, Is::Queued, "job {number} is sent twice");
                job.1 = Is::At(*node);
            }
            Record::JobStarted { number, node, .. } => {
                let job = self.jobs.get_mut(number).expect("a job that was accepted");
                assert_eq!(job.1, Is::At(*node), "job {number} started elsewhere");
                job.1 = Is::Started(*node);
            }
            Record::JobEnded { number, .. } => {
                let job = self.jobs.get_mut(number).expect("a job that was accepted");
                assert_ne!(job.1, Is::Over, "job {number} ends twice");
                job.1 = Is::Over;
            }
            Record::JobDeleted { number } => {
                assert_eq!(self.jobs[number].1, Is::Over, "job {number} is deleted alive");
            }
            Record::NodeIncarnation { node, epoch, alive, .. } => {
                self.nodes.insert(*node, (*epoch, *alive));
            }
            Record::JobStopAsked { .. } | Record::DriverJob { .. } | Record::UsageBooked { .. } => {}
        }
    }

    pub(super) fn is_started(&self, number: u64) -> bool {
        matches!(self.jobs.get(&number), Some((_, Is::Started(_))))
    }

    pub(super) fn is_over(&self, number: u64) -> bool {
        matches!(self.jobs.get(&number), Some((_, Is::Over)))
    }

    fn held(&self, node: u32) -> i64 {
        let there = |is: Is| is == Is::At(node) || is == Is::Started(node);
        self.jobs.values().filter(|(_, is)| there(*is)).map(|(asked, _)| asked).sum()
    }

    fn fits(&self, asked: i64, machines: &Map<u32, Machine>) -> bool {
        machines.iter().any(|(node, machine)| machine.ready && machine.cpu - self.held(*node) >= asked)
    }

    fn feasible(&self, asked: i64, machines: &Map<u32, Machine>) -> bool {
        machines
            .iter()
            .any(|(node, machine)| self.nodes.get(node).is_some_and(|(_, alive)| *alive) && machine.cpu >= asked)
    }

    fn queued(&self) -> impl Iterator<Item = (u64, i64)> {
        self.jobs.iter().filter(|(_, (_, is))| *is == Is::Queued).map(|(number, (asked, _))| (*number, *asked))
    }

    fn placed(&self) -> usize {
        self.jobs.values().filter(|(_, is)| matches!(is, Is::At(_) | Is::Started(_))).count()
    }

    pub(super) fn written(&mut self, record: &Record, machines: &Map<u32, Machine>) {
        if let Record::JobSent { number, node } = record {
            let first = self.queued().find(|(_, asked)| self.fits(*asked, machines));
            assert_eq!(first.map(|(first, _)| first), Some(*number), "an older job that fits is passed");
            let oldest = self.queued().find(|(_, asked)| self.feasible(*asked, machines)).map(|(oldest, _)| oldest);
            if let Some(oldest) = oldest.filter(|oldest| oldest != number) {
                let times = if self.passed.0 == oldest { self.passed.1 + 1 } else { 1 };
                self.passed = (oldest, times);
                assert!(times <= PASSES_MAX, "job {oldest} is passed for ever");
            }
            self.fold(record);
            assert!(self.held(*node) <= machines[node].cpu, "node {node} holds more than it has");
            assert!(self.slots == 0 || self.placed() <= self.slots, "more jobs run than there are slots");
        } else {
            self.fold(record);
        }
    }

    pub(super) fn nothing_waits_in_vain(&self, machines: &Map<u32, Machine>) {
        if self.slots != 0 && self.placed() >= self.slots || self.passed.1 >= PASSES_MAX {
            return;
        }
        let vain = self.queued().find(|(_, asked)| self.fits(*asked, machines));
        assert_eq!(vain, None, "a job waits though it fits");
    }
}
