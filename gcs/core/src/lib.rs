//! PURE. The GCS machine: what the cluster knows about nodes, jobs and actors.
//! Invariants: ACT-2, GCS-1 (`iosdk_types::invariant`).

use iosdk_types::message::{GcsToRaylet, RayletToGcs};

/// Everything that can happen to the cluster, as seen by its GCS.
#[derive(Clone, Debug)]
pub enum Input {
    FromRaylet {
        node: u32,
        message: RayletToGcs,
    },
    /// The connection to a node broke and did not come back in time.
    NodeLost {
        node: u32,
    },
}

/// Everything the GCS machine can ask of the world.
#[derive(Clone, Debug)]
pub enum Effect {
    ToRaylet { node: u32, message: GcsToRaylet },
}
