//! Tasks of one scheduling class: their queue, the leases they run on, how much is pushed ahead, and what the raylet is asked for.
//!
//! A lease gets about a millisecond of work ahead, by the average of each function; a function nobody knows yet counts as a
//! millisecond, so it runs alone. Tiny tasks stay together: a millisecond of them is spread over no more workers than it needs.
//! Demand is a level: raised at once (in steps, not one message a task), lowered after a while.

use crate::peers::SLOTS;
use crate::tasks::{Phase, RunsOn};
use crate::{Effect, LocalError, Owner, dense};
use iosdk_types::message::ProcessToRaylet;
use iosdk_types::spec::ClassSpec;
use iosdk_types::{Address, Key, Map, Slab, Span, Time};
use std::collections::VecDeque;

/// Work pushed ahead of a lease, in nanoseconds.
const AHEAD_NS: u64 = 1_000_000;
/// What costs no more than this goes to a busy lease while an idle one sleeps on: waking that would cost many times as much.
const TINY_NS: u64 = 10_000;
/// What passing a call on and its reply back costs the worker, beside the run.
const CALL_NS: u64 = 2_000;
/// How long an idle lease is kept.
const KEEP: Span = Span::from_millis(500);
/// How long a demand stays raised after the queue ran empty, and counts a lease without work.
const LINGER: Span = Span::from_millis(10);

/// What a call of this average is counted as.
pub(crate) fn estimate(mean_ns: u64) -> u32 {
    if mean_ns == 0 { AHEAD_NS as u32 } else { (mean_ns + CALL_NS).min(AHEAD_NS) as u32 }
}

pub(crate) struct Class {
    pub(crate) spec: ClassSpec,
    /// Keys of tasks that ended meanwhile (cancelled) are skipped.
    pub(crate) queue: VecDeque<Key>,
    /// Live ones among them, and their cost.
    pub(crate) queued: usize,
    pub(crate) queued_ns: u64,
    pub(crate) leases: Vec<Key>,
    /// The demand last told to the raylet.
    pub(crate) said: u32,
    lower_at: Option<Time>,
}

pub(crate) struct Lease {
    /// The raylet's number for it.
    pub(crate) id: u64,
    pub(crate) class: usize,
    pub(crate) peer: Key,
    pub(crate) in_flight: VecDeque<Key>,
    pub(crate) load_ns: u64,
    /// When the call in front got there.
    pub(crate) head_since: Time,
    pub(crate) idle_since: Option<Time>,
    pub(crate) reclaimed: bool,
    /// The call in front runs far longer than thought: nothing is pushed behind it.
    pub(crate) stalled: bool,
    /// The worker is ending.
    unusable: bool,
}

#[derive(Default)]
pub(crate) struct Classes {
    pub(crate) all: Vec<Class>,
    by_spec: Map<ClassSpec, usize>,
    pub(crate) leases: Slab<Lease>,
    by_id: Map<u64, Key>,
}

/// Demand in steps: exact while small, then two steps an octave, never more than there is work for.
fn level(want: usize) -> u32 {
    let want = want.min(1 << 12) as u32;
    if want <= 8 { want } else { want & !((1 << (want.ilog2() - 1)) - 1) }
}

impl Owner {
    pub fn class(&mut self, spec: ClassSpec) -> Key {
        if let Some(&index) = self.classes.by_spec.get(&spec) {
            return dense(index);
        }
        let index = self.classes.all.len();
        self.classes.by_spec.insert(spec.clone(), index);
        self.classes.all.push(Class {
            spec,
            queue: VecDeque::new(),
            queued: 0,
            queued_ns: 0,
            leases: Vec::new(),
            said: 0,
            lower_at: None,
        });
        dense(index)
    }

    pub(crate) fn enqueue(&mut self, now: Time, key: Key, in_front: bool, out: &mut Vec<Effect>) {
        let Some(function) = self.tasks.live.get(key).map(|task| task.function) else { return };
        let cost = self.estimate(function);
        let Some(task) = self.tasks.live.get_mut(key) else { return };
        let RunsOn::Class(index) = task.runs_on else { return };
        task.phase = Phase::Queued;
        task.estimate = cost;
        let class = &mut self.classes.all[index];
        class.queued += 1;
        class.queued_ns += u64::from(cost);
        if in_front {
            class.queue.push_front(key);
        } else {
            class.queue.push_back(key);
        }
        // Others wait already: what holds them up holds this one up too, and only the demand can change.
        if class.queued == 1 || in_front {
            self.pump(now, index, out);
        } else {
            self.raise_demand(index, out);
        }
    }

    /// What a queued task is thought to cost now: replies may have come since it was queued.
    fn estimate_anew(&mut self, index: usize, key: Key) -> u64 {
        let Some(function) = self.tasks.live.get(key).map(|task| task.function) else { return 0 };
        let cost = self.estimate(function);
        let Some(task) = self.tasks.live.get_mut(key) else { return 0 };
        let class = &mut self.classes.all[index];
        class.queued_ns = class.queued_ns + u64::from(cost) - u64::from(task.estimate);
        task.estimate = cost;
        u64::from(cost)
    }

    /// The first reply of a function: all that is queued was counted as unknown, and the demand with it.
    pub(crate) fn estimate_queue(&mut self, index: usize) {
        for at in 0..self.classes.all[index].queue.len() {
            let key = self.classes.all[index].queue[at];
            if self.tasks.live.get(key).is_some_and(|task| task.phase == Phase::Queued) {
                self.estimate_anew(index, key);
            }
        }
    }

    /// A queued task is queued no more; its key stays in the queue and is skipped.
    pub(crate) fn left_queue(&mut self, key: Key) {
        let Some(task) = self.tasks.live.get(key) else { return };
        if let RunsOn::Class(index) = task.runs_on {
            let class = &mut self.classes.all[index];
            class.queued -= 1;
            class.queued_ns -= u64::from(task.estimate);
        }
    }

    /// Pushes what fits.
    pub(crate) fn pump(&mut self, now: Time, index: usize, out: &mut Vec<Effect>) {
        while let Some(&key) = self.classes.all[index].queue.front() {
            if self.tasks.live.get(key).is_none_or(|task| task.phase != Phase::Queued) {
                self.classes.all[index].queue.pop_front();
                continue;
            }
            let cost = self.estimate_anew(index, key);
            let Some(lease) = self.choose_lease(index, cost) else { break };
            self.classes.all[index].queue.pop_front();
            self.left_queue(key);
            self.push_to_lease(now, lease, key, out);
        }
        self.raise_demand(index, out);
        let class = &mut self.classes.all[index];
        if class.queued == 0 && class.said as usize > class.leases.len() && class.lower_at.is_none() {
            class.lower_at = Some(now + LINGER);
            self.wake(now + LINGER);
        }
    }

    /// The lease that may take this much more: for tiny tasks a busy one, else the least loaded.
    fn choose_lease(&self, index: usize, cost: u64) -> Option<Key> {
        let mut best = None;
        for &key in &self.classes.all[index].leases {
            let Some(lease) = self.classes.leases.get(key) else { continue };
            let is_idle = lease.in_flight.is_empty();
            let fits = is_idle || (lease.load_ns + cost <= AHEAD_NS && lease.in_flight.len() < SLOTS as usize);
            if !fits || lease.stalled || lease.reclaimed {
                continue;
            }
            let joins = !is_idle && cost <= TINY_NS;
            if !joins && best.is_some_and(|(load, _)| load <= lease.load_ns) {
                continue;
            }
            if self.peers.get(lease.peer).is_some_and(|peer| peer.takes_calls()) {
                best = Some((lease.load_ns, key));
                if joins {
                    break;
                }
            }
        }
        best.map(|(_, key)| key)
    }

    fn push_to_lease(&mut self, now: Time, key: Key, task: Key, out: &mut Vec<Effect>) {
        let cost = self.tasks.live.get(task).map_or(0, |task| task.estimate);
        let Some(lease) = self.classes.leases.get_mut(key) else { return };
        let was_idle = lease.idle_since.take().is_some();
        if lease.in_flight.is_empty() {
            lease.head_since = now;
        }
        lease.in_flight.push_back(task);
        lease.load_ns += u64::from(cost);
        let (peer, class, watch) = (lease.peer, lease.class, lease.in_flight.len() == 2);
        self.push_call(task, peer, key, out);
        if was_idle {
            self.count_again(class, out);
        }
        if watch {
            self.watch_head(key);
        }
    }

    /// The reply came, or it was taken back: the slot is free.
    pub(crate) fn left_peer(&mut self, now: Time, key: Key, peer: Key, lease: Key, out: &mut Vec<Effect>) {
        self.peers.free_slot(peer);
        if let Some(peer) = self.peers.get(peer) {
            out.push(Effect::FreeClaim { task: key, peer: peer.address });
        }
        let cost = self.tasks.live.get(key).map_or(0, |task| u64::from(task.estimate));
        let Some(lease_entry) = self.classes.leases.get_mut(lease) else {
            self.left_actor(key);
            return;
        };
        if lease_entry.in_flight.front() == Some(&key) {
            lease_entry.in_flight.pop_front();
            lease_entry.head_since = now;
            lease_entry.stalled = false;
        } else if lease_entry.in_flight.back() == Some(&key) {
            lease_entry.in_flight.pop_back();
        } else {
            lease_entry.in_flight.retain(|other| *other != key);
        }
        lease_entry.load_ns -= cost;
        if lease_entry.in_flight.len() > 1 {
            self.watch_head(lease);
        }
    }

    /// After calls left the lease: more of them, or back it goes.
    pub(crate) fn pump_lease(&mut self, now: Time, key: Key, out: &mut Vec<Effect>) {
        let Some(class) = self.classes.leases.get(key).map(|lease| lease.class) else { return };
        if self.classes.all[class].queued > 0 {
            self.pump(now, class, out);
        }
        let Some(lease) = self.classes.leases.get_mut(key) else { return };
        if !lease.in_flight.is_empty() {
            return;
        }
        if lease.reclaimed {
            self.return_lease(key, out);
        } else if lease.idle_since.is_none() {
            lease.idle_since = Some(now);
            self.wake(now + LINGER);
        }
    }

    /// Leases of this class that have work, or had it just now.
    fn in_use(&self, index: usize, now: Option<Time>) -> usize {
        let leases = self.classes.all[index].leases.iter().filter_map(|key| self.classes.leases.get(*key));
        let is_used = |since: Option<Time>| since.is_none_or(|since| now.is_some_and(|now| since + LINGER > now));
        leases.filter(|lease| is_used(lease.idle_since)).count()
    }

    /// A lease that the demand does not count any more has work again.
    fn count_again(&mut self, index: usize, out: &mut Vec<Effect>) {
        let class = &self.classes.all[index];
        if class.said as usize >= class.leases.len() {
            return;
        }
        let want = self.in_use(index, None) as u32;
        let class = &mut self.classes.all[index];
        if want > class.said {
            class.said = want;
            out.push(Effect::ToRaylet(ProcessToRaylet::Demand { class: index as u32, spec: class.spec.clone(), want }));
        }
    }

    fn raise_demand(&mut self, index: usize, out: &mut Vec<Effect>) {
        let class = &mut self.classes.all[index];
        if class.queued == 0 {
            return;
        }
        class.lower_at = None;
        let more = (class.queued_ns.div_ceil(AHEAD_NS) as usize).clamp(1, class.queued);
        let want = level(class.leases.len() + more);
        if want > class.said {
            class.said = want;
            out.push(Effect::ToRaylet(ProcessToRaylet::Demand { class: index as u32, spec: class.spec.clone(), want }));
        }
    }

    fn lower_demand(&mut self, index: usize, want: usize, out: &mut Vec<Effect>) {
        let class = &mut self.classes.all[index];
        class.lower_at = None;
        if want < class.said as usize {
            class.said = want as u32;
            out.push(Effect::ToRaylet(ProcessToRaylet::Demand {
                class: index as u32,
                spec: class.spec.clone(),
                want: class.said,
            }));
        }
    }

    pub(crate) fn granted(&mut self, now: Time, class: u32, id: u64, worker: Address, out: &mut Vec<Effect>) {
        if self.classes.by_id.contains_key(&id) {
            return;
        }
        let peer = self.peer_at(worker);
        if class as usize >= self.classes.all.len() || !self.peers.may_speak(peer) {
            out.push(Effect::ToRaylet(ProcessToRaylet::ReturnLease { lease: id, worker_usable: true }));
            return;
        }
        let lease = self.classes.leases.insert(Lease {
            id,
            class: class as usize,
            peer,
            in_flight: VecDeque::new(),
            load_ns: 0,
            head_since: now,
            idle_since: None,
            reclaimed: false,
            stalled: false,
            unusable: false,
        });
        self.classes.by_id.insert(id, lease);
        self.classes.all[class as usize].leases.push(lease);
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.leases.push(lease);
        }
        self.connect(peer, out);
        self.pump_lease(now, lease, out);
    }

    /// Forgets the lease; the raylet is told unless it said so itself.
    pub(crate) fn drop_lease(&mut self, key: Key) -> Option<Lease> {
        let lease = self.classes.leases.remove(key)?;
        self.classes.by_id.remove(&lease.id);
        self.classes.all[lease.class].leases.retain(|other| *other != key);
        if let Some(peer) = self.peers.get_mut(lease.peer) {
            peer.leases.retain(|other| *other != key);
        }
        Some(lease)
    }

    fn return_lease(&mut self, key: Key, out: &mut Vec<Effect>) {
        let Some(lease) = self.drop_lease(key) else { return };
        let class = &self.classes.all[lease.class];
        if class.queued == 0 {
            self.lower_demand(lease.class, class.leases.len(), out);
        }
        out.push(Effect::ToRaylet(ProcessToRaylet::ReturnLease { lease: lease.id, worker_usable: !lease.unusable }));
    }

    /// Its worker refuses calls: no more of them, and back it goes once empty.
    pub(crate) fn give_up_lease(&mut self, key: Key) {
        if let Some(lease) = self.classes.leases.get_mut(key) {
            lease.reclaimed = true;
            lease.unusable = true;
        }
    }

    /// Others wait for the worker: what has not started is taken back, then the lease goes.
    pub(crate) fn reclaim(&mut self, now: Time, id: u64, out: &mut Vec<Effect>) {
        let Some(&key) = self.classes.by_id.get(&id) else { return };
        if let Some(lease) = self.classes.leases.get_mut(key) {
            lease.reclaimed = true;
        }
        self.take_back(key, 0, out);
        self.pump_lease(now, key, out);
    }

    pub(crate) fn infeasible(&mut self, class: u32, why: &str, out: &mut Vec<Effect>) {
        let Some(class) = self.classes.all.get_mut(class as usize) else { return };
        class.said = 0;
        class.lower_at = None;
        for key in std::mem::take(&mut class.queue) {
            let Some(task) = self.tasks.live.get(key).filter(|task| task.phase == Phase::Queued) else { continue };
            let error = LocalError::Infeasible { task: task.id, function: task.function, why: why.to_owned() };
            self.fail(key, error, out);
        }
    }

    pub(crate) fn tick_demand(&mut self, now: Time, out: &mut Vec<Effect>) {
        for index in 0..self.classes.all.len() {
            match self.classes.all[index].lower_at {
                Some(at) if at <= now => self.lower_demand(index, self.in_use(index, Some(now)), out),
                Some(at) => self.wake(at),
                None => {}
            }
        }
    }

    /// Idle leases go back after a while; heads that run too long lose what waits behind them.
    pub(crate) fn tick_leases(&mut self, now: Time, out: &mut Vec<Effect>) {
        let keys: Vec<Key> = self.classes.leases.iter().map(|(key, _)| key).collect();
        for key in keys {
            match self.classes.leases.get(key).and_then(|lease| lease.idle_since) {
                Some(since) if since + KEEP <= now => self.return_lease(key, out),
                Some(since) if since + LINGER <= now => self.wake(since + KEEP),
                Some(since) => self.wake(since + LINGER),
                None => self.steal_if_due(now, key, out),
            }
        }
        // They stay ours while nobody else wants them; the raylet learns that it may ask for them at once.
        for index in 0..self.classes.all.len() {
            if self.classes.all[index].queued == 0 && self.classes.all[index].lower_at.is_none() {
                self.lower_demand(index, self.in_use(index, Some(now)), out);
            }
        }
    }
}
