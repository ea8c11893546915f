//! What a caller tells a worker once about a function, class or method: its name, where it comes from, what it holds while it
//! runs, and its pickled body. The bytes are opaque to everything but the language binding.

use iosdk_types::ResourceSet;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Function,
    Class,
    Method,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    pub kind: Kind,
    /// Qualified name: `f`, `Outer.Counter`, or the method's name.
    pub name: String,
    pub module: String,
    pub resources: ResourceSet,
    /// Which exceptions the task is retried on: empty for none, `*` for all, else pickled classes.
    #[serde(with = "serde_bytes")]
    pub retry: Vec<u8>,
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
}

impl Definition {
    pub fn to_bytes(&self) -> Vec<u8> {
        // Writing to a Vec cannot fail and every field has a MessagePack form.
        rmp_serde::to_vec_named(self).expect("a definition always encodes")
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        rmp_serde::from_slice(bytes).ok()
    }
}
