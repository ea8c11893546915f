//! Taking turns: leases are asked back when others have waited long enough, idle ones at once.

use crate::capacity::CPU;
use crate::grant::QUANTUM;
use crate::leases::Lease;
use crate::{Effect, Raylet};
use iosdk_types::message::RayletToProcess;
use iosdk_types::{Key, Map, ResourceSet, Set, Span, Time};

/// Those who wait that are looked at in one go; the others' turn comes when these are served.
const LOOK_AT: usize = 32;
/// With many leases a look costs more than a grant: one in this time is enough.
const PAUSE: Span = Span::from_millis(1);

/// One unit of what somebody waits for.
struct Need {
    resources: ResourceSet,
    /// Who waits and for what shape; `None` for an actor to be started.
    demand: Option<(u32, u32, Key, u32)>,
}

/// What will be free once everything asked back has come back.
struct Outlook {
    resources: ResourceSet,
    /// Leases asked back, by shape and by owner and class.
    by_shape: Map<Key, u32>,
    by_demand: Map<(u32, u32), u32>,
    held_by: Map<u32, u32>,
    /// Room under the cap that needs before this one will take.
    used: Map<Key, u32>,
}

impl Raylet {
    pub(crate) fn reclaim(&mut self, now: Time, out: &mut Vec<Effect>) {
        self.leases.next_reclaim = None;
        let waits = !self.leases.active.is_empty() || self.actors_wait();
        if !waits || self.leases.live.is_empty() {
            return;
        }
        if let Some(again) = self.leases.last_reclaim.map(|last| last + PAUSE).filter(|again| *again > now) {
            self.leases.next_reclaim = Some(again);
            return;
        }
        self.leases.last_reclaim = Some(now);
        let mut outlook = self.outlook();
        let needs = self.needs(&outlook);
        // Who comes later for the same has no better claim: the neediest are first.
        let mut hopeless: Set<Key> = Set::new();
        let reachable = self.capacity.reachable_cpu();
        for need in needs.iter().filter(|need| need.resources.get(CPU).0 <= reachable) {
            if need.demand.is_some_and(|(_, _, key, _)| hopeless.contains(&key)) {
                continue;
            }
            while !self.is_met(need, &outlook) {
                let Some(number) = self.victim(now, need, &outlook) else { break };
                if let Some(lease) = self.leases.live.get_mut(&number) {
                    lease.reclaiming = true;
                    let lease = lease.clone();
                    self.count_on(&mut outlook, &lease);
                    if let Some(owner) = lease.owner {
                        self.say(owner, RayletToProcess::Reclaim { lease: number }, out);
                    }
                }
            }
            if self.is_met(need, &outlook) {
                outlook.resources.subtract(&need.resources);
                if let Some((_, _, key, _)) = need.demand {
                    *outlook.used.entry(key).or_default() += 1;
                }
            } else if let Some((_, _, key, _)) = need.demand {
                hopeless.insert(key);
            }
        }
    }

    fn needs(&self, outlook: &Outlook) -> Vec<Need> {
        let mut needs: Vec<Need> =
            self.first_placement().into_iter().map(|resources| Need { resources, demand: None }).collect();
        for (depth, key) in &self.leases.active {
            let Some(shape) = self.leases.shapes.get(*key) else { continue };
            let held = |owner| outlook.held_by.get(owner).copied().unwrap_or(0);
            let mut waiting: Vec<(u32, u64, u32, u32)> =
                shape.queue.iter().map(|(turn, owner, class)| (held(owner), *turn, *owner, *class)).collect();
            waiting.sort_unstable();
            let room = LOOK_AT.saturating_sub(needs.len());
            needs.extend(waiting.into_iter().take(room).map(|(_, _, owner, class)| Need {
                resources: shape.spec.resources.clone(),
                demand: Some((owner, class, *key, depth.0)),
            }));
        }
        needs
    }

    fn outlook(&self) -> Outlook {
        let mut outlook = Outlook {
            resources: self.capacity.available.clone(),
            by_shape: Map::new(),
            by_demand: Map::new(),
            held_by: Map::new(),
            used: Map::new(),
        };
        for lease in self.leases.live.values() {
            if let Some(owner) = lease.owner {
                *outlook.held_by.entry(owner).or_default() += 1;
            }
        }
        for lease in self.leases.live.values().filter(|lease| lease.reclaiming || lease.owner.is_none()) {
            self.count_on(&mut outlook, lease);
        }
        outlook
    }

    /// This lease will come back.
    fn count_on(&self, outlook: &mut Outlook, lease: &Lease) {
        let Some(hold) = self.capacity.holds.get(&lease.worker) else { return };
        outlook.resources.add(&hold.resources);
        if hold.lent {
            outlook.resources.subtract(&hold.resources.only(CPU));
        }
        *outlook.by_shape.entry(lease.shape).or_default() += 1;
        if let Some(owner) = lease.owner {
            *outlook.by_demand.entry((owner, lease.class)).or_default() += 1;
            if let Some(held) = outlook.held_by.get_mut(&owner) {
                *held = held.saturating_sub(1);
            }
        }
    }

    fn has_slot(&self, need: &Need, outlook: &Outlook) -> bool {
        let Some((_, _, key, _)) = need.demand else { return true };
        let of = |map: &Map<Key, u32>| map.get(&key).copied().unwrap_or(0);
        let Some(shape) = self.leases.shapes.get(key) else { return true };
        shape.leases + of(&outlook.used) < shape.cap + of(&outlook.by_shape)
    }

    fn is_met(&self, need: &Need, outlook: &Outlook) -> bool {
        self.has_slot(need, outlook) && outlook.resources.covers(&need.resources)
    }

    /// The lease to ask back for this need: an idle one, or one of the owner that has most, the oldest first.
    fn victim(&mut self, now: Time, need: &Need, outlook: &Outlook) -> Option<u64> {
        let mut best: Option<((bool, u32, Time), u64)> = None;
        let mut later: Option<Time> = None;
        for (number, lease) in &self.leases.live {
            let Some(owner) = lease.owner.filter(|_| !lease.reclaiming) else { continue };
            if !self.would_help(need, outlook, lease) {
                continue;
            }
            let held = outlook.held_by.get(&owner).copied().unwrap_or(0);
            let surplus = self.has_surplus(owner, lease.class, outlook);
            if !surplus {
                if !self.is_fair(need, outlook, owner, lease, held) {
                    continue;
                }
                let due = lease.granted_at + QUANTUM;
                if due > now {
                    later = Some(later.map_or(due, |time| time.min(due)));
                    continue;
                }
            }
            let rank = (surplus, held, Time(u64::MAX - lease.granted_at.0));
            if best.is_none_or(|(best_rank, _)| rank > best_rank) {
                best = Some((rank, *number));
            }
        }
        if best.is_none()
            && let Some(due) = later
        {
            self.leases.next_reclaim = Some(self.leases.next_reclaim.map_or(due, |time| time.min(due)));
        }
        best.map(|(_, number)| number)
    }

    fn would_help(&self, need: &Need, outlook: &Outlook, lease: &Lease) -> bool {
        if !self.has_slot(need, outlook) {
            return need.demand.is_some_and(|(_, _, key, _)| key == lease.shape);
        }
        let Some(hold) = self.capacity.holds.get(&lease.worker) else { return false };
        need.resources.iter().any(|(name, amount)| {
            outlook.resources.get(name) < amount && hold.resources.get(name).0 > 0 && !(hold.lent && name == CPU)
        })
    }

    /// The owner has said that it has less work than leases.
    fn has_surplus(&self, owner: u32, class: u32, outlook: &Outlook) -> bool {
        let asked_back = outlook.by_demand.get(&(owner, class)).copied().unwrap_or(0);
        self.leases.demands.get(&(owner, class)).is_some_and(|demand| demand.held > demand.want + asked_back)
    }

    /// Nobody loses to one who has as much, and nothing that would be granted first again is taken away.
    fn is_fair(&self, need: &Need, outlook: &Outlook, owner: u32, lease: &Lease, held: u32) -> bool {
        let Some((waiter, class, _, depth)) = need.demand else { return true };
        let deeper = self.leases.shapes.get(lease.shape).is_some_and(|shape| shape.spec.depth > depth);
        if deeper {
            return false;
        }
        if owner == waiter {
            let held_of = |class| self.leases.demands.get(&(owner, class)).map_or(0, |demand| demand.held);
            return lease.class != class && held_of(lease.class) > held_of(class);
        }
        held > outlook.held_by.get(&waiter).copied().unwrap_or(0)
    }
}
