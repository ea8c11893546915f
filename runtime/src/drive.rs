//! Driving the machine: lanes that were rung are emptied into it, retractions and deadlines settled. Whoever holds the owner
//! lock may drive.

use crate::core::Core;
use crate::process::Process;
use iosdk_net::frame;
use iosdk_runtime_core::Input;
use iosdk_types::Time;
use std::time::{Duration, Instant};

/// Spinning longer than this never pays: the peer is not about to answer.
const SPIN_MAX: Duration = Duration::from_micros(20);
/// Answers that took longer than this lately are not worth a spin.
const SPIN_WORTH: u64 = 100_000;

impl Process {
    /// Reads what peers wrote. True when anything came. While a thread leads, it alone takes what the doorbell says: a ring
    /// that another thread took between the leader's last look and its sleep would be lost to it.
    pub(crate) fn drive(&self, core: &mut Core) -> bool {
        if core.waiters.has_leader || !self.mailbox.doorbell().has_work() {
            return false;
        }
        let now = Self::now();
        for lane in self.mailbox.doorbell().take() {
            core.drain_lane(now, lane);
        }
        if core.links.has_backlog() {
            core.links.flush();
        }
        true
    }

    /// Reads every lane, rung or not: before a death is judged.
    pub(crate) fn drain_everything(&self, core: &mut Core) {
        let now = Self::now();
        for lane in core.links.lanes() {
            core.drain_lane(now, lane);
        }
    }

    /// Looks for work without sleeping, for up to `budget`. True: there is some.
    pub(crate) fn spin_for(&self, budget: Duration) -> bool {
        if budget.is_zero() {
            return false;
        }
        let doorbell = self.mailbox.doorbell();
        let Some(cpu) = self.peer_cpu() else { return doorbell.has_work() };
        doorbell.spin(cpu, budget, || doorbell.has_work())
    }

    pub(crate) fn spin(&self) -> bool {
        let recent = self.wait_ewma_ns.load(std::sync::atomic::Ordering::Relaxed);
        if recent > SPIN_WORTH {
            return self.mailbox.doorbell().has_work();
        }
        self.spin_for(SPIN_MAX)
    }

    /// Sleeps until somebody rings. Remembers how long that took.
    pub(crate) fn sleep(&self, limit: Duration) {
        let begun = Instant::now();
        self.mailbox.doorbell().sleep(limit);
        let slept = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let recent = self.wait_ewma_ns.load(std::sync::atomic::Ordering::Relaxed);
        // An eighth of the new: one long wait among quick ones costs a few spins less, not all of them.
        let next = recent - recent / 8 + slept.min(10 * SPIN_WORTH) / 8;
        self.wait_ewma_ns.store(next, std::sync::atomic::Ordering::Relaxed);
    }

    fn peer_cpu(&self) -> Option<u32> {
        self.peek().links.last_cpu()
    }
}

impl Core {
    pub(crate) fn drain_lane(&mut self, now: Time, lane: u32) {
        let mut bytes = std::mem::take(&mut self.scratch);
        while let Some(link) = self.links.by_lane(lane) {
            let peer = link.peer;
            let popped = match link.consumer.pop(&mut bytes) {
                Ok(true) => {
                    let payloads = &mut self.payloads;
                    frame::decode(&bytes, |part: &[u8]| payloads.insert(part)).ok()
                }
                Ok(false) => {
                    self.links.tell_of_room(lane);
                    break;
                }
                Err(_) => None,
            };
            let Some(message) = popped else {
                self.step(now, Input::LanePoisoned { peer });
                self.links.detach(peer);
                break;
            };
            self.step(now, Input::FromPeer { from: peer, message });
        }
        if bytes.capacity() > 1 << 20 {
            bytes = Vec::new();
        }
        self.scratch = bytes;
    }
}
