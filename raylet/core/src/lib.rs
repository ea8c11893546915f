//! PURE. The raylet machine: what one node knows and decides about its resources, leases, workers, lanes, actors and arena.
//! Invariants: SCHED-1, SCHED-2, STORE-1, ACT-2 (`iosdk_types::invariant`).

pub mod effect;
pub mod input;

pub use effect::Effect;
pub use input::Input;
