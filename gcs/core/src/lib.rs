//! PURE. The GCS machine: what the cluster knows about nodes, jobs and actors.
//! Invariants: ACT-2, GCS-1 (`iosdk_types::invariant`).

mod actors;
mod jobs;
mod nodes;
mod planted;
mod queries;
#[cfg(test)]
mod tests;

#[cfg(feature = "planted")]
pub use planted::Bug;

use iosdk_types::message::{GcsToRaylet, RayletToGcs};
use iosdk_types::{Machine, Time};

/// Everything that can happen to the cluster, as seen by its GCS.
#[derive(Clone, Debug)]
pub enum Input {
    FromRaylet {
        node: u32,
        message: RayletToGcs,
    },
    /// The connection to a node broke and did not come back in time.
    NodeLost {
        node: u32,
    },
}

/// Everything the GCS machine can ask of the world.
#[derive(Clone, Debug)]
pub enum Effect {
    ToRaylet { node: u32, message: GcsToRaylet },
}

#[derive(Clone, Debug, Default)]
pub struct Config {
    /// What no node can hold waits (a node may join) instead of failing.
    pub infeasible_waits: bool,
}

pub struct Gcs {
    config: Config,
    nodes: nodes::Nodes,
    jobs: jobs::Jobs,
    actors: actors::Actors,
    #[cfg(feature = "planted")]
    planted: Option<Bug>,
}

impl Gcs {
    pub fn new(config: Config) -> Self {
        Self {
            config,
            nodes: nodes::Nodes::default(),
            jobs: jobs::Jobs::default(),
            actors: actors::Actors::default(),
            #[cfg(feature = "planted")]
            planted: None,
        }
    }

    /// Whether the whole state makes sense. Costs time in proportion to it: for tests and simulations.
    pub fn check(&self) -> Result<(), String> {
        self.nodes.check()?;
        self.actors.check()
    }

    fn raylet_says(&mut self, node: u32, message: RayletToGcs, out: &mut Vec<Effect>) {
        if let RayletToGcs::Join { version, node: said, epoch, record } = message {
            if said == node {
                self.join(node, version, epoch, record, out);
            }
            return;
        }
        // A node that was given up on must join anew before it is heard.
        if !self.nodes.is_alive(node) {
            return;
        }
        match message {
            RayletToGcs::Join { .. } => {}
            RayletToGcs::View { version, available } => self.view(node, version, available, out),
            RayletToGcs::DriverJoined { process, namespace } => self.driver_joined(node, process, namespace, out),
            RayletToGcs::CreateActor { spec } => self.create_actor(spec, out),
            RayletToGcs::WatchActor { actor, watcher } => self.watch_actor(actor, watcher, out),
            // Nothing restarts yet, so `no_restart` makes no difference.
            RayletToGcs::KillActor { actor, no_restart: _ } => self.kill_actor(actor, out),
            RayletToGcs::ActorStarted { actor, address } => self.actor_started(node, actor, address, out),
            RayletToGcs::ActorRefused { actor } => self.actor_refused(node, actor, out),
            RayletToGcs::ActorEnded { actor, cause } => self.actor_ended(node, actor, cause, out),
            RayletToGcs::ProcessDied { process, death } => {
                if process.node == node {
                    self.process_died(process, &death, out);
                }
            }
            RayletToGcs::Nodes { request, asker } => self.answer_nodes(node, request, asker, out),
            RayletToGcs::ClusterResources { request, asker } => self.answer_cluster(node, request, asker, out),
            RayletToGcs::AvailableResources { request, asker } => self.answer_available(node, request, asker, out),
        }
    }
}

impl Machine for Gcs {
    type Input = Input;
    type Effect = Effect;

    fn step(&mut self, _: Time, input: Input, out: &mut Vec<Effect>) {
        match input {
            Input::FromRaylet { node, message } => self.raylet_says(node, message, out),
            Input::NodeLost { node } => self.node_lost(node, out),
        }
    }

    fn deadline(&self) -> Option<Time> {
        None
    }

    fn tick(&mut self, _: Time, _: &mut Vec<Effect>) {}
}
