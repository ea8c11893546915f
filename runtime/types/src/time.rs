//! Time as a plain integer: nanoseconds of a monotonic clock that the shell reads and hands in.

use serde::{Deserialize, Serialize};
use std::ops::{Add, Sub};

/// A moment, in nanoseconds since an epoch of the shell's choosing (boot, or 0 in a simulation).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Time(pub u64);

/// A length of time in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span(pub u64);

impl Span {
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros * 1_000)
    }
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000_000)
    }
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * 1_000_000_000)
    }
}

impl Add<Span> for Time {
    type Output = Time;
    fn add(self, span: Span) -> Time {
        Time(self.0.saturating_add(span.0))
    }
}

impl Sub<Time> for Time {
    type Output = Span;
    /// Zero when `earlier` is later: clocks of two processes may be read out of order.
    fn sub(self, earlier: Time) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}
