//! One checker per named invariant. Each keeps its own notes, so that it can be wrong only alone.

pub mod act_1;
pub mod act_2;
pub mod gcs_1;
pub mod job_1;
pub mod own_1;
pub mod own_2;
pub mod sched_1;
pub mod sched_2;
pub mod sched_3;
pub mod store_1;
pub mod task_1;
pub mod use_1;

use std::fmt;

/// A promise that was broken.
#[derive(Clone, Debug)]
pub struct Violation {
    pub invariant: &'static str,
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.text)
    }
}

pub type Verdict = Result<(), Violation>;

pub fn broken(invariant: &'static str, text: String) -> Verdict {
    Err(Violation { invariant, text })
}

#[derive(Default)]
pub struct Checks {
    pub task_1: task_1::Task1,
    pub sched_1: sched_1::Sched1,
    pub sched_2: sched_2::Sched2,
    pub sched_3: sched_3::Sched3,
    pub act_1: act_1::Act1,
    pub act_2: act_2::Act2,
    pub store_1: store_1::Store1,
    pub gcs_1: gcs_1::Gcs1,
    pub job_1: job_1::Job1,
    pub use_1: use_1::Use1,
}
