//! Who can talk to whom without us: lane numbers in each process's mailbox.

use crate::{Effect, Raylet};
use iosdk_types::message::RayletToProcess;
use iosdk_types::{Address, Map, Set};

/// Inbound lanes a mailbox has room for.
pub const LANES_MAX: u32 = 4096;

/// The inbound lanes of one mailbox.
#[derive(Clone, Debug, Default)]
struct Mailbox {
    lane_of: Map<u32, u32>,
    free: Set<u32>,
    next: u32,
}

impl Mailbox {
    fn has_room(&self) -> bool {
        !self.free.is_empty() || self.next < LANES_MAX
    }

    fn open(&mut self, peer: u32) -> u32 {
        let lane = self.free.pop_first().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        self.lane_of.insert(peer, lane);
        lane
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Lanes {
    mailboxes: Map<u32, Mailbox>,
}

impl Lanes {
    pub(crate) fn admit(&mut self, number: u32) {
        self.mailboxes.entry(number).or_default();
    }

    pub(crate) fn are_attached(&self, a: u32, b: u32) -> bool {
        self.mailboxes.get(&a).is_some_and(|mailbox| mailbox.lane_of.contains_key(&b))
    }

    /// `(lane_in_a, lane_in_b)`, new ones or those they have; `None` when a mailbox is full or not there.
    fn pair(&mut self, a: u32, b: u32) -> Option<(u32, u32, bool)> {
        if !self.mailboxes.contains_key(&a) || !self.mailboxes.contains_key(&b) {
            return None;
        }
        if let Some((in_a, in_b)) = self.numbers(a, b) {
            return Some((in_a, in_b, false));
        }
        if !self.mailboxes[&a].has_room() || !self.mailboxes[&b].has_room() {
            return None;
        }
        if a == b {
            // An actor that calls itself: one lane, which it writes and reads.
            let lane = self.mailboxes.get_mut(&a)?.open(a);
            return Some((lane, lane, true));
        }
        let in_a = self.mailboxes.get_mut(&a)?.open(b);
        let in_b = self.mailboxes.get_mut(&b)?.open(a);
        Some((in_a, in_b, true))
    }

    fn numbers(&self, a: u32, b: u32) -> Option<(u32, u32)> {
        Some((*self.mailboxes.get(&a)?.lane_of.get(&b)?, *self.mailboxes.get(&b)?.lane_of.get(&a)?))
    }

    pub(crate) fn peers(&self, number: u32) -> Vec<u32> {
        self.mailboxes.get(&number).map(|mailbox| mailbox.lane_of.keys().copied().collect()).unwrap_or_default()
    }

    /// `survivor` has read the dead peer's lane to its end: the number may be given out again.
    pub(crate) fn close(&mut self, survivor: u32, dead: u32) {
        if let Some(mailbox) = self.mailboxes.get_mut(&survivor)
            && let Some(lane) = mailbox.lane_of.remove(&dead)
        {
            mailbox.free.insert(lane);
        }
    }

    /// The mailbox of a dead process is gone.
    pub(crate) fn remove(&mut self, dead: u32) {
        self.mailboxes.remove(&dead);
    }

    pub(crate) fn check(&self, is_live: impl Fn(u32) -> bool) -> Result<(), String> {
        for (number, mailbox) in &self.mailboxes {
            let distinct: Set<u32> = mailbox.lane_of.values().copied().collect();
            if distinct.len() != mailbox.lane_of.len() || distinct.intersection(&mailbox.free).next().is_some() {
                return Err(format!("mailbox {number} gives one lane to two peers"));
            }
            if mailbox.next > LANES_MAX {
                return Err(format!("mailbox {number} has {} lanes", mailbox.next));
            }
            for peer in mailbox.lane_of.keys() {
                if is_live(*number) && is_live(*peer) && !self.are_attached(*peer, *number) {
                    return Err(format!("{number} is attached to {peer}, but not the other way"));
                }
            }
        }
        Ok(())
    }
}

impl Raylet {
    pub(crate) fn connect(&mut self, from: u32, peer: Address, out: &mut Vec<Effect>) {
        let member = self.live(peer).filter(|number| self.processes.live[number].is_member());
        let attached = match member {
            Some(number) if self.attach(from, number, out) => return self.say_attached(from, number, out),
            _ => {
                let is_ours = self.address(peer.process) == peer;
                is_ours && self.lanes.are_attached(from, peer.process) && self.deaths.is_dying(peer.process)
            }
        };
        // Who has a lane to a dying peer hears of the death through `PeerDying`, in its order.
        if !attached {
            let death = self.deaths.record(peer, self.address(0));
            self.say(from, RayletToProcess::NoSuchPeer { peer, death }, out);
        }
    }

    /// Opens lanes between two members unless there are some. The first of the pair is not told; the second is, when they
    /// are new. False when a mailbox is full.
    fn attach(&mut self, a: u32, b: u32, out: &mut Vec<Effect>) -> bool {
        let Some((lane_in_a, lane_in_b, is_new)) = self.lanes.pair(a, b) else { return false };
        if is_new {
            out.push(Effect::OpenLanes { a: self.address(a), lane_in_a, b: self.address(b), lane_in_b });
            if a != b {
                self.say_attached(b, a, out);
            }
        }
        true
    }

    /// Attaches both and tells both, unless they are attached already.
    pub(crate) fn attach_both(&mut self, a: u32, b: u32, out: &mut Vec<Effect>) -> bool {
        if self.lanes.are_attached(a, b) {
            return true;
        }
        let attached = self.attach(a, b, out);
        if attached {
            self.say_attached(a, b, out);
        }
        attached
    }

    fn say_attached(&self, to: u32, peer: u32, out: &mut Vec<Effect>) {
        let Some((lane_in, lane_out)) = self.lanes.numbers(to, peer) else { return };
        let pid = self.processes.live.get(&peer).and_then(|process| process.pid).unwrap_or(0);
        let message = RayletToProcess::Attach { peer: self.address(peer), pid, lane_in, lane_out };
        self.say(to, message, out);
    }
}
