//! Taking calls back that were pushed and have not started: from behind a long-running one, for a reclaimed lease, for cancel.

use crate::planted::Bug;
use crate::tasks::{Phase, RunsOn};
use crate::{Effect, Owner};
use iosdk_types::message::peer::PeerMessage;
use iosdk_types::{Key, Span, Time};

/// A call that runs longer than this, and than this many times its average, holds up what is behind it.
const PATIENCE: Span = Span::from_millis(5);
const PATIENCE_TIMES: u64 = 4;

impl Owner {
    fn head_due(&self, lease: Key) -> Option<Time> {
        let lease = self.classes.leases.get(lease)?;
        if lease.stalled || lease.in_flight.len() < 2 {
            return None;
        }
        let function = self.tasks.live.get(*lease.in_flight.front()?)?.function;
        let patience = Span((self.mean_ns(function) * PATIENCE_TIMES).max(PATIENCE.0));
        Some(lease.head_since + patience)
    }

    /// Calls wait behind the one in front: look again when it has had its time.
    pub(crate) fn watch_head(&mut self, lease: Key) {
        if let Some(due) = self.head_due(lease) {
            self.wake(due);
        }
    }

    pub(crate) fn steal_if_due(&mut self, now: Time, key: Key, out: &mut Vec<Effect>) {
        match self.head_due(key) {
            Some(due) if due <= now => {
                if let Some(lease) = self.classes.leases.get_mut(key) {
                    lease.stalled = true;
                }
                self.take_back(key, 1, out);
            }
            Some(due) => self.wake(due),
            None => {}
        }
    }

    /// Asks for everything pushed to this lease after the first `keep`, last one first, so that order is kept in the queue.
    pub(crate) fn take_back(&mut self, lease: Key, keep: usize, out: &mut Vec<Effect>) {
        let Some(lease) = self.classes.leases.get(lease) else { return };
        let tasks: Vec<Key> = lease.in_flight.iter().skip(keep).rev().copied().collect();
        for task in tasks {
            self.retract(task, out);
        }
    }

    /// True when the claim word will decide.
    pub(crate) fn retract(&mut self, key: Key, out: &mut Vec<Effect>) -> bool {
        let Some(task) = self.tasks.live.get_mut(key) else { return false };
        let Phase::Pushed { peer, retracting, .. } = &mut task.phase else { return false };
        let Some(peer) = self.peers.get(*peer) else { return false };
        if !*retracting {
            *retracting = true;
            out.push(Effect::Retract { task: key, peer: peer.address });
        }
        true
    }

    pub(crate) fn retracted(&mut self, now: Time, key: Key, won: bool, out: &mut Vec<Effect>) {
        let won = won || self.has_bug(Bug::RunTwice);
        let Some(task) = self.tasks.live.get_mut(key) else { return };
        let Phase::Pushed { peer, lease, retracting } = &mut task.phase else { return };
        *retracting = false;
        let (peer, lease) = (*peer, *lease);
        if won {
            let runs_on = task.runs_on;
            self.left_peer(now, key, peer, lease, out);
            self.came_back(now, key, out);
            self.pump_lease(now, lease, out);
            if let RunsOn::Actor(actor) = runs_on {
                self.pump_actor(actor, out);
            }
        } else if let Some(force) = task.cancelled {
            self.send(peer, PeerMessage::Cancel { key: key.0, force }, out);
        }
    }
}
