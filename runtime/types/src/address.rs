//! Where a process is, and how a reference travels.

use crate::ObjectId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A process of the cluster: the node's index, the incarnation of its raylet, and a number that raylet never uses twice.
/// Never a path, never a pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address {
    pub node: u32,
    pub epoch: u32,
    pub process: u32,
}

impl Address {
    pub const NIL: Self = Self { node: u32::MAX, epoch: u32::MAX, process: u32::MAX };
    pub const WIDTH: usize = 12;

    pub fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&self.node.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[8..].copy_from_slice(&self.process.to_le_bytes());
        bytes
    }

    pub fn from_bytes(b: [u8; 12]) -> Self {
        let word = |at: usize| u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]);
        Self { node: word(0), epoch: word(4), process: word(8) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.node, self.epoch, self.process)
    }
}

/// A reference as it travels: the object's name, its owner, and the owner's slab key for it (so that no process hashes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RefDescriptor {
    pub object: ObjectId,
    pub owner: Address,
    /// The owner's `Key` for the object, as bits. Meaningless to anybody else; checked by the owner.
    pub key: u64,
}

impl RefDescriptor {
    pub const WIDTH: usize = 48;

    pub fn to_bytes(&self) -> [u8; 48] {
        let mut bytes = [0; 48];
        bytes[..28].copy_from_slice(&self.object.0);
        bytes[28..40].copy_from_slice(&self.owner.to_bytes());
        bytes[40..].copy_from_slice(&self.key.to_le_bytes());
        bytes
    }

    pub fn from_bytes(b: &[u8; 48]) -> Self {
        let mut object = [0; 28];
        object.copy_from_slice(&b[..28]);
        let mut owner = [0; 12];
        owner.copy_from_slice(&b[28..40]);
        let mut key = [0; 8];
        key.copy_from_slice(&b[40..]);
        Self { object: ObjectId(object), owner: Address::from_bytes(owner), key: u64::from_le_bytes(key) }
    }
}
