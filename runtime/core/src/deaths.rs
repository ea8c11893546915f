//! Deaths of other processes, in two phases: first everything in flight is drained and passed on, then what is left is judged.

use crate::history::End;
use crate::objects::{Object, Waiter};
use crate::peers::Link;
use crate::planted::Bug;
use crate::tasks::Phase;
use crate::{Effect, LocalError, Owner, drop_payload};
use iosdk_types::message::ProcessToRaylet;
use iosdk_types::{Address, Attempt, Death, Exit, Key, Outcome, Time};

/// For a process that broke a rule or left no trace.
fn unexplained() -> Death {
    Death { pid: 0, exit: Exit::Unknown, intended: false, last_lines: Vec::new() }
}

impl Owner {
    /// The shell has drained its lanes into earlier steps, and what those sent is on its way.
    pub(crate) fn peer_dying(&mut self, address: Address, out: &mut Vec<Effect>) {
        if let Some(peer) = self.peers.find(address)
            && let Some(peer) = self.peers.get_mut(peer)
        {
            peer.dying = true;
        }
        out.push(Effect::ToRaylet(ProcessToRaylet::DeadAck { peer: address }));
    }

    pub(crate) fn peer_dead(&mut self, address: Address, death: Death, out: &mut Vec<Effect>) {
        self.claim_extents(address, out);
        if let Some(key) = self.peers.find(address)
            && let Some(peer) = self.peers.get_mut(key)
        {
            peer.death = Some(death);
            out.push(Effect::JudgeClaims { peer: address });
        }
    }

    /// Its lane cannot be trusted: what is there is judged as after a death, and its worker is not used again. Shared memory
    /// that it holds is settled when it really dies.
    pub(crate) fn lane_poisoned(&mut self, address: Address, out: &mut Vec<Effect>) {
        let key = self.peer_at(address);
        if let Some(peer) = self.peers.get_mut(key)
            && peer.death.is_none()
            && peer.link != Link::Poisoned
        {
            peer.link = Link::Poisoned;
            for lease in &peer.leases {
                if let Some(lease) = self.classes.leases.get(*lease) {
                    let message = ProcessToRaylet::ReturnLease { lease: lease.id, worker_usable: false };
                    out.push(Effect::ToRaylet(message));
                }
            }
            out.push(Effect::JudgeClaims { peer: address });
        }
    }

    /// We asked for lanes to a process that is gone. Nothing was ever pushed there.
    pub(crate) fn no_such_peer(&mut self, now: Time, address: Address, death: Option<Death>, out: &mut Vec<Effect>) {
        let Some(key) = self.peers.find(address) else { return };
        if let Some(peer) = self.peers.get(key)
            && peer.link == Link::Asked
        {
            // It may be alive where no lane leads. An actor of ours in it would stay for ever: nobody else ends it.
            for actor in peer.actors.iter().filter_map(|actor| self.actors.all.get(*actor)) {
                if actor.owned && death.is_none() {
                    let message = ProcessToRaylet::KillActor { actor: actor.id, no_restart: true };
                    out.push(Effect::ToRaylet(message));
                }
            }
            self.settle_death(now, key, death, &[], out);
        }
    }

    pub(crate) fn judged(&mut self, now: Time, address: Address, mut never: Vec<u64>, out: &mut Vec<Effect>) {
        let Some(key) = self.peers.find(address) else { return };
        let Some(peer) = self.peers.get(key) else { return };
        if peer.death.is_none() && peer.link != Link::Poisoned {
            return;
        }
        let death = peer.death.clone();
        never.sort_unstable();
        self.settle_death(now, key, death, &never, out);
    }

    fn settle_death(&mut self, now: Time, key: Key, death: Option<Death>, never: &[u64], out: &mut Vec<Effect>) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let address = peer.address;
        let really_dead = peer.link != Link::Poisoned || peer.death.is_some();
        let leases = std::mem::take(&mut peer.leases);
        let actors = std::mem::take(&mut peer.actors);
        let definitions = std::mem::take(&mut peer.definitions);
        let borrowed = std::mem::take(&mut peer.borrowed);
        definitions.into_values().for_each(|payload| drop_payload(payload, out));

        let mut tasks = Vec::new();
        let mut classes = Vec::new();
        for lease in leases {
            if let Some(lease) = self.drop_lease(lease) {
                tasks.extend(lease.in_flight);
                classes.push(lease.class);
            }
        }
        for &task in tasks
            .iter()
            .chain(actors.iter().filter_map(|actor| self.actors.all.get(*actor)).flat_map(|actor| &actor.in_flight))
        {
            out.push(Effect::FreeClaim { task, peer: address });
        }
        self.drop_loans_to(key);
        for object in borrowed.into_values() {
            self.owner_died(object, death.as_ref(), out);
        }
        self.drop_calls_of(key, out);
        if really_dead {
            if let Some(peer) = self.peers.remove(key)
                && peer.link == Link::Open
            {
                out.push(Effect::Detach { peer: address });
            }
        } else {
            self.peers.reset_slots(key);
        }

        let death = death.unwrap_or_else(unexplained);
        // Last one first: each goes to the front of the queue, so they end up in order.
        for task in tasks.into_iter().rev() {
            self.judge_task(now, task, never.binary_search(&task.0).is_ok(), (address, &death), out);
        }
        for actor in actors {
            self.actor_process_died(now, actor, &death, out);
        }
        for class in classes {
            self.pump(now, class, out);
        }
    }

    fn judge_task(
        &mut self,
        now: Time,
        key: Key,
        never_started: bool,
        (process, death): (Address, &Death),
        out: &mut Vec<Effect>,
    ) {
        if self.has_bug(Bug::ForgetOnDeath) {
            return;
        }
        if never_started {
            self.came_back(now, key, out);
            return;
        }
        let Some(task) = self.tasks.live.get_mut(key) else { return };
        if !matches!(task.phase, Phase::Pushed { .. }) {
            return;
        }
        let number = task.attempts.len() as u32 + 1;
        task.attempts.push(Attempt { number, death: death.clone() });
        let cancelled = task.cancelled.is_some();
        let outcome = if cancelled { Outcome::Cancelled } else { Outcome::WorkerDied };
        let end = End { outcome, on: Some((process, death.pid)), ran: None };
        if cancelled {
            let error = LocalError::Cancelled { task: task.id };
            self.fail_as(key, end, error, out);
        } else if self.spend_retry(key) {
            self.attempt_ended(now, key, end, out);
            self.enqueue(now, key, true, out);
        } else if let Some(task) = self.tasks.live.get(key) {
            let (task, function, attempts) = (task.id, task.function, task.attempts.clone());
            self.fail_as(key, end, LocalError::WorkerCrashed { task, function, attempts }, out);
        }
    }

    /// A dead process holds nothing, waits for nothing and acknowledges nothing.
    fn drop_loans_to(&mut self, peer: Key) {
        let mut freed = Vec::new();
        for (key, object) in self.objects.iter_mut() {
            object.waiters.retain(|waiter| !matches!(waiter, Waiter::Borrower { peer: to, .. } if *to == peer));
            if let Some(borrow) = Object::borrow_mut(object) {
                borrow.acks.retain(|ack| ack.to != peer);
            }
            let before = object.lent.len();
            object.lent.retain(|loan| loan.to != peer);
            if object.lent.len() < before {
                freed.push(key);
            }
        }
        for key in freed {
            self.doom(key);
        }
    }
}
