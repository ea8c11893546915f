//! The history ring: through it a process tells its raylet of the tasks that ended, in slots of `iosdk_types::task_record`.
//! One memfd, one writer, one reader. It loses rather than waits: a record that finds the ring full is counted, and gone.
//!
//! | bytes | what | written by |
//! | --- | --- | --- |
//! | 0 | tail (u64): slots written so far | writer |
//! | 8 | lost (u64): records that found the ring full | writer |
//! | 128 | head (u64): slots read so far | reader |
//! | 256 | how the reader rests (u32) | both |
//! | 4096 | the slots | writer |

pub mod protocol;

mod reader;
mod writer;

pub use reader::HistoryReader;
pub use writer::HistoryWriter;

use crate::mapping::{Mapping, sealed_len, sealed_memfd};
use iosdk_types::task_record::SLOT;
use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64};

/// Some 40 ms of the most that one owner ends, so that a reader has time to come. Untouched pages cost nothing.
const BYTES: usize = 1 << 20;
const TAIL: usize = 0;
const LOST: usize = 8;
const HEAD: usize = 128;
const REST: usize = 256;
const FIRST: usize = 4096;

/// Slots of a ring.
pub const SLOTS: usize = (BYTES - FIRST) / SLOT;

/// The memory of a new ring.
pub fn create() -> io::Result<OwnedFd> {
    sealed_memfd("iosdk-history", BYTES as u64)
}

/// What writers ring when the reader rests: one for all rings that a raylet reads.
pub fn bell() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

struct Ring(Mapping);

impl Ring {
    fn map(fd: BorrowedFd<'_>) -> io::Result<Self> {
        match sealed_len(fd)? {
            len if len == BYTES as u64 => Ok(Self(Mapping::new(fd, 0, BYTES)?)),
            len => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a history ring has {BYTES} bytes, this memory {len}: it is of another version"),
            )),
        }
    }

    fn lost(&self) -> &AtomicU64 {
        self.0.word64(LOST)
    }
}

impl protocol::Ring for Ring {
    type Position = AtomicU64;
    type Rest = AtomicU32;

    fn tail(&self) -> &AtomicU64 {
        self.0.word64(TAIL)
    }
    fn head(&self) -> &AtomicU64 {
        self.0.word64(HEAD)
    }
    fn rest(&self) -> &AtomicU32 {
        self.0.word32(REST)
    }
    fn plenty(&self) -> u64 {
        SLOTS as u64 / 2
    }
}
