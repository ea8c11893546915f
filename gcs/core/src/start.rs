//! Which waiting job starts where. Jobs start in the order they came, within what fits: one that does not fit now may be
//! passed by later ones that do. It may not be passed for ever: once the oldest one that some node could hold was passed
//! `PASSES_MAX` times, nobody starts before it. (The count begins anew with the GCS.) What no node here could hold even when
//! idle stands aside and holds nobody up.
//! Each step leaves nothing waiting that could start, so a new job is looked at alone; when room is made, each shape is looked
//! at, in the order of their oldest jobs, until `LOOKS_MAX` of them did not fit. So no decision costs more for a longer queue.

use crate::record::State;
use crate::{Effect, Gcs, Record};
use iosdk_types::ResourceSet;
use std::cmp::Reverse;

pub const PASSES_MAX: u32 = 100;

/// What asks for other amounts than so many kinds of older jobs waits until some of those are gone, or fits when it comes.
pub(crate) const LOOKS_MAX: usize = 256;

/// The oldest waiting job that some node could hold, and how often others started before it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turn {
    job: Option<u64>,
    passes: u32,
    /// How many shapes were held against the nodes, for the tests of what a decision costs.
    #[cfg(test)]
    pub(crate) looked: std::cell::Cell<u64>,
}

impl Turn {
    fn of(&mut self, job: Option<u64>) {
        if self.job != job {
            (self.job, self.passes) = (job, 0);
        }
    }

    /// Whether someone may start before it; counted.
    fn may_be_passed(&mut self) -> bool {
        let may = self.job.is_none() || self.passes < PASSES_MAX;
        self.passes += u32::from(may && self.job.is_some());
        may
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    Now(u32),
    Later,
    /// On no node of today's cluster.
    Never,
}

impl Gcs {
    pub(crate) fn slot_is_free(&self) -> bool {
        self.config.slots == 0 || self.kept.placed < self.config.slots
    }

    /// The node with most to give, among those where all submitted jobs together hold no more than there is. What tasks and
    /// actors use there only ranks it: the node lets the job begin when they make room.
    pub(crate) fn fit(&self, asked: &ResourceSet) -> Fit {
        #[cfg(test)]
        self.turn.looked.set(self.turn.looked.get() + 1);
        let none = ResourceSet::new();
        let mut possible = false;
        let mut best = None;
        for (number, node) in self.nodes.alive() {
            let total = &node.record.resources;
            if !total.covers(asked) {
                continue;
            }
            possible = true;
            let host = self.kept.hosts.get(&number);
            let held = host.map_or(&none, |host| &host.held);
            let has_room = asked.iter().all(|(name, amount)| total.get(name).0 - held.get(name).0 >= amount.0);
            if !has_room || !node.takes_jobs {
                continue;
            }
            let jobs = host.map_or(0, |host| host.jobs.len());
            let rank = (node.available.covers(asked), Reverse(jobs), node.available.get("CPU"));
            if best.as_ref().is_none_or(|(best_rank, _)| rank > *best_rank) {
                best = Some((rank, number));
            }
        }
        match best {
            Some((_, node)) => Fit::Now(node),
            None if possible => Fit::Later,
            None => Fit::Never,
        }
    }

    pub(crate) fn start_new(&mut self, number: u64, asked: &ResourceSet, out: &mut Vec<Effect>) {
        if !self.slot_is_free() {
            return;
        }
        match self.fit(asked) {
            Fit::Now(node) if self.turn.may_be_passed() => self.send(number, node, out),
            Fit::Never => self.kept.queue.set_aside(number),
            Fit::Later if self.turn.job.is_none() => self.turn.of(Some(number)),
            Fit::Now(_) | Fit::Later => {}
        }
    }

    /// After anything that may have made room.
    pub(crate) fn start_queued(&mut self, out: &mut Vec<Effect>) {
        let (mut from, mut oldest, mut looks) = (0, None, 0);
        while self.slot_is_free() && looks < LOOKS_MAX {
            let next = self.kept.queue.next_shape(from);
            let Some((number, fit)) = next.map(|(number, shape)| (number, self.fit(shape))) else {
                return self.turn.of(oldest);
            };
            from = number + 1;
            match fit {
                Fit::Now(node) => {
                    if oldest.is_some() && !self.turn.may_be_passed() {
                        return;
                    }
                    self.send(number, node, out);
                }
                Fit::Later => {
                    looks += 1;
                    if oldest.is_none() {
                        oldest = Some(number);
                        self.turn.of(oldest);
                    }
                }
                Fit::Never => self.kept.queue.set_aside(number),
            }
        }
    }

    fn send(&mut self, number: u64, node: u32, out: &mut Vec<Effect>) {
        self.write(Record::JobSent { number, node }, out);
        self.send_again(number, node, out);
    }

    pub(crate) fn send_again(&self, number: u64, node: u32, out: &mut Vec<Effect>) {
        if let Some(job) = self.kept.job(number) {
            out.push(Effect::StartJob { node, number, held: job.resources.clone() });
        }
    }

    /// The jobs of a node hold no more than it has, and nothing waits that could start. (A node that came back smaller holds
    /// what it was given before.)
    pub(crate) fn check_holds(&self) -> Result<(), String> {
        for (number, node) in self.nodes.alive() {
            let Some(host) = self.kept.hosts.get(&number) else { continue };
            if !node.shrunk && !node.record.resources.covers(&host.held) {
                return Err(format!("jobs hold {} of node {number}, which has {}", host.held, node.record.resources));
            }
        }
        let barred = self.turn.job.is_some() && self.turn.passes >= PASSES_MAX;
        let (mut from, mut looks) = (0, if barred || !self.slot_is_free() { LOOKS_MAX } else { 0 });
        while let Some((number, shape)) = self.kept.queue.next_shape(from).filter(|_| looks < LOOKS_MAX) {
            if let Fit::Now(node) = self.fit(shape) {
                return Err(format!("job {number} waits for {shape}, which node {node} has"));
            }
            (from, looks) = (number + 1, looks + 1);
        }
        match self.turn.job.and_then(|job| self.kept.job(job)) {
            Some(job) if self.slot_is_free() && job.state != State::Queued => {
                Err(format!("it is the turn of {}, which does not wait", job.submission_id))
            }
            _ => Ok(()),
        }
    }
}
