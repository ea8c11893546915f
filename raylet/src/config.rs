//! What a node is told when it starts.

use iosdk_supervisor::Nursery;
use iosdk_types::ResourceSet;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

#[derive(Clone, Debug)]
pub struct Config {
    /// All the node has, `CPU`, `GPU`, `memory`, `object_store_memory` and custom names.
    pub resources: ResourceSet,
    /// Bytes of the arena.
    pub arena_limit: u64,
    /// What no node can ever run waits for one that can, instead of failing.
    pub infeasible_waits: bool,
    /// Where the session directory is made.
    pub tmpdir: PathBuf,
}

/// What a fork server is started with; servers of the same environment are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    pub python: PathBuf,
    /// Put in front of the server's `sys.path`.
    pub sys_path: Vec<String>,
}

/// Whose node it is.
pub enum Role {
    /// One driver's own: the node ends with it.
    Private(Private),
    Standing(Standing),
}

pub struct Private {
    /// The driver's connection: its end of a socket pair.
    pub control: OwnedFd,
    pub environment: Environment,
    pub namespace: String,
    pub log_to_driver: bool,
}

/// A node that drivers join, and that runs submitted jobs.
pub struct Standing {
    /// The head's directory: `node.sock` and `jobs` are there.
    pub data: PathBuf,
    pub nursery: Nursery,
    /// How to run the GCS again when it ended, when it has a process of its own.
    pub gcs: Option<GcsProcess>,
}

impl Standing {
    /// Where the history of its tasks lies, for an `iosdk_history::Reader`.
    pub fn history(&self) -> PathBuf {
        self.data.join("history")
    }
}

/// The GCS as a child of this process: started before, and again whenever it ends.
pub struct GcsProcess {
    pub command: Vec<OsString>,
    pub pid: i32,
    pub log: PathBuf,
}
