//! Jobs: one per driver.

use crate::{Effect, Gcs};
use iosdk_types::message::GcsToRaylet;
use iosdk_types::{Address, JobId, Map};

#[derive(Clone, Debug)]
struct Job {
    id: JobId,
    namespace: String,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Jobs {
    by_driver: Map<Address, Job>,
    last: u32,
}

impl Jobs {
    pub(crate) fn driver_died(&mut self, driver: Address) {
        self.by_driver.remove(&driver);
    }

    pub(crate) fn node_lost(&mut self, node: u32) {
        self.by_driver.retain(|driver, _| driver.node != node);
    }
}

impl Gcs {
    /// Asked twice, a driver has the same job both times.
    pub(crate) fn driver_joined(&mut self, node: u32, process: Address, namespace: String, out: &mut Vec<Effect>) {
        if process.node != node || !self.nodes.is_alive(node) {
            return;
        }
        let next = self.jobs.last + 1;
        let job = self.jobs.by_driver.entry(process).or_insert(Job { id: JobId::from_index(next), namespace });
        if job.id == JobId::from_index(next) {
            self.jobs.last = next;
        }
        let message = GcsToRaylet::DriverAccepted { process, job: job.id };
        out.push(Effect::ToRaylet { node, message });
    }

    /// Where names that this driver uses live; `None` once it is gone.
    pub fn namespace(&self, driver: Address) -> Option<&str> {
        self.jobs.by_driver.get(&driver).map(|job| job.namespace.as_str())
    }
}
