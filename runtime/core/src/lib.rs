//! PURE. The owner machine: what one process (driver or worker) knows and decides about the tasks it submitted, the objects it
//! owns or borrows, the leases it holds, the actors it calls and the calls it executes for others.
//! Invariants: OWN-1, OWN-2, TASK-1, ACT-1 (`iosdk_types::invariant`).

pub mod effect;
pub mod error;
pub mod input;

pub use effect::Effect;
pub use error::LocalError;
pub use input::{Draft, Input, NewValue, Target};
