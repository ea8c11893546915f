//! The runtime of one process, driver or worker: the shell around the owner machine. It owns the lanes to peers, the control
//! socket to the raylet, the payload bytes and the arena mapping, and offers the blocking API that language bindings call.
//!
//! `process` joins and leaves; `core` is what the owner lock guards; `perform` does what the machine asks; `drive` reads lanes;
//! `wait` is leader/follower; `events` is the one thread of ours; `calls`, `objects`, `execution`, `requests` are the API.

mod calls;
mod core;
pub mod definition;
mod describe;
mod drive;
mod events;
mod execution;
mod explain;
mod fork_guard;
mod history;
mod link;
mod objects;
mod payload;
mod perform;
mod process;
pub mod record;
mod requests;
mod signals;
mod title;
mod wait;

pub use calls::{NewActor, NewCall, SubmitError, Submitted};
pub use execution::{Dep, Next, Outcome, Returned, RunningCall};
pub use objects::{Fetched, Need, SharedView, StoreError, Waited, Writing};
pub use process::{JoinError, Process, Session};

/// Values up to this many bytes travel in messages; larger ones lie in the arena.
pub const INLINE_MAX: usize = 64 * 1024;
