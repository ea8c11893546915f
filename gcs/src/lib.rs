//! The GCS shell: carries messages between raylets, clients and the GCS machine, and keeps what it must not forget. One
//! streaming RPC (`Link`) per raylet; the machine runs in one task of a single-threaded runtime, so no decision is ever made
//! concurrently. The cluster of one driver has it in its raylet's process and without a log; a head has a log and the HTTP API,
//! as a process of its own or in the raylet's.

pub mod codec;
mod collect;
mod data;
mod ended;
mod event;
mod front;
mod head;
mod info;
mod journal;
mod link;
mod local;
mod raylets;
mod recover;
mod remote;
mod rows;
mod seat;
mod service;
mod state;
mod stored;
mod submission;
mod usage;
mod writer;

pub use head::{HeadConfig, run_head, start_head};
pub use iosdk_gcs_core::{Config, Gcs};
pub use local::{LinkEvent, LocalLink, start_local};
pub use remote::connect;
