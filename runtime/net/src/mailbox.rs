//! A process's mailbox: one memfd with a control page (its doorbell and status) and the inbound lanes, each at a fixed
//! stride. The raylet makes it, its owner reads from it, each peer writes into the one lane it was given.

use crate::doorbell::{ControlPage, Doorbell, Ringer};
use crate::lane::{Consumer, Producer, layout};
use crate::mapping::{Mapping, sealed_len, sealed_memfd};
use rustix::fs::{self, FallocateFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// The most lanes a mailbox can have: 64 words of 64 bits in the doorbell.
pub const LANES_MAX: u32 = 4096;

/// A new mailbox with room for `lanes_max` lanes. Costs address space only until lanes are used.
pub fn create(lanes_max: u32) -> io::Result<OwnedFd> {
    if lanes_max == 0 || lanes_max > LANES_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sealed_memfd("iosdk-mailbox", u64::from(lanes_max + 1) * layout::STRIDE)
}

/// Makes a lane as new, for the raylet before it gives the lane out (again). Neither side may use the lane meanwhile.
pub fn reset_lane(fd: BorrowedFd<'_>, lane: u32) -> io::Result<()> {
    let offset = lane_offset(fd, lane)?;
    fs::fallocate(fd, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, layout::STRIDE)?;
    // A producer that died between its bit and the summary left its bit set: the next one would take that for its own
    // ring still unheard, and never wake anybody.
    ControlPage::map(fd)?.forget(lane);
    Ok(())
}

fn lane_offset(fd: BorrowedFd<'_>, lane: u32) -> io::Result<u64> {
    if lane < lane_count(fd)? {
        Ok(u64::from(lane + 1) * layout::STRIDE)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "no such lane"))
    }
}

/// From the size of the file, which its seals keep as it is: never from anything a peer may write.
fn lane_count(fd: BorrowedFd<'_>) -> io::Result<u32> {
    let strides = sealed_len(fd)? / layout::STRIDE;
    Ok(strides.saturating_sub(1).min(u64::from(LANES_MAX)) as u32)
}

fn map_lane(fd: BorrowedFd<'_>, lane: u32) -> io::Result<Arc<Mapping>> {
    Ok(Arc::new(Mapping::new(fd, lane_offset(fd, lane)?, layout::MAPPED)?))
}

/// The owner's side.
pub struct OwnMailbox {
    fd: OwnedFd,
    doorbell: Doorbell,
}

impl OwnMailbox {
    pub fn map(fd: OwnedFd) -> io::Result<Self> {
        lane_count(fd.as_fd())?;
        let doorbell = Doorbell::new(ControlPage::map(fd.as_fd())?)?;
        Ok(Self { fd, doorbell })
    }

    pub fn doorbell(&self) -> &Doorbell {
        &self.doorbell
    }

    /// The reading end of a lane, from its beginning: once per `reset_lane`.
    pub fn open_lane(&self, lane: u32) -> io::Result<Consumer> {
        Ok(Consumer::new(map_lane(self.fd.as_fd(), lane)?))
    }
}

/// Somebody else's mailbox. The descriptor may be closed once the lane is open.
pub struct PeerMailbox {
    ringer: Ringer,
}

impl PeerMailbox {
    pub fn map(fd: BorrowedFd<'_>) -> io::Result<Self> {
        lane_count(fd)?;
        Ok(Self { ringer: Ringer::new(ControlPage::map(fd)?) })
    }

    pub fn ringer(&self) -> &Ringer {
        &self.ringer
    }

    /// The writing end of a lane of the same mailbox: once per `reset_lane`.
    pub fn producer(&self, fd: BorrowedFd<'_>, lane: u32) -> io::Result<Producer> {
        Ok(Producer::new(map_lane(fd, lane)?))
    }
}
