//! What a raylet is told at birth.

use iosdk_types::{NodeId, ResourceSet, Span};

#[derive(Clone, Debug)]
pub struct Config {
    pub node: u32,
    /// Incarnation of this raylet: grows with each restart of the node.
    pub epoch: u32,
    pub node_id: NodeId,
    pub session: String,
    pub session_dir: String,
    pub node_ip: String,
    pub hostname: String,
    pub resources: ResourceSet,
    pub arena_limit: u64,
    /// Workers kept ready beyond those in use.
    pub workers_ahead: u32,
    /// Demand that no node covers waits (a node may join) instead of failing.
    pub infeasible_waits: bool,
    /// A private cluster: it ends when its driver does.
    pub ends_with_driver: bool,
    /// How long a request for arena waits for room.
    pub extent_wait: Span,
    /// Failed starts of workers in a row before those who wait are told.
    pub fork_tries: u32,
    /// Keeps an account of what is held, for the GCS to book. Heads do; a private cluster pays nothing for it.
    pub meters: bool,
}

impl Config {
    /// A node without resources or arena; set the fields that matter.
    pub fn new(node: u32, epoch: u32, node_id: NodeId) -> Self {
        Self {
            node,
            epoch,
            node_id,
            session: String::new(),
            session_dir: String::new(),
            node_ip: "127.0.0.1".to_owned(),
            hostname: "localhost".to_owned(),
            resources: ResourceSet::new(),
            arena_limit: 0,
            workers_ahead: 0,
            infeasible_waits: false,
            ends_with_driver: true,
            extent_wait: Span::from_secs(10),
            fork_tries: 8,
            meters: false,
        }
    }
}
