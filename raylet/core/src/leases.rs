//! Demand and leases: who wants how many workers of which class, and who has which.

use crate::capacity::{CPU, is_sane};
use crate::{Effect, Raylet};
use iosdk_types::message::RayletToProcess;
use iosdk_types::spec::{ClassSpec, DEPTH_MAX};
use iosdk_types::{Key, Map, ResourceSet, Set, Slab, Time};
use std::cmp::Reverse;

/// Classes one owner may have demand for at a time.
const CLASSES_MAX: usize = 4096;
/// Leases of classes that need no CPU, per CPU of the node: each is a process all the same.
const CPULESS_PER_CPU: u32 = 16;

/// All demand with the same resources and depth, whoever's it is.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) spec: ClassSpec,
    /// Most leases at a time, those of blocked workers included.
    pub(crate) cap: u32,
    pub(crate) leases: u32,
    /// Who waits: (turn, owner, class).
    pub(crate) queue: Set<(u64, u32, u32)>,
    /// Demands that name it.
    users: u32,
}

/// One owner's demand for one class.
#[derive(Clone, Debug)]
pub(crate) struct Demand {
    pub(crate) shape: Key,
    pub(crate) want: u32,
    pub(crate) held: u32,
    /// Its place in the shape's queue while it waits.
    turn: Option<u64>,
    /// Since when it waits.
    pub(crate) since: Time,
    /// False: the node can never cover it.
    feasible: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Lease {
    /// `None` once it was given back or its owner died: then the worker is ending and holds its resources until it is dead.
    pub(crate) owner: Option<u32>,
    pub(crate) class: u32,
    pub(crate) shape: Key,
    pub(crate) worker: u32,
    pub(crate) granted_at: Time,
    pub(crate) reclaiming: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Leases {
    pub(crate) shapes: Slab<Shape>,
    by_spec: Map<ClassSpec, Key>,
    /// Shapes somebody waits for, deepest first.
    pub(crate) active: Set<(Reverse<u32>, Key)>,
    pub(crate) demands: Map<(u32, u32), Demand>,
    pub(crate) live: Map<u64, Lease>,
    next_lease: u64,
    next_turn: u64,
    /// Since when everything leased is blocked while somebody waits.
    pub(crate) stalled_since: Option<Time>,
    pub(crate) next_reclaim: Option<Time>,
    pub(crate) last_reclaim: Option<Time>,
}

impl Leases {
    /// Puts the demand into the queue of its shape or takes it out, as its numbers say.
    fn settle(&mut self, now: Time, id: (u32, u32)) {
        let Some(demand) = self.demands.get_mut(&id) else { return };
        let waits = demand.feasible && demand.want > demand.held;
        let Some(shape) = self.shapes.get_mut(demand.shape) else { return };
        match (waits, demand.turn) {
            (true, None) => {
                demand.turn = Some(self.next_turn);
                demand.since = now;
                shape.queue.insert((self.next_turn, id.0, id.1));
                self.active.insert((Reverse(shape.spec.depth), demand.shape));
                self.next_turn += 1;
            }
            (false, Some(turn)) => {
                demand.turn = None;
                shape.queue.remove(&(turn, id.0, id.1));
                if shape.queue.is_empty() {
                    self.active.remove(&(Reverse(shape.spec.depth), demand.shape));
                }
            }
            (true, Some(_)) | (false, None) => {}
        }
        if demand.want == 0 && demand.held == 0 {
            let shape = demand.shape;
            self.demands.remove(&id);
            self.unuse(shape);
        }
    }

    fn set_want(&mut self, now: Time, id: (u32, u32), want: u32) {
        if let Some(demand) = self.demands.get_mut(&id) {
            demand.want = want;
            self.settle(now, id);
        }
    }

    fn intern(&mut self, spec: ClassSpec, node_cpu: i64) -> Key {
        if let Some(key) = self.by_spec.get(&spec) {
            return *key;
        }
        let cap = cap_of(&spec.resources, node_cpu);
        let key = self.shapes.insert(Shape { spec: spec.clone(), cap, leases: 0, queue: Set::new(), users: 0 });
        self.by_spec.insert(spec, key);
        key
    }

    /// Forgets a shape that no demand and no lease names.
    fn unuse(&mut self, key: Key) {
        let Some(shape) = self.shapes.get_mut(key) else { return };
        shape.users -= 1;
        if shape.users == 0 {
            let spec = shape.spec.clone();
            self.by_spec.remove(&spec);
            self.shapes.remove(key);
        }
    }

    /// Books a lease. The owner goes to the end of its queue if it wants more.
    pub(crate) fn book(&mut self, now: Time, owner: u32, class: u32, worker: u32) -> u64 {
        let id = (owner, class);
        let lease = self.next_lease;
        self.next_lease += 1;
        let Some(demand) = self.demands.get_mut(&id) else { return lease };
        let (key, turn) = (demand.shape, demand.turn.take());
        demand.held += 1;
        if let Some(shape) = self.shapes.get_mut(key) {
            shape.leases += 1;
            shape.users += 1;
            if let Some(turn) = turn {
                shape.queue.remove(&(turn, owner, class));
            }
            if shape.queue.is_empty() {
                self.active.remove(&(Reverse(shape.spec.depth), key));
            }
        }
        self.settle(now, id);
        let lease_of = Lease { owner: Some(owner), class, shape: key, worker, granted_at: now, reclaiming: false };
        self.live.insert(lease, lease_of);
        lease
    }

    /// Who had a lease goes behind those who wait for one.
    fn yield_turn(&mut self, id: (u32, u32)) {
        let Some(demand) = self.demands.get_mut(&id) else { return };
        if let Some(turn) = demand.turn.as_mut()
            && let Some(shape) = self.shapes.get_mut(demand.shape)
        {
            shape.queue.remove(&(*turn, id.0, id.1));
            *turn = self.next_turn;
            shape.queue.insert((self.next_turn, id.0, id.1));
            self.next_turn += 1;
        }
    }

    /// The owner has it no more; the worker may still hold the resources.
    fn disown(&mut self, now: Time, lease: u64) {
        let Some(entry) = self.live.get_mut(&lease) else { return };
        if let Some(owner) = entry.owner.take() {
            let id = (owner, entry.class);
            if let Some(demand) = self.demands.get_mut(&id) {
                demand.held -= 1;
                self.yield_turn(id);
                self.settle(now, id);
            }
        }
    }

    /// The lease is over and nothing of it is left.
    fn finish(&mut self, now: Time, lease: u64) -> Option<Lease> {
        self.disown(now, lease);
        let entry = self.live.remove(&lease)?;
        if let Some(shape) = self.shapes.get_mut(entry.shape) {
            shape.leases -= 1;
        }
        self.unuse(entry.shape);
        Some(entry)
    }

    /// This demand wants nothing until its owner says it again: the owner, when told, forgets that it said it.
    pub(crate) fn abandon(&mut self, now: Time, owner: u32, class: u32) {
        self.set_want(now, (owner, class), 0);
    }

    /// A process that is told to end is not heard any more when it asks, so what it asked for before is void too.
    pub(crate) fn abandon_all_of(&mut self, owner: u32) {
        let classes: Vec<_> = self.demands.range((owner, 0)..=(owner, u32::MAX)).map(|(id, _)| *id).collect();
        for id in classes {
            // No demand starts to wait by this: the time is not used.
            self.set_want(Time::default(), id, 0);
        }
    }

    /// Leases that those in this queue want on top of what they hold.
    pub(crate) fn wanted(&self, shape: &Shape) -> u32 {
        let waiting = shape.queue.iter().filter_map(|(_, owner, class)| self.demands.get(&(*owner, *class)));
        waiting.map(|demand| demand.want.saturating_sub(demand.held)).fold(0, u32::saturating_add)
    }

    pub(crate) fn lease_of_worker(&self, worker: u32) -> Option<u64> {
        self.live.iter().find(|(_, lease)| lease.worker == worker).map(|(number, _)| *number)
    }

    /// `(owner, class)` of all demand that is not met.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (u32, u32)> {
        self.demands.iter().filter(|(_, demand)| demand.turn.is_some()).map(|(id, _)| *id)
    }

    /// No worker can be had for these owners: those who wait are taken out of the queues and named, to be told.
    pub(crate) fn abandon_waiting(&mut self, whose: impl Fn(u32) -> bool) -> Vec<(u32, u32)> {
        let waiting: Vec<_> = self.waiting().filter(|(owner, _)| whose(*owner)).collect();
        for (owner, class) in &waiting {
            self.abandon(Time::default(), *owner, *class);
        }
        waiting
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let mut held: Map<(u32, u32), u32> = Map::new();
        let mut per_shape: Map<Key, u32> = Map::new();
        let mut workers = Set::new();
        for (number, lease) in &self.live {
            if !workers.insert(lease.worker) {
                return Err(format!("SCHED-2: worker {} is leased twice (lease {number})", lease.worker));
            }
            *per_shape.entry(lease.shape).or_default() += 1;
            if let Some(owner) = lease.owner {
                *held.entry((owner, lease.class)).or_default() += 1;
            }
        }
        for (id, demand) in &self.demands {
            if demand.held != held.remove(id).unwrap_or(0) {
                return Err(format!("demand {id:?} counts {} leases and has others", demand.held));
            }
            let waits = demand.feasible && demand.want > demand.held;
            let queued = demand.turn.is_some_and(|turn| {
                self.shapes.get(demand.shape).is_some_and(|shape| shape.queue.contains(&(turn, id.0, id.1)))
            });
            if waits != queued {
                return Err(format!("demand {id:?} waits: {waits}, queued: {queued}"));
            }
        }
        if let Some((id, count)) = held.pop_first() {
            return Err(format!("{count} leases of {id:?} without a demand"));
        }
        for (key, shape) in self.shapes.iter() {
            if shape.leases != per_shape.get(&key).copied().unwrap_or(0) {
                return Err(format!("{:?} counts {} leases", shape.spec, shape.leases));
            }
            if self.active.contains(&(Reverse(shape.spec.depth), key)) == shape.queue.is_empty() {
                return Err(format!("{:?} is listed wrongly", shape.spec));
            }
        }
        Ok(())
    }
}

/// Blocked leases count too, or 500 parents that each wait for a child would be 500 processes.
fn cap_of(resources: &ResourceSet, node_cpu: i64) -> u32 {
    let cpu = resources.get(CPU).0;
    if cpu <= 0 {
        let cpus = u32::try_from(node_cpu / 10_000).unwrap_or(0).max(1);
        return cpus.saturating_mul(CPULESS_PER_CPU);
    }
    u32::try_from(node_cpu / cpu).unwrap_or(u32::MAX).max(1)
}

impl Raylet {
    /// A level, so saying it again changes nothing.
    pub(crate) fn demand(
        &mut self,
        now: Time,
        owner: u32,
        class: u32,
        spec: ClassSpec,
        want: u32,
        out: &mut Vec<Effect>,
    ) {
        let id = (owner, class);
        if let Some(why) = self.cannot_be(id, &spec)
            && want > 0
        {
            self.leases.set_want(now, id, 0);
            return self.say(owner, RayletToProcess::Infeasible { class, why }, out);
        }
        if want == 0 && !self.leases.demands.contains_key(&id) {
            return;
        }
        let feasible = self.capacity.total.covers(&spec.resources);
        let shape = self.leases.intern(spec, self.capacity.total.get(CPU).0);
        let before = self.leases.demands.get(&id).map(|demand| demand.shape);
        if before != Some(shape) {
            // The number names another class now. Leases of the old one keep their own shape.
            self.leases.set_want_of_reused(now, id, shape, feasible);
        }
        if let Some(job) = self.job_of(owner) {
            self.pool.resume(job);
        }
        self.leases.set_want(now, id, want);
    }

    /// Why the node will never grant this; `None` when it may.
    fn cannot_be(&self, id: (u32, u32), spec: &ClassSpec) -> Option<String> {
        if !is_sane(&spec.resources) {
            return Some(format!("{} is not an amount of resources", spec.resources));
        }
        if spec.depth > DEPTH_MAX {
            return Some(format!("tasks that wait for tasks are {} deep; the limit is {DEPTH_MAX}", spec.depth));
        }
        let classes = self.leases.demands.range((id.0, 0)..=(id.0, u32::MAX)).count();
        if classes >= CLASSES_MAX && !self.leases.demands.contains_key(&id) {
            return Some(format!("more than {CLASSES_MAX} classes of tasks of one process wait"));
        }
        if !self.capacity.total.covers(&spec.resources) && !self.config.infeasible_waits {
            return Some(format!("it needs {}; the node has {}", spec.resources, self.capacity.total));
        }
        None
    }

    pub(crate) fn return_lease(&mut self, now: Time, from: u32, lease: u64, usable: bool, out: &mut Vec<Effect>) {
        let Some(entry) = self.leases.live.get(&lease).filter(|entry| entry.owner == Some(from)) else { return };
        let worker = entry.worker;
        if usable && self.processes.phase(worker) == Some(crate::processes::Phase::Leased(lease)) {
            self.end_lease(now, lease);
            if let Some(process) = self.processes.live.get_mut(&worker)
                && let Some(job) = process.job
            {
                process.phase = crate::processes::Phase::Idle;
                self.pool.back_from_lease(job, worker, now);
            }
        } else {
            self.leases.disown(now, lease);
            self.end_process(worker, false, "its lease says so".to_owned(), out);
        }
    }

    /// Nothing of the lease is left: its worker is idle or dead.
    pub(crate) fn end_lease(&mut self, now: Time, lease: u64) {
        if let Some(entry) = self.leases.finish(now, lease) {
            self.capacity.release(entry.worker);
        }
    }

    /// Its demand is void, and its workers may be running its code: they end.
    pub(crate) fn drop_owner(&mut self, now: Time, owner: u32, out: &mut Vec<Effect>) {
        let leases: Vec<u64> = self
            .leases
            .live
            .iter()
            .filter(|(_, lease)| lease.owner == Some(owner))
            .map(|(number, _)| *number)
            .collect();
        if !self.leaks_leases() {
            for lease in leases {
                let worker = self.leases.live[&lease].worker;
                self.leases.disown(now, lease);
                self.end_process(worker, false, "the owner of its lease died".to_owned(), out);
            }
        }
        self.leases.abandon_all_of(owner);
    }
}

impl Leases {
    /// The demand is new, or its number was reused for another class: leases it has stay counted.
    fn set_want_of_reused(&mut self, now: Time, id: (u32, u32), shape: Key, feasible: bool) {
        if let Some(entry) = self.shapes.get_mut(shape) {
            entry.users += 1;
        }
        let mut held = 0;
        if let Some(demand) = self.demands.get(&id) {
            held = demand.held;
            let old = demand.shape;
            // Leaves the old queue first, with a want nothing waits for.
            if held > 0 {
                self.set_want(now, id, held);
                self.demands.remove(&id);
                self.unuse(old);
            } else {
                self.set_want(now, id, 0);
            }
        }
        self.demands.insert(id, Demand { shape, want: held, held, turn: None, since: now, feasible });
    }
}
