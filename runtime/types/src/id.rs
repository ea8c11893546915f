//! Ids with Ray's widths. They nest (object = task + index, task = 8 unique bytes + actor, actor = 12 unique + job), so an id
//! tells where it comes from, and they are derived from a parent and a counter: nothing here is random.
//! Width source: Ray's id specification (`src/ray/design_docs/id_specification.md`).

use crate::Address;
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! define_id {
    ($(#[$doc:meta])* $name:ident, $width:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $width]);

        impl $name {
            pub const WIDTH: usize = $width;
            /// The id that stands for "none": every byte 0xff, as in Ray.
            pub const NIL: Self = Self([0xff; $width]);

            pub fn is_nil(&self) -> bool {
                *self == Self::NIL
            }

            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                Some(Self(bytes.try_into().ok()?))
            }

            pub fn hex(&self) -> String {
                use fmt::Write;
                self.0.iter().fold(String::with_capacity(2 * $width), |mut text, byte| {
                    let _ = write!(text, "{byte:02x}");
                    text
                })
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.hex())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.hex())
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                serde_bytes::Bytes::new(&self.0).serialize(s)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let bytes = serde_bytes::ByteArray::<$width>::deserialize(d)?;
                Ok(Self(bytes.into_array()))
            }
        }
    };
}

define_id!(
    /// A driver and everything it started.
    JobId, 4);
define_id!(ActorId, 16);
define_id!(TaskId, 24);
define_id!(ObjectId, 28);
define_id!(NodeId, 28);
define_id!(WorkerId, 28);
define_id!(PlacementGroupId, 18);

impl JobId {
    pub fn from_index(index: u32) -> Self {
        Self(index.to_be_bytes())
    }
}

impl ActorId {
    /// `unique`: 12 bytes that differ for each actor of the job.
    pub fn derive(unique: [u8; 12], job: JobId) -> Self {
        let mut bytes = [0; 16];
        bytes[..12].copy_from_slice(&unique);
        bytes[12..].copy_from_slice(&job.0);
        Self(bytes)
    }

    /// The actor part of a task that belongs to no actor.
    pub fn none(job: JobId) -> Self {
        Self::derive([0xff; 12], job)
    }

    /// False for the actor part of a task that belongs to none.
    pub fn is_actor(&self) -> bool {
        self.0[..12] != [0xff; 12]
    }

    pub fn job(&self) -> JobId {
        JobId([self.0[12], self.0[13], self.0[14], self.0[15]])
    }
}

impl TaskId {
    /// `unique`: 8 bytes that differ for each task of the actor (or of the job, for tasks of no actor).
    pub fn derive(unique: [u8; 8], actor: ActorId) -> Self {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&unique);
        bytes[8..].copy_from_slice(&actor.0);
        Self(bytes)
    }

    pub fn actor(&self) -> ActorId {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.0[8..]);
        ActorId(bytes)
    }
}

impl ObjectId {
    /// Return values count from 1 up; puts count from 1 up with the top bit set, so the two never meet.
    pub const PUT: u32 = 1 << 31;

    pub fn derive(task: TaskId, index: u32) -> Self {
        let mut bytes = [0; 28];
        bytes[..24].copy_from_slice(&task.0);
        bytes[24..].copy_from_slice(&index.to_be_bytes());
        Self(bytes)
    }

    pub fn task(&self) -> TaskId {
        let mut bytes = [0; 24];
        bytes.copy_from_slice(&self.0[..24]);
        TaskId(bytes)
    }

    pub fn index(&self) -> u32 {
        u32::from_be_bytes([self.0[24], self.0[25], self.0[26], self.0[27]])
    }
}

impl WorkerId {
    /// The process as an id of Ray's width: its node, with its address in the last bytes.
    pub fn of(node: NodeId, process: Address) -> Self {
        let mut bytes = node.0;
        bytes[Self::WIDTH - Address::WIDTH..].copy_from_slice(&process.to_bytes());
        Self(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_nest() {
        let job = JobId::from_index(7);
        let actor = ActorId::derive([3; 12], job);
        let task = TaskId::derive([9; 8], actor);
        let object = ObjectId::derive(task, 2);
        assert_eq!(object.task(), task);
        assert_eq!(object.index(), 2);
        assert_eq!(object.task().actor().job(), job);
        assert_eq!(JobId::from_slice(&[1, 2]), None);
        assert!(ActorId::NIL.is_nil());
        assert_eq!(job.hex(), "00000007");
    }
}
