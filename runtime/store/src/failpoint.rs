//! Places at which a test may kill this process. Compiled to nothing without the `failpoints` feature.

/// Ends the process by SIGKILL if the environment names this place, as `place` (the first time here) or `place.n` (the n-th).
#[cfg(feature = "failpoints")]
pub(crate) fn hit(place: &'static str) {
    use rustix::process::{Signal, getpid, kill_process};
    use std::sync::atomic::{AtomicU32, Ordering};
    static VISITS: AtomicU32 = AtomicU32::new(0);
    let Ok(named) = std::env::var("IOSDK_STORE_KILL_AT") else { return };
    let Some(rest) = named.strip_prefix(place) else { return };
    let nth = if rest.is_empty() { Some(1) } else { rest.strip_prefix('.').and_then(|n| n.parse().ok()) };
    if nth.is_some_and(|nth: u32| VISITS.fetch_add(1, Ordering::Relaxed) + 1 == nth) {
        kill_process(getpid(), Signal::KILL).expect("a process may kill itself");
    }
}

#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub(crate) fn hit(_place: &'static str) {}
