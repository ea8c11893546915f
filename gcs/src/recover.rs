//! The machine as the event log says it was.

use crate::data::DataDir;
use iosdk_complain::complain;
use iosdk_gcs_core::{ApiCall, ApiReply, Config, Effect, Gcs, Input, Record};
use iosdk_gcs_log::{EventStore, Opened};
use iosdk_types::{Machine, Set, Time};
use serde::de::DeserializeOwned;
use std::io;

pub(crate) struct Recovered {
    pub(crate) machine: Gcs,
    pub(crate) store: Box<dyn EventStore>,
    /// How many the log holds since its last snapshot.
    pub(crate) records: usize,
}

/// Also removes what lies about of jobs that are no more.
pub(crate) fn recover(data: &DataDir, config: Config) -> io::Result<Recovered> {
    let opened = iosdk_gcs_log::open(&data.log()).map_err(io::Error::other)?;
    let Opened { store, snapshot, records, repairs } = opened;
    repairs.iter().for_each(|line| complain!("gcs: {line}"));
    let snapshot = snapshot.map(|bytes| read(&bytes, "the snapshot")).transpose()?;
    let count = records.len();
    let decoded: io::Result<Vec<Record>> =
        records.iter().enumerate().map(|(at, bytes)| read(bytes, &format!("record {at}"))).collect();
    drop(records);
    let mut machine = Gcs::recover(config, snapshot, decoded?);
    sweep(data, &mut machine)?;
    Ok(Recovered { machine, store, records: count })
}

fn read<T: DeserializeOwned>(bytes: &[u8], what: &str) -> io::Result<T> {
    rmp_serde::from_slice(bytes).map_err(|error| {
        io::Error::other(format!(
            "{what} of the event log means nothing here; was it written by a newer release? {error}"
        ))
    })
}

fn sweep(data: &DataDir, machine: &mut Gcs) -> io::Result<()> {
    let mut effects = Vec::new();
    let call = ApiCall::Jobs { offset: 0, limit: usize::MAX, status: None };
    machine.step(Time(0), Input::Api { request: 0, call }, &mut effects);
    let (mut known, mut live) = (Set::new(), Set::new());
    for effect in effects {
        let Effect::Reply { reply: ApiReply::Jobs(jobs, _), .. } = effect else { continue };
        for job in jobs {
            known.insert(job.number);
            if !job.status.is_over() {
                live.insert(job.number);
            }
        }
    }
    data.sweep(|number| known.contains(&number), |number| live.contains(&number))
}
