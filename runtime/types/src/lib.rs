//! The words every other crate speaks: ids, resources, specs, messages, outcomes, time, maps and the invariant registry.
//! Nothing here does anything: no I/O, no clock, no policy. A type lives here only when two sides of a message need it.

pub mod address;
pub mod death;
pub mod extent;
pub mod id;
pub mod invariant;
pub mod machine;
pub mod map;
pub mod message;
pub mod resources;
pub mod slab;
pub mod spec;
pub mod state;
pub mod submission;
pub mod task_record;
pub mod time;
pub mod usage;

pub use address::{Address, RefDescriptor};
pub use death::{Attempt, Death, Exit};
pub use extent::Extent;
pub use id::{ActorId, JobId, NodeId, ObjectId, PlacementGroupId, TaskId, WorkerId};
pub use machine::Machine;
pub use map::{Map, Set};
pub use resources::{Amount, ResourceSet};
pub use slab::{Key, Slab};
pub use state::{StateQuery, StateReport, StateRows};
pub use submission::{JobCause, JobReport, JobSpec};
pub use task_record::{Outcome, TaskKind, TaskRecord};
pub use time::{Span, Time};
pub use usage::{UsageObject, UsageRecord};
