//! Drivers: each has a job id, and no two ever the same one, over restarts of the GCS too.

use crate::{Effect, Gcs, Record};
use iosdk_types::message::GcsToRaylet;
use iosdk_types::{Address, JobId, Map};

#[derive(Clone, Debug)]
struct Driver {
    job: JobId,
    namespace: String,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Drivers {
    live: Map<Address, Driver>,
}

impl Drivers {
    pub(crate) fn all(&self) -> impl Iterator<Item = (Address, JobId)> {
        self.live.iter().map(|(process, driver)| (*process, driver.job))
    }

    pub(crate) fn died(&mut self, driver: Address) {
        self.live.remove(&driver);
    }

    pub(crate) fn node_lost(&mut self, node: u32) {
        self.live.retain(|driver, _| driver.node != node);
    }
}

/// A driver's arrival, or its return to a GCS that was restarted.
pub(crate) struct Arrival {
    pub(crate) process: Address,
    pub(crate) namespace: String,
    pub(crate) job: Option<JobId>,
    pub(crate) submission: Option<u64>,
}

impl Gcs {
    /// Asked twice, a driver has the same job both times; what it was given before a restart it keeps.
    pub(crate) fn driver_joined(&mut self, node: u32, arrival: Arrival, out: &mut Vec<Effect>) {
        let Arrival { process, namespace, job, submission } = arrival;
        if process.node != node {
            return;
        }
        let job = match (self.drivers.live.get(&process), job) {
            (Some(known), _) => known.job,
            (None, Some(kept)) => {
                let index = u32::from_be_bytes(kept.0);
                // Given by a GCS that lost its log: never given again.
                if index > self.kept.lasting.last_driver_job {
                    self.write(Record::DriverJob { index, submission }, out);
                }
                kept
            }
            (None, None) => {
                let index = self.kept.lasting.last_driver_job + 1;
                self.write(Record::DriverJob { index, submission }, out);
                JobId::from_index(index)
            }
        };
        self.drivers.live.entry(process).or_insert(Driver { job, namespace });
        let message = GcsToRaylet::DriverAccepted { process, job };
        out.push(Effect::ToRaylet { node, message });
    }

    /// Where names that this driver uses live; `None` once it is gone.
    pub fn namespace(&self, driver: Address) -> Option<&str> {
        self.drivers.live.get(&driver).map(|driver| driver.namespace.as_str())
    }
}
