//! Dying at a chosen store: with the feature `failpoints` a test arms a counter, and the process kills itself with
//! SIGKILL when it reaches the n-th point. Without the feature a point is nothing.

#[cfg(feature = "failpoints")]
use std::sync::atomic::{AtomicU32, Ordering};

#[cfg(feature = "failpoints")]
static COUNTDOWN: AtomicU32 = AtomicU32::new(0);

/// Dies at the `nth` point from now on (1 is the next one); 0 never.
#[cfg(feature = "failpoints")]
pub fn arm(nth: u32) {
    COUNTDOWN.store(nth, Ordering::Relaxed);
}

/// Placed right before every store that another process can see.
#[inline(always)]
pub(crate) fn point() {
    #[cfg(feature = "failpoints")]
    {
        let left = COUNTDOWN.load(Ordering::Relaxed);
        if left != 0 {
            count_down(left);
        }
    }
}

#[cfg(feature = "failpoints")]
#[cold]
fn count_down(left: u32) {
    COUNTDOWN.store(left - 1, Ordering::Relaxed);
    if left == 1 {
        let me = rustix::process::getpid();
        if rustix::process::kill_process(me, rustix::process::Signal::KILL).is_err() {
            std::process::abort();
        }
    }
}
