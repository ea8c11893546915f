//! What the head keeps of a submitted job beside the machine's records: one blob of the event log, and a file of secrets.

use crate::data::{DataDir, replace};
use iosdk_http::Secret;
use iosdk_types::JobSpec;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Bytes of a job's output that are kept.
pub(crate) const LOG_LIMIT: u64 = 1 << 30;

/// What a job's environment always has. A submitter's own of these names would be replaced, so they are refused.
pub(crate) const OWN_NAMES: [&str; 4] = [ADDRESS, JOB_NUMBER, SUBMISSION_ID, JOB_ENV];
/// The data directory: how the entrypoint's driver finds this head.
const ADDRESS: &str = "IOSDK_ADDRESS";
/// Which submitted job a driver belongs to.
const JOB_NUMBER: &str = "IOSDK_JOB_NUMBER";
const SUBMISSION_ID: &str = "IOSDK_SUBMISSION_ID";
/// Names of what the submitter gave, with commas between: the job's workers get these from its driver.
const JOB_ENV: &str = "IOSDK_JOB_ENV";

/// Read for as long as the job is kept: fields are added (with a default) and never changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) metadata: BTreeMap<String, String>,
    /// As it was given.
    pub(crate) runtime_env: serde_json::Map<String, serde_json::Value>,
    /// Names alone.
    pub(crate) secrets: BTreeSet<String>,
    pub(crate) spec: JobSpec,
}

impl Stored {
    pub(crate) fn encode(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).expect("text, numbers and JSON always have a MessagePack form")
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, rmp_serde::decode::Error> {
        rmp_serde::from_slice(bytes)
    }

    /// What the node is told to run.
    pub(crate) fn start(self, data: &DataDir, number: u64) -> JobSpec {
        let Self { secrets, mut spec, .. } = self;
        let given = spec.env.iter().map(|(name, _)| name).chain(&secrets);
        let names = given.map(String::as_str).collect::<Vec<_>>().join(",");
        let own = [
            (ADDRESS, data.path().to_string_lossy().into_owned()),
            (JOB_NUMBER, number.to_string()),
            (SUBMISSION_ID, spec.submission_id.clone()),
            (JOB_ENV, names),
        ];
        spec.env.extend(own.map(|(name, value)| (name.to_owned(), value)));
        spec.secrets_file = (!secrets.is_empty()).then(|| data.secrets(number).to_string_lossy().into_owned());
        spec
    }
}

pub(crate) fn key(number: u64) -> String {
    format!("job/{number}")
}

/// As the job's supervisor reads them: one JSON object.
pub(crate) fn write_secrets(data: &DataDir, number: u64, secrets: &BTreeMap<String, Secret>) -> io::Result<()> {
    if secrets.is_empty() {
        return Ok(());
    }
    let values: BTreeMap<&String, &str> = secrets.iter().map(|(name, secret)| (name, secret.reveal())).collect();
    replace(&data.secrets(number), &serde_json::to_vec(&values)?)
}
