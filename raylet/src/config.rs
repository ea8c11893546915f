//! What a node is told when it starts.

use iosdk_types::ResourceSet;
use std::path::PathBuf;

#[derive(Clone, Debug)]
pub struct Config {
    /// All the node has, `CPU`, `GPU`, `memory`, `object_store_memory` and custom names.
    pub resources: ResourceSet,
    /// Bytes of the arena.
    pub arena_limit: u64,
    /// The interpreter of the fork server and so of the workers.
    pub python: PathBuf,
    /// Put in front of the fork server's `sys.path`.
    pub sys_path: Vec<String>,
    pub namespace: String,
    /// What no node can ever run waits for one that can, instead of failing.
    pub infeasible_waits: bool,
    pub log_to_driver: bool,
    /// Where the session directory is made.
    pub tmpdir: PathBuf,
}
