//! The nodes of the cluster and what is free on each.

use crate::{Effect, Gcs};
use iosdk_types::message::{GcsToRaylet, NodeRecord, VERSION};
use iosdk_types::{Map, ResourceSet};

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) epoch: u32,
    pub(crate) record: NodeRecord,
    pub(crate) available: ResourceSet,
    version: u64,
    /// The newest version this incarnation ever reported, kept apart so that `check` can tell.
    newest: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Nodes {
    pub(crate) all: Map<u32, Node>,
}

impl Nodes {
    pub(crate) fn alive(&self) -> impl Iterator<Item = (u32, &Node)> {
        self.all.iter().filter(|(_, node)| node.record.alive).map(|(number, node)| (*number, node))
    }

    pub(crate) fn is_alive(&self, number: u32) -> bool {
        self.all.get(&number).is_some_and(|node| node.record.alive)
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        for (number, node) in &self.all {
            if node.version < node.newest {
                return Err(format!(
                    "GCS-1: the view of node {number} went back from {} to {}",
                    node.newest, node.version
                ));
            }
        }
        Ok(())
    }
}

impl Gcs {
    /// A node arrives, comes back (same incarnation: nothing was lost) or was restarted (the old incarnation is gone).
    pub(crate) fn join(&mut self, number: u32, version: u32, epoch: u32, record: NodeRecord, out: &mut Vec<Effect>) {
        out.push(Effect::ToRaylet { node: number, message: GcsToRaylet::Joined { version: VERSION } });
        if version != VERSION && version.checked_add(1) != Some(VERSION) {
            return;
        }
        let before = self.nodes.all.get(&number).map(|node| (node.epoch, node.record.alive));
        match before {
            Some((old, alive)) if old > epoch || (old == epoch && !alive) => {
                // An incarnation that was given up on does not come back: what lived there counts as dead.
                return;
            }
            Some((old, true)) if old == epoch => {
                if let Some(node) = self.nodes.all.get_mut(&number) {
                    node.record = NodeRecord { alive: true, ..record };
                }
            }
            _ => {
                self.node_lost(number, out);
                let available = record.resources.clone();
                let record = NodeRecord { alive: true, ..record };
                self.nodes.all.insert(number, Node { epoch, record, available, version: 0, newest: 0 });
            }
        }
        self.resume_actors_of(number, out);
        self.forget_refusals(number);
        self.place_waiting(out);
    }

    pub(crate) fn view(&mut self, number: u32, version: u64, available: ResourceSet, out: &mut Vec<Effect>) {
        let takes_any = self.view_goes_back();
        let Some(node) = self.nodes.all.get_mut(&number).filter(|node| node.record.alive) else { return };
        node.newest = node.newest.max(version);
        if version <= node.version && !takes_any {
            return;
        }
        node.version = version;
        node.available = available;
        self.forget_refusals(number);
        self.place_waiting(out);
    }

    pub(crate) fn node_lost(&mut self, number: u32, out: &mut Vec<Effect>) {
        let Some(node) = self.nodes.all.get_mut(&number).filter(|node| node.record.alive) else { return };
        node.record.alive = false;
        node.available = ResourceSet::new();
        self.drop_watchers_of(number);
        self.actors_of_node_died(number, out);
        self.jobs.node_lost(number);
    }
}
