//! The doorbell of a mailbox: which lanes have something, whether and how the owner sleeps, where it runs, what it does.

pub mod protocol;

mod own;
mod page;
mod peer;
mod rung;

pub use own::{Doorbell, Woken};
pub(crate) use page::ControlPage;
pub use page::{Activity, Status};
pub use peer::Ringer;
pub use protocol::Urgency;
pub use rung::Rung;
