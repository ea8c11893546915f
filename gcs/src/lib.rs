//! The GCS shell: carries messages between raylets and the GCS machine, and nothing else. One streaming RPC (`Link`) per
//! raylet; the machine runs in one task of a single-threaded runtime, so no decision is ever made concurrently.

pub mod codec;
mod link;
mod local;
mod seat;
mod service;

pub use iosdk_gcs_core::{Config, Gcs};
pub use local::{LinkEvent, LocalLink, start_local};
