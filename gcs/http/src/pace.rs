//! How often those are answered who have not shown the token: pages, health, refusals, sessions of the dashboard. A flood of
//! them waits here, without the processor, while jobs and nodes are served.

use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// A hundred a second: an open page asks for one or two.
const GAP: Duration = Duration::from_millis(10);
/// So much of what was not used is made up for at once: a page with all its files comes at one go.
const SAVED: Duration = Duration::from_millis(600);

/// Turns, in the order of asking.
pub(crate) struct Pace {
    /// When the last turn was due.
    last: Mutex<Instant>,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { last: Mutex::new(Instant::now()) }
    }

    /// Who goes away while it waits leaves its turn to the next.
    pub(crate) async fn turn(&self) {
        let mut last = self.last.lock().await;
        let due = *last + GAP;
        sleep_until(due).await;
        let earliest = Instant::now().checked_sub(SAVED).unwrap_or(due);
        *last = due.max(earliest);
    }
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
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(took(60).await, Duration::ZERO);
        assert!(took(100).await >= GAP * 99);
    }

    #[tokio::test(start_paused = true)]
    async fn who_went_away_takes_no_turn() {
        let pace = Pace::new();
        let begun = Instant::now();
        pace.turn().await;
        for _ in 0..1_000 {
            select(pin!(pace.turn()), std::future::ready(())).await;
        }
        pace.turn().await;
        assert!(begun.elapsed() <= GAP * 3, "{:?}", begun.elapsed());
    }
}
