//! SCHED-3: a feasible task ends once faults stop: user code never stands still for long while it waits for something that
//! can happen.

use crate::check::{Verdict, broken};
use iosdk_types::{Span, Time};

const NAME: &str = "SCHED-3";
/// Longer than any wait that ends by itself (room in the store: 1 s here; forks that fail: some seconds).
const PATIENCE: Span = Span::from_secs(15);

#[derive(Default)]
pub struct Sched3 {
    last: Time,
}

impl Sched3 {
    /// User code went on somewhere.
    pub fn progress(&mut self, now: Time) {
        self.last = now;
    }

    pub fn stands_still(&self, now: Time, faults_until: Time, waiting: impl FnOnce() -> String) -> Verdict {
        let since = self.last.max(faults_until);
        if now > since + PATIENCE {
            return broken(NAME, format!("nothing has moved since {} ns: {}", since.0, waiting()));
        }
        Ok(())
    }
}
