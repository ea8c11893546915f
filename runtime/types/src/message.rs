//! Messages, one file per direction. Those to and from daemons are MessagePack with field names; those between processes
//! (`peer`) have a fixed layout, since they are the call path.

pub mod gcs_to_raylet;
pub mod peer;
pub mod process_to_raylet;
pub mod raylet_to_gcs;
pub mod raylet_to_process;

pub use gcs_to_raylet::GcsToRaylet;
pub use process_to_raylet::{Attach, ProcessToRaylet, Query};
pub use raylet_to_gcs::RayletToGcs;
pub use raylet_to_process::{Answer, NodeRecord, RayletToProcess, StoreReport, StoreUse};

use crate::Death;
use serde::{Deserialize, Serialize};

/// Said in every hello. N and N-1 talk to each other.
pub const VERSION: u32 = 1;

/// Why an actor is gone. `error` bytes are the callee's pickled exception, opaque to every daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActorDeath {
    /// Its constructor raised, or could not be called because an argument failed (no error bytes then).
    InitFailed {
        #[serde(with = "serde_bytes")]
        error: Vec<u8>,
    },
    /// `kill(handle)`.
    Killed,
    /// The last handle anywhere went away.
    OutOfScope,
    /// Its process ended by itself.
    Process(Death),
    /// The process that created it ended.
    OwnerDied(Death),
    NodeDied,
    /// No node of the cluster can ever hold it.
    Infeasible {
        why: String,
    },
    /// It called `exit_actor()`.
    Exited,
}
