//! Errors the system itself makes, as bytes that travel like any value: the tag byte, then MessagePack with field names.
//! The language binding turns a record into the exception a user sees.

use iosdk_types::message::ActorDeath;
use iosdk_types::{Attempt, Death};
use serde::{Deserialize, Serialize};

/// First byte of a value whose rest is an `ErrorRecord`. Language bindings use the tags below it.
pub const RECORD_TAG: u8 = 255;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorRecord {
    WorkerCrashed {
        task: String,
        function: String,
        attempts: Vec<Attempt>,
    },
    ActorDied {
        actor: String,
        class_name: String,
        cause: ActorDeath,
    },
    Cancelled {
        task: String,
        function: String,
    },
    OwnerDied {
        object: String,
        owner: String,
        death: Option<Death>,
    },
    ObjectLost {
        object: String,
    },
    Infeasible {
        function: String,
        why: String,
    },
    /// `cause` is the dependency's own error value, tag included.
    DependencyFailed {
        function: String,
        #[serde(with = "serde_bytes")]
        cause: Vec<u8>,
    },
}

impl ErrorRecord {
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![RECORD_TAG];
        // Writing to a Vec cannot fail and every field has a MessagePack form.
        rmp_serde::encode::write_named(&mut bytes, self).expect("an error record always encodes");
        bytes
    }

    /// `None` when these bytes are not a record.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first() {
            Some((&RECORD_TAG, rest)) => rmp_serde::from_slice(rest).ok(),
            _ => None,
        }
    }
}
