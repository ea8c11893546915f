//! Where a sealed object lies in shared memory.

use crate::Address;
use serde::{Deserialize, Serialize};

/// A stretch of a tenant's arena. `generation` is the one stamped in the allocation's header, so a reader that arrives
/// after the memory was reused notices. `holder` is the process that allocates there; frees go to it, or to the raylet
/// once it is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Extent {
    pub segment: u32,
    pub generation: u32,
    /// Bytes from the start of the segment to the first payload byte.
    pub offset: u64,
    /// Payload bytes.
    pub len: u64,
    pub holder: Address,
}

impl Extent {
    pub const WIDTH: usize = 36;

    pub fn to_bytes(&self) -> [u8; 36] {
        let mut b = [0; 36];
        b[..4].copy_from_slice(&self.segment.to_le_bytes());
        b[4..8].copy_from_slice(&self.generation.to_le_bytes());
        b[8..16].copy_from_slice(&self.offset.to_le_bytes());
        b[16..24].copy_from_slice(&self.len.to_le_bytes());
        b[24..].copy_from_slice(&self.holder.to_bytes());
        b
    }

    pub fn from_bytes(b: &[u8; 36]) -> Self {
        let word = |at: usize| u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let mut holder = [0; 12];
        holder.copy_from_slice(&b[24..]);
        Self {
            segment: word(0),
            generation: word(4),
            offset: long(8),
            len: long(16),
            holder: Address::from_bytes(holder),
        }
    }
}
