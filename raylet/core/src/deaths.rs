//! Deaths in two phases: those who had lanes to the dead drain them and pass on what follows; when all have, they judge.

use crate::processes::Phase;
use crate::{Effect, Raylet};
use iosdk_types::message::{ActorDeath, RayletToGcs, RayletToProcess};
use iosdk_types::{ActorId, Address, Death, Map, Set, Span, Time};
use std::collections::VecDeque;

/// A survivor that has not drained by then is not waited for.
const DRAIN: Span = Span::from_millis(500);
/// Deaths remembered for those who ask after them.
const REMEMBERED: usize = 1024;

#[derive(Clone, Debug)]
enum Stage {
    /// `PeerDying` is said; these have not acknowledged.
    Draining { acks: Set<u32>, until: Time },
    /// `PeerDead` is said; these have not said what they claim. `unacked` are those the first stage did not wait for.
    Judging { claims: Set<u32>, unacked: Set<u32>, timed_out: bool },
}

#[derive(Clone, Debug)]
struct Dying {
    death: Death,
    peers: Vec<u32>,
    stage: Stage,
    /// The actor that lived in it, told to the GCS after `PeerDead`, so that callers judge their calls first.
    actor: Option<(ActorId, ActorDeath)>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Deaths {
    dying: Map<u32, Dying>,
    remembered: VecDeque<(u32, Death)>,
}

impl Deaths {
    pub(crate) fn is_dying(&self, number: u32) -> bool {
        self.dying.contains_key(&number)
    }

    pub(crate) fn pid(&self, number: u32) -> Option<i32> {
        let remembered = || self.remembered.iter().rev().find(|(dead, _)| *dead == number).map(|(_, death)| death.pid);
        self.dying.get(&number).map(|dying| dying.death.pid).or_else(remembered)
    }

    /// How a process of ours ended; `ours` tells node and incarnation.
    pub(crate) fn record(&self, peer: Address, ours: Address) -> Option<Death> {
        if (peer.node, peer.epoch) != (ours.node, ours.epoch) {
            return None;
        }
        let dying = self.dying.get(&peer.process).map(|dying| dying.death.clone());
        dying.or_else(|| {
            self.remembered.iter().rev().find(|(dead, _)| *dead == peer.process).map(|(_, death)| death.clone())
        })
    }

    fn remember(&mut self, number: u32, death: Death) {
        if self.remembered.len() == REMEMBERED {
            self.remembered.pop_front();
        }
        self.remembered.push_back((number, death));
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        let limits = self.dying.values().filter_map(|dying| match &dying.stage {
            Stage::Draining { until, .. } => Some(*until),
            Stage::Judging { .. } => None,
        });
        limits.min()
    }

    pub(crate) fn check(&self, is_live: impl Fn(u32) -> bool) -> Result<(), String> {
        for (number, dying) in &self.dying {
            if is_live(*number) {
                return Err(format!("{number} is both dying and alive"));
            }
            let awaited = match &dying.stage {
                Stage::Draining { acks, .. } => acks,
                Stage::Judging { claims, unacked, timed_out } => {
                    if !timed_out && !unacked.is_empty() {
                        return Err(format!("{number} was declared dead before {unacked:?} had drained"));
                    }
                    claims
                }
            };
            if awaited.is_empty() {
                return Err(format!("nobody is awaited for {number}, and yet it is not done"));
            }
            if let Some(gone) = awaited.iter().find(|survivor| !is_live(**survivor)) {
                return Err(format!("{gone} is awaited for {number}, and is dead itself"));
            }
        }
        Ok(())
    }
}

impl Raylet {
    pub(crate) fn process_died(&mut self, now: Time, address: Address, mut death: Death, out: &mut Vec<Effect>) {
        let Some(number) = self.live(address) else { return };
        let Some(process) = self.processes.live.remove(&number) else { return };
        death.intended |= process.intended;
        if let (Phase::Starting, None, Some(job)) = (process.phase, &process.driver, process.job) {
            let why = match death.last_lines.last() {
                Some(line) => format!("{}: {line}", death.exit),
                None => death.exit.to_string(),
            };
            self.fork_failed(now, job, number, why, out);
        }
        self.pool.forget(number);
        if let Some(lease) = self.leases.lease_of_worker(number) {
            self.end_lease(now, lease);
        }
        self.capacity.release(number);
        let actor = self.actor_process_died(number, &death);
        self.meter.process_died(number, &death, actor.as_ref().map(|(_, cause)| cause));
        self.drop_owner(now, number, out);
        self.arena.holder_died(number);
        self.gcs.forget_watcher(address);
        self.actors.forget_owner(address);
        self.deaths.remember(number, death.clone());
        let peers: Vec<u32> =
            self.lanes.peers(number).into_iter().filter(|peer| self.processes.live.contains_key(peer)).collect();
        for peer in &peers {
            self.say(*peer, RayletToProcess::PeerDying { peer: address }, out);
        }
        let stage = Stage::Draining { acks: peers.iter().copied().collect(), until: now + DRAIN };
        self.deaths.dying.insert(number, Dying { death, peers, stage, actor });
        self.judge_if_drained(number, false, out);
        self.nobody_waits_for(number, out);
        match process.job.filter(|_| process.driver.is_some()) {
            _ if process.driver.is_some() && self.config.ends_with_driver => self.shut_down(out),
            Some(job) => self.close_job(job, out),
            None => {}
        }
        if let Some(job) = process.job {
            self.close_if_empty(job, out);
            if !self.processes.live.values().any(|other| other.job == Some(job)) {
                self.meter.job_closed(job);
            }
        }
    }

    /// The dead answer nobody: those who wait for this one go on.
    fn nobody_waits_for(&mut self, gone: u32, out: &mut Vec<Effect>) {
        let others: Vec<u32> = self.deaths.dying.keys().copied().filter(|other| *other != gone).collect();
        for other in others {
            self.dead_ack(gone, other, out);
            self.has_claimed(gone, other, out);
        }
    }

    pub(crate) fn dead_ack(&mut self, from: u32, dead: u32, out: &mut Vec<Effect>) {
        if let Some(Dying { stage: Stage::Draining { acks, .. }, .. }) = self.deaths.dying.get_mut(&dead)
            && acks.remove(&from)
        {
            self.judge_if_drained(dead, false, out);
        }
    }

    pub(crate) fn stop_waiting_for_acks(&mut self, now: Time, out: &mut Vec<Effect>) {
        let overdue = |dying: &Dying| match &dying.stage {
            Stage::Draining { until, .. } => *until <= now,
            Stage::Judging { .. } => false,
        };
        let late: Vec<u32> =
            self.deaths.dying.iter().filter(|(_, dying)| overdue(dying)).map(|(number, _)| *number).collect();
        for number in late {
            self.judge_if_drained(number, true, out);
        }
    }

    /// Second phase, once everybody has drained (or had the time to).
    fn judge_if_drained(&mut self, number: u32, timed_out: bool, out: &mut Vec<Effect>) {
        let skip = self.skips_dead_acks();
        let peer = self.address(number);
        let Some(dying) = self.deaths.dying.get_mut(&number) else { return };
        let Stage::Draining { acks, .. } = &mut dying.stage else { return };
        if !acks.is_empty() && !timed_out && !skip {
            return;
        }
        let unacked = std::mem::take(acks);
        let (death, actor) = (dying.death.clone(), dying.actor.take());
        let survivors = dying.peers.iter().copied().filter(|peer| self.processes.live.contains_key(peer));
        let claims: Set<u32> = survivors.collect();
        dying.stage = Stage::Judging { claims: claims.clone(), unacked, timed_out };
        for survivor in &claims {
            self.say(*survivor, RayletToProcess::PeerDead { peer, death: death.clone() }, out);
        }
        if let Some((actor, cause)) = actor {
            self.tell_gcs(RayletToGcs::ActorEnded { actor, cause }, out);
        }
        self.tell_gcs(RayletToGcs::ProcessDied { process: peer, death }, out);
        if claims.is_empty() {
            self.bury(number, out);
        }
    }

    pub(crate) fn claims(&mut self, from: u32, dead: u32, extents: &[u64], out: &mut Vec<Effect>) {
        let awaited = self.deaths.dying.get(&dead).is_some_and(|dying| match &dying.stage {
            Stage::Judging { claims, .. } => claims.contains(&from),
            Stage::Draining { .. } => false,
        });
        if !awaited {
            return;
        }
        for extent in extents {
            if let Some(orphan) = self.arena.orphan_at(dead, *extent) {
                orphan.claimed_by.insert(from);
            }
        }
        // It has read the dead one's lane to its end.
        self.lanes.close(from, dead);
        self.has_claimed(from, dead, out);
    }

    fn has_claimed(&mut self, from: u32, dead: u32, out: &mut Vec<Effect>) {
        if let Some(Dying { stage: Stage::Judging { claims, .. }, .. }) = self.deaths.dying.get_mut(&dead)
            && claims.remove(&from)
            && claims.is_empty()
        {
            self.bury(dead, out);
        }
    }

    /// Everybody has judged: what nobody claims of the dead one's memory is free, and so is what it claimed itself.
    fn bury(&mut self, number: u32, out: &mut Vec<Effect>) {
        self.deaths.dying.remove(&number);
        self.lanes.remove(number);
        for held in self.arena.held.values_mut() {
            let is_its_own = held.holder == number;
            if let Some(orphan) = &mut held.orphan {
                orphan.judged |= is_its_own;
                orphan.claimed_by.remove(&number);
            }
        }
        self.watch_abandoned(out);
    }
}
