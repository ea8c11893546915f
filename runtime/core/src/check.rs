//! Does the state add up? Recounts everything that is counted incrementally. For tests and the simulation, after any step.

use crate::tasks::{Phase, RunsOn};
use crate::{Owner, objects::Origin};
use iosdk_types::{Key, Map};

impl Owner {
    pub fn check(&self) -> Result<(), String> {
        self.check_holds()?;
        self.check_queues()?;
        self.check_slots()?;
        let asked = self.objects.iter().filter_map(|(_, object)| object.borrow());
        let asked: usize = asked.map(|borrow| usize::from(borrow.registering) + usize::from(borrow.fetching)).sum();
        expect("fetches and registrations", asked, self.asked)?;
        if !self.doomed.is_empty() {
            return Err("objects without holds were left between steps".to_owned());
        }
        Ok(())
    }

    /// OWN-1, OWN-2: each object has exactly the holds that point to it, and goes when there are none.
    fn check_holds(&self) -> Result<(), String> {
        let mut uses: Map<Key, u32> = Map::new();
        let mut count = |keys: &[Key]| {
            for key in keys.iter().filter(|key| **key != Key::NIL) {
                *uses.entry(*key).or_default() += 1;
            }
        };
        for (_, task) in self.tasks.live.iter() {
            count(&task.deps);
            count(&task.contains);
            count(&task.returns);
            count(&[task.counting]);
        }
        for (_, object) in self.objects.iter() {
            count(&object.contains);
            if let Origin::Alias { of } = object.origin {
                count(&[of]);
            }
        }
        for (_, call) in self.executor.calls.iter() {
            count(&call.view.contains);
            for dep in &call.view.deps {
                count(&[dep.object]);
                count(&dep.contains);
            }
        }
        for (key, object) in self.objects.iter() {
            let expected = uses.remove(&key).unwrap_or(0);
            if object.uses != expected {
                return Err(format!("{key:?} ({}) has {} holds, {expected} point to it", object.id, object.uses));
            }
            let registering = object.borrow().is_some_and(|borrow| borrow.registering);
            if object.handles == 0 && object.uses == 0 && object.lent.is_empty() && !registering {
                return Err(format!("{key:?} ({}) is held by nobody and still there", object.id));
            }
            if object.lent.iter().any(|loan| loan.times == 0 || self.peers.get(loan.to).is_none()) {
                return Err(format!("{key:?} ({}) has a loan to nobody", object.id));
            }
        }
        match uses.first_key_value() {
            Some((key, times)) => Err(format!("{key:?} is gone and held {times} times")),
            None => Ok(()),
        }
    }

    /// Each task is in exactly the place its phase says.
    fn check_queues(&self) -> Result<(), String> {
        for (index, class) in self.classes.all.iter().enumerate() {
            let queued = class.queue.iter().filter_map(|key| self.tasks.live.get(*key));
            let costs: Vec<u64> =
                queued.filter(|task| task.phase == Phase::Queued).map(|task| u64::from(task.estimate)).collect();
            expect(&format!("queue of class {index}"), costs.len(), class.queued)?;
            expect(&format!("cost of class {index}"), costs.iter().sum::<u64>(), class.queued_ns)?;
        }
        for (key, task) in self.tasks.live.iter() {
            let listed = match (task.phase, task.runs_on) {
                (Phase::Waiting { .. } | Phase::Failing { .. }, _) => true,
                (Phase::Queued, RunsOn::Class(index)) => self.classes.all[index].queue.contains(&key),
                (Phase::Queued, RunsOn::Actor(actor)) => {
                    self.actors.all.get(actor).is_some_and(|actor| actor.queue.contains(&key))
                }
                (Phase::Pushed { lease, .. }, RunsOn::Class(_)) => {
                    self.classes.leases.get(lease).is_some_and(|lease| lease.in_flight.contains(&key))
                }
                (Phase::Pushed { .. }, RunsOn::Actor(actor)) => {
                    self.actors.all.get(actor).is_some_and(|actor| actor.in_flight.contains(&key))
                }
            };
            if !listed {
                return Err(format!("task {key:?} is {:?} but not there", task.phase));
            }
        }
        for (key, lease) in self.classes.leases.iter() {
            let load: u64 = lease
                .in_flight
                .iter()
                .filter_map(|task| self.tasks.live.get(*task))
                .map(|task| u64::from(task.estimate))
                .sum();
            expect(&format!("load of lease {key:?}"), load, lease.load_ns)?;
        }
        Ok(())
    }

    fn check_slots(&self) -> Result<(), String> {
        let mut used: Map<Key, u32> = Map::new();
        for (_, task) in self.tasks.live.iter() {
            if let Phase::Pushed { peer, .. } = task.phase {
                *used.entry(peer).or_default() += 1;
            }
        }
        let mut total = 0;
        for (key, peer) in self.peers.all.iter() {
            expect(&format!("slots at {}", peer.address), used.get(&key).copied().unwrap_or(0), peer.slots)?;
            total += peer.slots as usize;
        }
        expect("slots in all", total, self.peers.slots_total)
    }
}

fn expect<T: PartialEq + std::fmt::Display>(what: &str, counted: T, kept: T) -> Result<(), String> {
    if counted == kept { Ok(()) } else { Err(format!("{what}: counted {counted}, kept {kept}")) }
}
