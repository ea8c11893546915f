//! The raylet's end. It believes nothing: slots are copied before anybody looks at them, and a writer whose tail breaks the rules
//! is never read again.

use super::protocol::{self, ASLEEP, NAPPING, Ring as _};
use super::{FIRST, Ring, SLOTS};
use crate::failpoint::point;
use crate::lane::Poisoned;
use iosdk_types::task_record::SLOT;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;

pub struct HistoryReader {
    ring: Ring,
    head: u64,
    /// The slot that the head is at.
    at: usize,
    lost: u64,
    poisoned: Option<Poisoned>,
}

impl HistoryReader {
    /// From the ring's beginning. The descriptor may be closed afterwards.
    pub fn map(fd: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self { ring: Ring::map(fd)?, head: 0, at: 0, lost: 0, poisoned: None })
    }

    /// Appends the slots that are there now to `out`, and says how many records were lost since the last call. A writer
    /// that goes on cannot keep it busy.
    pub fn drain(&mut self, out: &mut Vec<u8>) -> Result<u64, Poisoned> {
        if let Some(poisoned) = self.poisoned {
            return Err(poisoned);
        }
        // From now on nobody has to ring.
        protocol::wake(&self.ring);
        let there = self.ring.tail().load(Ordering::Acquire).wrapping_sub(self.head);
        if there > SLOTS as u64 {
            let poisoned = Poisoned { reason: "a tail that no writer can have", position: self.head };
            self.poisoned = Some(poisoned);
            return Err(poisoned);
        }
        let there = there as usize;
        let before_wrap = there.min(SLOTS - self.at);
        self.ring.0.copy_out(FIRST + self.at * SLOT, before_wrap * SLOT, out);
        self.ring.0.copy_out(FIRST, (there - before_wrap) * SLOT, out);
        self.at = (self.at + there) % SLOTS;
        self.head += there as u64;
        point();
        self.ring.head().store(self.head, Ordering::Release);
        let lost = self.ring.lost().load(Ordering::Acquire);
        let more = lost.saturating_sub(self.lost);
        self.lost = lost;
        Ok(more)
    }

    /// Before looking again soon: only a ring that fills up calls earlier. False: drain first.
    pub fn nap(&self) -> bool {
        self.rest(NAPPING)
    }

    /// Before looking only when called. False: drain first.
    pub fn sleep(&self) -> bool {
        self.rest(ASLEEP)
    }

    /// A poisoned ring is at rest for ever.
    fn rest(&self, how: u32) -> bool {
        self.poisoned.is_some() || protocol::rest(&self.ring, how, self.head)
    }
}
