//! What is waited for: after a restart of the GCS for the nodes it knew, after the loss of a node for the jobs that may live on
//! there. Until the nodes have said what is on them no actor is placed, since it may live where nobody has asked yet.

use crate::kept::Kept;
use crate::record::State;
use crate::{Effect, Gcs, Record};
use iosdk_types::{Address, JobCause, JobReport, Map, Set, Span, Time};

/// How long a node may stay away before its jobs count as lost.
pub const RETURN: Span = Span::from_secs(60);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// Restarted, and nobody has said what time it is.
    Waking,
    Until(Time),
    Over,
}

#[derive(Clone, Debug)]
pub(crate) struct Recovery {
    phase: Phase,
    /// Nodes that were alive before the restart and have not said what is on them since.
    expected: Set<u32>,
    /// Nodes with jobs that have not said `JobsHere` since their link came or went.
    away: Map<u32, Time>,
    /// Processes that died since the restart: an actor of theirs may be heard of later.
    gone: Set<Address>,
}

impl Recovery {
    pub(crate) fn of(kept: &Kept) -> Self {
        let alive = kept.lasting.nodes.iter().filter(|(_, node)| node.alive);
        let expected: Set<u32> = alive.map(|(number, _)| *number).collect();
        let nothing = expected.is_empty() && kept.hosts.is_empty();
        let phase = if nothing { Phase::Over } else { Phase::Waking };
        Self { phase, expected, away: Map::new(), gone: Set::new() }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    pub(crate) fn died(&mut self, process: Address) {
        if !self.is_over() {
            self.gone.insert(process);
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        let phase = match self.phase {
            Phase::Waking => Some(Time(0)),
            Phase::Until(at) => Some(at),
            Phase::Over => None,
        };
        self.away.values().copied().chain(phase).min()
    }
}

impl Gcs {
    pub(crate) fn begin_recovery(&mut self, now: Time) {
        if self.recovery.phase == Phase::Waking {
            self.recovery.phase = Phase::Until(now + RETURN);
            self.recovery.away = self.kept.hosts.keys().map(|node| (*node, now + RETURN)).collect();
        }
    }

    pub(crate) fn await_jobs_of(&mut self, now: Time, node: u32) {
        if self.kept.hosts.contains_key(&node) {
            self.recovery.away.entry(node).or_insert(now + RETURN);
        }
    }

    /// The node has said everything that is on it.
    pub(crate) fn accounted(&mut self, node: u32, out: &mut Vec<Effect>) {
        self.recovery.away.remove(&node);
        self.recovery.expected.remove(&node);
        if self.recovery.expected.is_empty() {
            self.recovered(out);
        }
    }

    pub(crate) fn end_recovery(&mut self, now: Time, out: &mut Vec<Effect>) {
        if matches!(self.recovery.phase, Phase::Until(at) if at <= now) {
            self.recovered(out);
        }
    }

    fn recovered(&mut self, out: &mut Vec<Effect>) {
        if self.recovery.is_over() {
            return;
        }
        self.recovery.phase = Phase::Over;
        for node in std::mem::take(&mut self.recovery.expected) {
            if !self.nodes.is_alive(node) {
                self.give_up(node, out);
            }
        }
        self.stop_orphans(out);
        self.recovery.gone.clear();
        self.place_waiting(out);
    }

    /// Whether nobody is left who could own anything under this address.
    pub(crate) fn is_gone(&self, owner: Address) -> bool {
        let lives_there = self.nodes.alive().any(|(node, known)| node == owner.node && known.epoch == owner.epoch);
        self.recovery.gone.contains(&owner) || (self.recovery.is_over() && !lives_there)
    }

    /// Whether nodes may be about to come that are not known now.
    pub(crate) fn expects_nodes(&self) -> bool {
        self.nodes.alive().next().is_none() || !self.recovery.expected.is_empty()
    }

    /// Jobs of nodes that stayed away too long end.
    pub(crate) fn lose_jobs(&mut self, now: Time, out: &mut Vec<Effect>) {
        let late: Vec<u32> =
            self.recovery.away.iter().filter(|(_, until)| **until <= now).map(|(node, _)| *node).collect();
        if late.is_empty() {
            return;
        }
        for node in late {
            self.recovery.away.remove(&node);
            for number in self.kept.jobs_at(node) {
                let started_ms = match self.kept.job(number).map(|job| &job.state) {
                    Some(State::Running { started_ms, .. }) => *started_ms,
                    _ => 0,
                };
                let report = JobReport::unseen(JobCause::NodeLost, started_ms, self.wall.at(now));
                self.write(Record::JobEnded { number, report }, out);
                // For a start that still waits for the log.
                Self::stop_at(node, number, true, out);
            }
        }
        self.start_queued(out);
    }
}
