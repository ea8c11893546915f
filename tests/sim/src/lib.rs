//! A cluster in one process from one seed: the real owner, raylet and GCS machines, with simulated links, shared memory, user
//! code and trouble between them, and one checker for each named invariant. No clock, no thread, no chance but the seed's.

pub mod birth;
pub mod body;
pub mod check;
pub mod count;
pub mod daemons;
pub mod execution;
pub mod faults;
pub mod gcs_shell;
pub mod ghost;
pub mod log;
pub mod memory;
pub mod operations;
pub mod owner_shell;
pub mod planted;
pub mod process;
pub mod random;
pub mod raylet_shell;
pub mod schedule;
pub mod settings;
pub mod submitter;
pub mod supervisors;
pub mod trace;
pub mod user;
pub mod values;
pub mod wire;
pub mod world;

use planted::Planted;
use settings::Settings;
use trace::Trace;
use world::{Outcome, World};

/// One run of one seed.
pub fn run(seed: u64, nodes: Option<u32>, steps: u64, planted: Option<Planted>, trace: Trace) -> Outcome {
    World::new(Settings::from_seed(seed, nodes), planted, trace).run(steps)
}
