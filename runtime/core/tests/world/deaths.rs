//! Killing a process: the two phases in which the others learn of it.

use super::{World, address};
use iosdk_runtime_core::Input;
use iosdk_types::message::{ProcessToRaylet, RayletToProcess};
use iosdk_types::{Death, Exit};
use std::collections::BTreeSet;

pub fn death() -> Death {
    Death { pid: 4711, exit: Exit::Signal(9), intended: false, last_lines: vec!["last".to_owned()] }
}

impl World {
    pub fn kill(&mut self, dead: usize) {
        self.at[dead].alive = false;
        self.lanes.retain(|(_, to), _| *to != dead);
        let others: Vec<usize> = (0..self.at.len())
            .filter(|other| self.at[*other].alive && self.at[*other].attached.contains(&dead))
            .collect();
        for &other in &others {
            while self.deliver(dead, other) {}
            self.tell(other, RayletToProcess::PeerDying { peer: address(dead) });
            let acked = ProcessToRaylet::DeadAck { peer: address(dead) };
            assert_eq!(self.at[other].said.last(), Some(&acked));
        }
        self.leases.retain(|_, (owner, worker)| *owner != dead && *worker != dead);
        for &other in &others {
            let senders: Vec<usize> = self.lanes.keys().filter(|(_, to)| *to == other).map(|(from, _)| *from).collect();
            for from in senders {
                while self.deliver(from, other) {}
            }
            self.tell(other, RayletToProcess::PeerDead { peer: address(dead), death: death() });
        }
        // What nobody claimed is the raylet's to free.
        let claimed: BTreeSet<u64> = self.claimed(dead);
        let align = 2 << 20;
        self.arena.retain(|(holder, offset), _| *holder != dead || claimed.contains(&(offset / align * align)));
        // Holders sweep what the dead one owned in their extents.
        self.arena.retain(|(holder, _), owner| *owner != dead || *holder == dead);
    }

    /// Extents of this holder that some process claims now.
    pub fn claimed(&self, dead: usize) -> BTreeSet<u64> {
        let mut claimed = BTreeSet::new();
        for process in self.at.iter().filter(|process| process.alive) {
            let mut mine: BTreeSet<u64> = BTreeSet::new();
            for message in &process.said {
                match message {
                    ProcessToRaylet::Claims { holder, extents } if *holder == address(dead) => mine.extend(extents),
                    ProcessToRaylet::Unclaim { holder, extent } if *holder == address(dead) => {
                        assert!(mine.remove(extent), "unclaimed what was not claimed");
                    }
                    _ => {}
                }
            }
            claimed.extend(mine);
        }
        claimed
    }

    pub fn poison(&mut self, process: usize, peer: usize) {
        self.step(process, Input::LanePoisoned { peer: address(peer) });
    }
}
