//! How processes of a node talk: mailboxes of shared-memory lanes with one doorbell each for the call path,
//! length-prefixed MessagePack over a Unix socket for everything said to the raylet, and rings that tell it which tasks ended.

pub mod claim;
pub mod control;
pub mod cpu;
pub mod doorbell;
pub mod failpoint;
pub mod frame;
pub mod history;
pub mod lane;
pub mod mailbox;
mod mapping;

pub use claim::{ClaimSlots, Claims};
pub use control::{ControlReader, ControlWriter, ReadError};
pub use doorbell::{Activity, Doorbell, Ringer, Rung, Urgency, Woken};
pub use history::{HistoryReader, HistoryWriter};
pub use lane::{Consumer, Poisoned, Producer, Pushed};
pub use mailbox::{OwnMailbox, PeerMailbox};
