//! The store of one process: the arena that every process of a tenant maps, this process's allocator over the extents it was
//! granted, sealed objects in it, and the pins that keep views of them safe.
//!
//! `segment` maps and backs memory, `heap` decides where objects lie (no I/O), `object` writes and checks headers, `pins` is
//! the shared table of hazard slots, `hazard` the protocol between pinning and freeing, `store` ties them together.

#[cfg(not(loom))]
mod copy;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
mod failpoint;
pub mod hazard;
pub mod heap;
#[cfg(not(loom))]
pub mod object;
#[cfg(not(loom))]
pub mod pins;
#[cfg(not(loom))]
pub mod segment;
#[cfg(not(loom))]
mod shares;
#[cfg(not(loom))]
pub mod size;
#[cfg(not(loom))]
mod store;
mod sync;

#[cfg(not(loom))]
pub use error::StoreError;
pub use heap::{Allocation, BadFree, Heap, Needs, Purpose};
#[cfg(not(loom))]
pub use object::{OpenError, View, Writer};
#[cfg(not(loom))]
pub use pins::Pins;
#[cfg(not(loom))]
pub use segment::Segment;
#[cfg(not(loom))]
pub use store::{PutError, Store};
