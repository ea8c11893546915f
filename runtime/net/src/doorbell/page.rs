//! The control page of a mailbox.
//!
//! | bytes | what | written by |
//! | --- | --- | --- |
//! | 0 | state (u32), the futex | all |
//! | 128 | summary (u64) | all |
//! | 256 | CPU (u32), plus one so that 0 is "unknown" | owner |
//! | 384 | status (u64): activity in the low 2 bits, nanoseconds above | owner |
//! | 512 | name of the bell socket (u64): length in the top byte, then up to 7 bytes | owner |
//! | 1024 | 64 words of lane bits (u64) | all |

use super::protocol::{Bell, WORDS, Word};
use crate::cpu;
use crate::failpoint::point;
use crate::mapping::Mapping;
use rustix::net::{self, AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use rustix::thread::futex;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

const STATE: usize = 0;
const SUMMARY: usize = 128;
const CPU: usize = 256;
const STATUS: usize = 384;
const BELL: usize = 512;
const BITS: usize = 1024;
const PAGE: usize = 4096;

/// What a process does, for the raylet to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    Idle = 0,
    Running = 1,
    /// The running body waits for other tasks: its CPU may be lent out.
    Blocked = 2,
}

/// An activity and when it began, in the owner's clock (nanoseconds, monotonic).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    pub activity: Activity,
    pub since_ns: u64,
}

#[derive(Clone)]
pub(crate) struct ControlPage(Arc<Mapping>);

impl ControlPage {
    pub(crate) fn map(fd: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self(Arc::new(Mapping::new(fd, 0, PAGE)?)))
    }

    /// Clears a lane's bit.
    pub(crate) fn forget(&self, lane: u32) {
        self.word(lane as usize / 64).fetch_and(!(1 << (lane % 64)), Ordering::SeqCst);
    }

    pub(super) fn futex(&self) -> &AtomicU32 {
        self.0.word32(STATE)
    }

    pub(super) fn publish_cpu(&self) {
        self.0.word32(CPU).store(cpu::current().wrapping_add(1), Ordering::Relaxed);
    }

    pub(super) fn cpu(&self) -> u32 {
        self.0.word32(CPU).load(Ordering::Relaxed).wrapping_sub(1)
    }

    pub(super) fn publish_status(&self, status: Status) {
        self.0.word64(STATUS).store(status.since_ns << 2 | status.activity as u64, Ordering::Release);
    }

    /// One word, so that activity and time belong together. An unknown activity counts as running: it lends nothing.
    pub(super) fn status(&self) -> Status {
        let word = self.0.word64(STATUS).load(Ordering::Acquire);
        let activity = match word & 3 {
            0 => Activity::Idle,
            2 => Activity::Blocked,
            _ => Activity::Running,
        };
        Status { activity, since_ns: word >> 2 }
    }

    pub(super) fn publish_bell(&self, name: &[u8]) -> io::Result<()> {
        if name.len() > 7 {
            return Err(io::Error::other("the kernel's name for the bell socket is longer than expected"));
        }
        let mut bytes = [0; 8];
        bytes[..name.len()].copy_from_slice(name);
        bytes[7] = name.len() as u8;
        self.0.word64(BELL).store(u64::from_le_bytes(bytes), Ordering::Release);
        Ok(())
    }

    fn bell(&self) -> Option<SocketAddrUnix> {
        let bytes = self.0.word64(BELL).load(Ordering::Acquire).to_le_bytes();
        let name = bytes.get(..usize::from(bytes[7]).min(8)).filter(|name| !name.is_empty() && name.len() < 8)?;
        SocketAddrUnix::new_abstract_name(name).ok()
    }
}

/// One unnamed socket per process rings the bells of all others: no descriptor per peer.
fn bell_rope() -> io::Result<&'static OwnedFd> {
    static ROPE: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(rope) = ROPE.get() {
        return Ok(rope);
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let rope = net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
    Ok(ROPE.get_or_init(|| rope))
}

impl Word<u32> for AtomicU32 {
    fn load(&self) -> u32 {
        self.load(Ordering::SeqCst)
    }
    fn store(&self, value: u32) {
        point();
        self.store(value, Ordering::SeqCst);
    }
    fn swap(&self, value: u32) -> u32 {
        point();
        self.swap(value, Ordering::SeqCst)
    }
    fn fetch_or(&self, bits: u32) -> u32 {
        point();
        self.fetch_or(bits, Ordering::SeqCst)
    }
}

impl Word<u64> for AtomicU64 {
    fn load(&self) -> u64 {
        self.load(Ordering::SeqCst)
    }
    fn store(&self, value: u64) {
        point();
        self.store(value, Ordering::SeqCst);
    }
    fn swap(&self, value: u64) -> u64 {
        point();
        self.swap(value, Ordering::SeqCst)
    }
    fn fetch_or(&self, bits: u64) -> u64 {
        point();
        self.fetch_or(bits, Ordering::SeqCst)
    }
}

impl Bell for ControlPage {
    type State = AtomicU32;
    type Bits = AtomicU64;

    fn state(&self) -> &AtomicU32 {
        self.futex()
    }

    fn summary(&self) -> &AtomicU64 {
        self.0.word64(SUMMARY)
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < WORDS);
        self.0.word64(BITS + index * 8)
    }

    fn wake_futex(&self) {
        point();
        // Shared, since the sleeper is in another process. The word exists, so the call cannot fail.
        let woken = futex::wake(self.futex(), futex::Flags::empty(), u32::MAX >> 1);
        debug_assert!(woken.is_ok(), "futex wake: {woken:?}");
    }

    fn wake_poll(&self) {
        point();
        let Some(address) = self.bell() else { return };
        // Failing to ring is not an error here: "full" means that the owner has unread datagrams and wakes anyway,
        // "refused" that it is gone, and every sleeper has a timeout besides.
        if let Ok(rope) = bell_rope() {
            let _unheard = net::sendto(rope, &[0], SendFlags::DONTWAIT | SendFlags::NOSIGNAL, &address);
        }
    }
}
