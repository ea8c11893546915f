//! How a browser gets in without the token: a ticket, which opens one session, and the session, which only reads. Both are kept
//! in memory: after a restart the operator asks for another ticket.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use subtle::{Choice, ConstantTimeEq};

/// It stands in an address, which others may see, so it is short-lived and good for one use.
pub(crate) static TICKETS: Passes = Passes::new(Duration::from_secs(300), 16);
pub(crate) static SESSIONS: Passes = Passes::new(Duration::from_secs(12 * 3_600), 64);

/// Random words of this process that stand for a right, each for a while.
pub(crate) struct Passes {
    lasts: Duration,
    /// The oldest gives way to one more.
    most: usize,
    issued: Mutex<VecDeque<Pass>>,
}

struct Pass {
    word: String,
    until: Instant,
}

impl Passes {
    const fn new(lasts: Duration, most: usize) -> Self {
        Self { lasts, most, issued: Mutex::new(VecDeque::new()) }
    }

    pub(crate) fn lasts(&self) -> Duration {
        self.lasts
    }

    pub(crate) fn issue(&self, now: Instant) -> io::Result<String> {
        let mut bytes = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        let word: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut issued = self.valid(now);
        if issued.len() >= self.most {
            issued.pop_front();
        }
        issued.push_back(Pass { word: word.clone(), until: now + self.lasts });
        Ok(word)
    }

    /// Each is looked at, so that the time does not tell which one it was.
    pub(crate) fn has(&self, shown: &[u8], now: Instant) -> bool {
        let equal = |pass: &Pass| pass.word.as_bytes().ct_eq(shown);
        self.valid(now).iter().fold(Choice::from(0), |found, pass| found | equal(pass)).into()
    }

    /// False when it was not there: it is good once.
    pub(crate) fn take(&self, shown: &[u8], now: Instant) -> bool {
        let mut issued = self.valid(now);
        let before = issued.len();
        issued.retain(|pass| !bool::from(pass.word.as_bytes().ct_eq(shown)));
        issued.len() < before
    }

    fn valid(&self, now: Instant) -> MutexGuard<'_, VecDeque<Pass>> {
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        issued.retain(|pass| now < pass.until);
        issued
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_ends_with_its_time_or_its_use() {
        let passes = Passes::new(Duration::from_secs(10), 2);
        let (now, later) = (Instant::now(), Instant::now() + Duration::from_secs(60));
        let first = passes.issue(now).unwrap();
        assert_eq!(first.len(), 64);
        assert!(passes.has(first.as_bytes(), now));
        assert!(!passes.has(&first.as_bytes()[1..], now) && !passes.has(b"", now));
        assert!(passes.take(first.as_bytes(), now));
        assert!(!passes.has(first.as_bytes(), now) && !passes.take(first.as_bytes(), now));
        let second = passes.issue(now).unwrap();
        assert!(first != second && !passes.has(second.as_bytes(), later));
    }

    #[test]
    fn no_more_than_so_many_are_valid() {
        let passes = Passes::new(Duration::from_secs(10), 2);
        let now = Instant::now();
        let all: Vec<String> = (0..3).map(|_| passes.issue(now).unwrap()).collect();
        assert_eq!(all.iter().map(|word| passes.has(word.as_bytes(), now)).collect::<Vec<bool>>(), [false, true, true]);
    }
}
