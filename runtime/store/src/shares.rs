//! Long work in pieces: interruptible between them, and shared by two threads when there is much of it.

use crate::StoreError;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Up to this much is done in one piece: a fraction of a tenth of a second.
pub(crate) const WHOLE: usize = 64 << 20;
/// Beyond it, one thread's share at a time.
const SHARE: usize = 16 << 20;

/// Does `work` on every part of `0..total`. Between parts, `go_on` is asked by the calling thread, to which signals and the
/// interpreter's lock belong. The first error ends it.
pub(crate) fn share_out(
    total: usize,
    work: impl Fn(Range<usize>) -> Result<(), StoreError> + Sync,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<(), StoreError> {
    if total <= WHOLE {
        return work(0..total);
    }
    let shares =
        Shares { total, next: AtomicUsize::new(0), stop: AtomicBool::new(false), error: Mutex::new(None), work };
    std::thread::scope(|scope| {
        if std::thread::available_parallelism().is_ok_and(|cpus| cpus.get() >= 2) {
            let second = std::thread::Builder::new().name("iosdk-copy".into());
            // Where no thread can be made, the calling one does it all.
            let _ = second.spawn_scoped(scope, || while shares.take_one() {});
        }
        while shares.take_one() {
            if shares.is_left() && !go_on() {
                shares.fail(StoreError::Interrupted);
            }
        }
    });
    shares.error.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

struct Shares<W> {
    total: usize,
    next: AtomicUsize,
    stop: AtomicBool,
    error: Mutex<Option<StoreError>>,
    work: W,
}

impl<W: Fn(Range<usize>) -> Result<(), StoreError>> Shares<W> {
    /// False when there is nothing left to do.
    fn take_one(&self) -> bool {
        if self.stop.load(Ordering::Relaxed) {
            return false;
        }
        let start = self.next.fetch_add(SHARE, Ordering::Relaxed);
        if start >= self.total {
            return false;
        }
        if let Err(error) = (self.work)(start..self.total.min(start + SHARE)) {
            self.fail(error);
        }
        true
    }

    fn is_left(&self) -> bool {
        self.next.load(Ordering::Relaxed) < self.total
    }

    fn fail(&self, error: StoreError) {
        self.stop.store(true, Ordering::Relaxed);
        self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts_of(total: usize) -> Vec<(usize, usize)> {
        let parts = Mutex::new(Vec::new());
        let note = |part: Range<usize>| {
            parts.lock().expect("no panic").push((part.start, part.end));
            Ok(())
        };
        share_out(total, note, &mut || true).expect("nothing fails");
        let mut parts = parts.into_inner().expect("no panic");
        parts.sort_unstable();
        parts
    }

    #[test]
    fn every_part_is_done_once() {
        assert_eq!(parts_of(0), [(0, 0)]);
        assert_eq!(parts_of(WHOLE), [(0, WHOLE)]);
        let total = WHOLE + SHARE / 2;
        let parts = parts_of(total);
        assert_eq!(parts.len(), 5);
        assert_eq!((parts[0].0, parts[4].1), (0, total));
        assert!(parts.windows(2).all(|pair| pair[0].1 == pair[1].0));
    }

    #[test]
    fn it_stops_when_asked() {
        // The second thread may do what it likes meanwhile, but not the whole of this.
        let total = SHARE * 1_000_000;
        let mut asked = 0;
        let mut twice = || {
            asked += 1;
            asked < 2
        };
        let done = AtomicUsize::new(0);
        let slow = |_: Range<usize>| {
            std::thread::yield_now();
            done.fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        assert_eq!(share_out(total, slow, &mut twice), Err(StoreError::Interrupted));
        assert_eq!(asked, 2);
        assert!(done.into_inner() < 1_000_000);
    }

    #[test]
    fn the_first_error_ends_it() {
        let error = StoreError::NotAnArena("test");
        let fails = |part: Range<usize>| if part.start == SHARE { Err(error.clone()) } else { Ok(()) };
        assert_eq!(share_out(WHOLE * 2, fails, &mut || true), Err(error.clone()));
        assert_eq!(share_out(1, |_| Err(error.clone()), &mut || true), Err(error));
    }
}
