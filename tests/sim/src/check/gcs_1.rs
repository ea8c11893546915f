//! GCS-1: versions of the cluster view never go back: what the GCS says is free follows from the newest report of each node.

use crate::check::{Verdict, broken};
use iosdk_types::{Address, Map, ResourceSet};

const NAME: &str = "GCS-1";

#[derive(Default)]
pub struct Gcs1 {
    /// The newest report of each node, by incarnation and version.
    newest: Map<u32, (u32, u64, ResourceSet)>,
    asked: Map<(Address, u64), ()>,
}

impl Gcs1 {
    pub fn joined(&mut self, node: u32, epoch: u32, total: &ResourceSet) {
        let fresh = self.newest.get(&node).is_none_or(|(known, _, _)| *known < epoch);
        if fresh {
            self.newest.insert(node, (epoch, 0, total.clone()));
        }
    }

    pub fn reported(&mut self, node: u32, version: u64, available: &ResourceSet) {
        if let Some((_, newest, known)) = self.newest.get_mut(&node)
            && version > *newest
        {
            *newest = version;
            *known = available.clone();
        }
    }

    pub fn lost(&mut self, node: u32) {
        self.newest.remove(&node);
    }

    pub fn asked(&mut self, asker: Address, request: u64) {
        self.asked.insert((asker, request), ());
    }

    /// The answer to a question for what is free, said in the step that read the question.
    pub fn answered(&mut self, asker: Address, request: u64, free: &ResourceSet) -> Verdict {
        if self.asked.remove(&(asker, request)).is_none() {
            return Ok(());
        }
        let mut expected = ResourceSet::new();
        for (_, _, available) in self.newest.values() {
            expected.add(available);
        }
        if *free == expected {
            Ok(())
        } else {
            broken(NAME, format!("the GCS says {free} is free, the newest reports say {expected}"))
        }
    }
}
