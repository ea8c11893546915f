//! The nodes of the cluster and what is free on each.

use crate::{Effect, Gcs, Record};
use iosdk_types::message::{GcsToRaylet, NodeRecord, VERSION};
use iosdk_types::{Map, ResourceSet, Time};

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) epoch: u32,
    pub(crate) record: NodeRecord,
    pub(crate) available: ResourceSet,
    /// It has said which submitted jobs it has, so it may be given more.
    pub(crate) takes_jobs: bool,
    /// It came back with less of something than it had.
    pub(crate) shrunk: bool,
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
    pub(crate) fn join(
        &mut self,
        now: Time,
        number: u32,
        version: u32,
        epoch: u32,
        record: NodeRecord,
        out: &mut Vec<Effect>,
    ) {
        out.push(Effect::ToRaylet { node: number, message: GcsToRaylet::Joined { version: VERSION } });
        if version != VERSION && version.checked_add(1) != Some(VERSION) {
            return;
        }
        let known = self.kept.lasting.nodes.get(&number).cloned();
        // An incarnation that was given up on does not come back: what lived there counts as dead.
        if known.as_ref().is_some_and(|old| old.epoch > epoch || (old.epoch == epoch && !old.alive)) {
            return;
        }
        let same = known.as_ref().is_some_and(|old| old.epoch == epoch);
        if !same {
            self.forget_node(number, out);
        }
        let shrunk = known.as_ref().is_some_and(|old| !record.resources.covers(&old.resources));
        let told = known.is_some_and(|old| old.resources == record.resources && old.hostname == record.hostname);
        if !same || !told {
            let (hostname, resources) = (record.hostname.clone(), record.resources.clone());
            self.write(Record::NodeIncarnation { node: number, epoch, alive: true, hostname, resources }, out);
        }
        let record = NodeRecord { alive: true, ..record };
        match self.nodes.all.get_mut(&number).filter(|_| same) {
            Some(node) => {
                node.record = record;
                node.takes_jobs = false;
                node.shrunk |= shrunk;
            }
            None => {
                let available = record.resources.clone();
                let node = Node { epoch, record, available, takes_jobs: false, shrunk, version: 0, newest: 0 };
                self.nodes.all.insert(number, node);
            }
        }
        self.kept.queue.call_back();
        self.await_jobs_of(now, number);
        self.resume_actors_of(number, out);
        self.forget_refusals(number);
        self.place_waiting(out);
    }

    pub(crate) fn takes_jobs(&mut self, number: u32) {
        if let Some(node) = self.nodes.all.get_mut(&number) {
            node.takes_jobs = true;
        }
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
        if self.nodes.is_alive(number) {
            self.give_up(number, out);
            self.forget_node(number, out);
        }
    }

    /// This incarnation is never believed again.
    pub(crate) fn give_up(&mut self, number: u32, out: &mut Vec<Effect>) {
        if let Some(known) = self.kept.lasting.nodes.get(&number) {
            let (epoch, hostname, resources) = (known.epoch, known.hostname.clone(), known.resources.clone());
            self.write(Record::NodeIncarnation { node: number, epoch, alive: false, hostname, resources }, out);
        }
    }

    fn forget_node(&mut self, number: u32, out: &mut Vec<Effect>) {
        let Some(node) = self.nodes.all.get_mut(&number).filter(|node| node.record.alive) else { return };
        node.record.alive = false;
        node.takes_jobs = false;
        node.available = ResourceSet::new();
        self.drop_watchers_of(number);
        self.actors_of_node_died(number, out);
        self.drivers.node_lost(number);
    }
}
