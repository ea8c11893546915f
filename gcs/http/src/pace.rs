//! How often those are answered who have not shown the token: pages, health, refusals, sessions of the dashboard. A flood of
//! them waits here, without the processor, while jobs and nodes are served.

use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// Fifty a second: an open page asks for one or two.
const GAP: Duration = Duration::from_millis(20);
/// So much of what was not used is made up for at once: a page with all its files comes at one go.
const SAVED: Duration = Duration::from_millis(20 * 60);
/// Who has to wait waits for so many turns together: one wake-up for all of them costs less than one for each.
const BATCH: Duration = Duration::from_millis(20 * 10);

/// Turns, in the order of asking.
pub(crate) struct Pace {
    /// When the last turn was due.
    last: Mutex<Instant>,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { last: Mutex::new(saved(Instant::now())) }
    }

    /// Who goes away while it waits leaves its turn to the next.
    pub(crate) async fn turn(&self) {
        let mut last = self.last.lock().await;
        let due = (*last).max(saved(Instant::now())) + GAP;
        if due > Instant::now() {
            sleep_until(due + BATCH - GAP).await;
        }
        *last = due;
    }
}

/// The last turn of somebody who has saved all that can be saved.
fn saved(now: Instant) -> Instant {
    now.checked_sub(SAVED).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::{join_all, select};
    use std::pin::pin;

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_through_and_a_flood_waits() {
        let pace = Pace::new();
        let took = async |turns: usize| {
            let begun = Instant::now();
            join_all((0..turns).map(|_| pace.turn())).await;
            begun.elapsed()
        };
        assert_eq!(took(60).await, Duration::ZERO);
        let flood = took(100).await;
        assert!(flood >= GAP * 100 && flood <= GAP * 100 + BATCH, "{flood:?}");
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(took(60).await, Duration::ZERO);
        assert!(took(1).await > Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn who_went_away_takes_no_turn() {
        let pace = Pace::new();
        for _ in 0..60 {
            pace.turn().await;
        }
        let begun = Instant::now();
        for _ in 0..1_000 {
            select(pin!(pace.turn()), std::future::ready(())).await;
        }
        pace.turn().await;
        assert!(begun.elapsed() <= BATCH, "{:?}", begun.elapsed());
    }
}
