//! The hearing side: looking, spinning, sleeping.

use super::page::{Activity, ControlPage, Status};
use super::protocol::{self, AWAKE, Bell, FUTEX, POLL};
use super::rung::Rung;
use crate::cpu;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType};
use rustix::thread::futex;
use std::hint;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A spinner that comes to its end this much too late was displaced by another process, which wants the core too.
const DISPLACED: Duration = Duration::from_micros(200);
/// For how long it then leaves the core to that one, and sleeps instead of spinning.
const CROWDED: Duration = Duration::from_millis(50);

/// How often a spinner looks between two looks at the clock (which costs as much as a pause).
const LOOKS_PER_CLOCK: u32 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Somebody rang, or something was there already.
    Rung,
    TimedOut,
    /// A signal came: the caller may want to look at it.
    Interrupted,
}

/// A process's own doorbell. One thread at a time looks and sleeps (the leader); anybody may `nudge` it.
pub struct Doorbell {
    page: ControlPage,
    bell: OwnedFd,
    missed: AtomicU64,
    /// Until then others want this core.
    crowded_until: Mutex<Instant>,
}

impl Doorbell {
    pub(crate) fn new(page: ControlPage) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let bell = net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        // Binding to no name makes the kernel choose an unused abstract one.
        net::bind(&bell, &SocketAddrUnix::new_unnamed())?;
        let name = SocketAddrUnix::try_from(net::getsockname(&bell)?)?;
        page.publish_bell(name.abstract_name().unwrap_or_default())?;
        page.publish_cpu();
        Ok(Self { page, bell, missed: AtomicU64::new(0), crowded_until: Mutex::new(Instant::now()) })
    }

    /// The lanes that were rung since the last look. Drain each of them until it is empty.
    #[inline]
    pub fn take(&self) -> Rung {
        Rung::collect(protocol::take_summary(&self.page), |index| protocol::take_word(&self.page, index))
    }

    /// True when `take` would give something.
    #[inline]
    pub fn has_work(&self) -> bool {
        self.page.summary().load(Ordering::SeqCst) != 0
    }

    /// Sleeps until somebody rings, however lazily.
    pub fn sleep(&self, timeout: Duration) -> Woken {
        self.publish_cpu();
        if !protocol::doze(&self.page, FUTEX) {
            return Woken::Rung;
        }
        let timeout = futex::Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        let result = futex::wait(self.page.futex(), futex::Flags::empty(), FUTEX, Some(&timeout));
        let still_asleep = self.page.state().swap(AWAKE, Ordering::SeqCst) == FUTEX;
        match result {
            Err(Errno::INTR) => Woken::Interrupted,
            Err(Errno::TIMEDOUT) if still_asleep => {
                if self.has_work() {
                    self.missed.fetch_add(1, Ordering::Relaxed);
                }
                Woken::TimedOut
            }
            _ => Woken::Rung,
        }
    }

    /// Looks at `until` for up to `budget`, if the peer that must act can be running meanwhile. True: `until` was.
    pub fn spin(&self, peer_cpu: u32, budget: Duration, until: impl Fn() -> bool) -> bool {
        if until() {
            return true;
        }
        let mine = cpu::current();
        self.publish_cpu();
        if peer_cpu == mine || peer_cpu == cpu::UNKNOWN || cpu::usable() < 2 {
            return false;
        }
        let start = Instant::now();
        if start < *self.lock_crowded() {
            return false;
        }
        loop {
            for _ in 0..LOOKS_PER_CLOCK {
                hint::spin_loop();
                if until() {
                    return true;
                }
            }
            let spun = start.elapsed();
            if spun >= budget {
                if spun >= budget + DISPLACED {
                    *self.lock_crowded() = Instant::now() + CROWDED;
                }
                return false;
            }
        }
    }

    fn lock_crowded(&self) -> MutexGuard<'_, Instant> {
        self.crowded_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before waiting in `poll` for `bell` (and other descriptors). False: something is there, do not wait.
    /// Only urgent rings wake a `poll`; lazy ones are found at the next look.
    pub fn arm(&self) -> bool {
        self.publish_cpu();
        protocol::doze(&self.page, POLL)
    }

    /// After `poll`, and when another thread starts to lead.
    pub fn disarm(&self) {
        self.page.state().store(AWAKE, Ordering::SeqCst);
    }

    /// Readable after an urgent ring while armed.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Makes the bell unreadable again. True: it had been rung.
    pub fn silence(&self) -> io::Result<bool> {
        let mut rung = false;
        let mut byte = [0u8; 1];
        loop {
            match net::recv(&self.bell, &mut byte, RecvFlags::DONTWAIT) {
                Ok(_) => rung = true,
                Err(Errno::AGAIN) => return Ok(rung),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Wakes whoever sleeps on this doorbell, for reasons that do not come over a lane. If nobody does yet, the next sleep
    /// (before a `take`) ends at once.
    pub fn nudge(&self) {
        protocol::nudge(&self.page);
    }

    /// Tells peers where this thread runs: whoever waits for us spins only if that is not where it runs itself.
    #[inline]
    pub fn publish_cpu(&self) {
        self.page.publish_cpu();
    }

    pub fn publish_status(&self, activity: Activity, since_ns: u64) {
        self.page.publish_status(Status { activity, since_ns });
    }

    /// Sleeps that timed out with something there: wake-ups that were lost.
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }
}
