//! What processes may ask about the cluster.

use crate::{Effect, Gcs};
use iosdk_types::message::{Answer, GcsToRaylet};
use iosdk_types::{Address, ResourceSet};

impl Gcs {
    pub(crate) fn answer_nodes(&self, node: u32, request: u64, asker: Address, out: &mut Vec<Effect>) {
        let records = self.nodes.all.values().map(|node| node.record.clone()).collect();
        Self::answer(node, request, asker, Answer::Nodes(records), out);
    }

    pub(crate) fn answer_cluster(&self, node: u32, request: u64, asker: Address, out: &mut Vec<Effect>) {
        let mut sum = ResourceSet::new();
        for (_, node) in self.nodes.alive() {
            sum.add(&node.record.resources);
        }
        Self::answer(node, request, asker, Answer::Resources(sum), out);
    }

    pub(crate) fn answer_available(&self, node: u32, request: u64, asker: Address, out: &mut Vec<Effect>) {
        let mut sum = ResourceSet::new();
        for (_, node) in self.nodes.alive() {
            sum.add(&node.available);
        }
        Self::answer(node, request, asker, Answer::Resources(sum), out);
    }

    fn answer(node: u32, request: u64, asker: Address, answer: Answer, out: &mut Vec<Effect>) {
        out.push(Effect::ToRaylet { node, message: GcsToRaylet::Answer { request, asker, answer } });
    }
}
