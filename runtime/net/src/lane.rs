//! A lane: a ring in shared memory from one producer process to one consumer process, and its claim words.
//!
//! Messages of any length up to `MESSAGE_MAX` go through as one frame or several. A frame is a multiple of 64 bytes,
//! never wraps, and becomes visible when the tail is stored after it. A new lane is one page; the ring in it is
//! exchanged for a larger one (`Kind::Switch`) when it had been full and is empty. Positions (tail, head) count bytes
//! since the beginning and never go back; where in the ring they are is each side's private knowledge.

mod consumer;
pub(crate) mod layout;
mod producer;

pub use consumer::{Consumer, Poisoned};
pub use layout::MESSAGE_MAX;
pub use producer::{Producer, Pushed};
