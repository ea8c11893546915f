//! The JSON of requests and answers. Where Ray has a name for something, it is Ray's; what Ray does not know comes after.

use crate::secret::{HIDDEN, Secret};
use iosdk_types::{Amount, ResourceSet};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;

type Json = serde_json::Map<String, serde_json::Value>;

/// What `POST /api/jobs/` asks for. What is absent was not given.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    pub entrypoint: String,
    /// Fit for a file name: see `submission.rs`.
    pub submission_id: Option<String>,
    /// Its `env_vars`, if any, are strings. The rest is for the head to judge.
    pub runtime_env: Json,
    pub metadata: BTreeMap<String, String>,
    pub entrypoint_num_cpus: Option<Amount>,
    pub entrypoint_num_gpus: Option<Amount>,
    /// Bytes.
    pub entrypoint_memory: Option<u64>,
    /// Custom resources alone: never CPU, GPU or memory.
    pub entrypoint_resources: ResourceSet,
    pub entrypoint_label_selector: BTreeMap<String, String>,
    /// Who pays for it.
    pub user: Option<String>,
    /// Environment variables whose values nobody may see. No name is in `env_vars` too.
    pub secret_env: BTreeMap<String, Secret>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    pub job_id: String,
    pub submission_id: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum JobStatus {
    Pending,
    Running,
    Stopped,
    Succeeded,
    Failed,
}

impl JobStatus {
    pub(crate) const ALL: [(Self, &'static str); 5] = [
        (Self::Pending, "PENDING"),
        (Self::Running, "RUNNING"),
        (Self::Stopped, "STOPPED"),
        (Self::Succeeded, "SUCCEEDED"),
        (Self::Failed, "FAILED"),
    ];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum JobType {
    Submission,
    Driver,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverInfo {
    pub id: String,
    pub node_ip_address: String,
    /// Text, as in Ray.
    pub pid: String,
}

/// Ray's JobDetails, and what ours has beside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobInfo {
    #[serde(rename = "type")]
    pub kind: JobType,
    pub job_id: Option<String>,
    pub submission_id: Option<String>,
    pub driver_info: Option<DriverInfo>,
    pub status: JobStatus,
    pub entrypoint: String,
    pub message: Option<String>,
    pub error_type: Option<String>,
    /// Milliseconds since 1970.
    pub start_time: Option<u64>,
    pub end_time: Option<u64>,
    pub metadata: BTreeMap<String, String>,
    pub runtime_env: Json,
    pub driver_agent_http_address: Option<String>,
    pub driver_node_id: Option<String>,
    pub driver_exit_code: Option<i32>,
    pub user: Option<String>,
    /// Names alone: each is shown with `***` for its value.
    #[serde(default, serialize_with = "hidden", deserialize_with = "names")]
    pub secret_env: BTreeSet<String>,
}

fn hidden<S: Serializer>(names: &BTreeSet<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(names.iter().map(|name| (name, HIDDEN)))
}

fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<String>, D::Error> {
    Ok(BTreeMap::<String, String>::deserialize(deserializer)?.into_keys().collect())
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobQuery {
    /// At most so many; none: all of them.
    pub limit: Option<u64>,
    /// So many of the newest are left out.
    pub offset: u64,
    pub status: Option<JobStatus>,
}

impl JobQuery {
    /// Which of `matching` jobs, in order of submission, are on the page.
    pub fn window(&self, matching: usize) -> Range<usize> {
        let at_most = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let end = matching.saturating_sub(at_most(self.offset));
        end.saturating_sub(self.limit.map_or(usize::MAX, at_most))..end
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    pub stopped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    pub deleted: bool,
}

/// False: the name was there already, and what it holds has not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    pub stored: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// Grows at its end and never changes otherwise. It may not exist yet.
    pub path: PathBuf,
    /// Nothing will be appended any more.
    pub over: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterInfo {
    pub nodes: Vec<NodeInfo>,
    pub jobs_queued: u64,
    pub jobs_running: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    pub node_id: String,
    pub address: String,
    pub is_head: bool,
    pub alive: bool,
    #[serde(with = "numbers")]
    pub resources_total: ResourceSet,
    #[serde(with = "numbers")]
    pub resources_available: ResourceSet,
}

/// Resources as JSON has them: units, not ten-thousandths.
mod numbers {
    use super::{Amount, BTreeMap, Deserialize, Deserializer, ResourceSet, Serializer};
    use serde::de::Error;

    pub(super) fn serialize<S: Serializer>(set: &ResourceSet, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(set.iter().map(|(name, amount)| (name, amount.to_f64())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ResourceSet, D::Error> {
        let mut set = ResourceSet::new();
        for (name, value) in BTreeMap::<String, f64>::deserialize(deserializer)? {
            let amount = Amount::from_f64(value);
            set.set(&name, amount.ok_or_else(|| D::Error::custom(format!("{value} of {name} is no amount")))?);
        }
        Ok(set)
    }
}

/// What is absent does not narrow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageQuery {
    pub user: Option<String>,
    pub job: Option<String>,
}

/// What one job of one user was given, over time: amounts in ten-thousandths (of a CPU, a GPU, a byte) times nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRow {
    pub user: String,
    pub submission_id: String,
    #[serde(with = "decimal")]
    pub cpu_amount_ns: u128,
    #[serde(with = "decimal")]
    pub gpu_amount_ns: u128,
    #[serde(with = "decimal")]
    pub memory_amount_ns: u128,
    /// Processor time that its processes really used.
    #[serde(with = "decimal")]
    pub cpu_used_ns: u128,
}

/// Whole numbers as text: JSON's readers keep 53 bits of a number.
mod decimal {
    use super::{Deserialize, Deserializer, Serializer};
    use serde::de::Error;

    pub(super) fn serialize<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionInfo {
    /// Of the job API.
    pub version: String,
    /// The release of Ray whose API this is.
    pub ray_version: String,
    pub ray_commit: String,
    pub session_name: String,
    pub iosdk_version: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_counts_from_the_newest() {
        let page = |limit, offset| JobQuery { limit, offset, status: None }.window(10);
        assert_eq!(page(None, 0), 0..10);
        assert_eq!(page(Some(3), 0), 7..10);
        assert_eq!(page(Some(3), 8), 0..2);
        assert_eq!(page(Some(0), 0), 10..10);
        assert_eq!(page(Some(3), u64::MAX), 0..0);
    }

    #[test]
    fn answers_can_be_read_back() {
        let row = UsageRow {
            user: "ann".into(),
            submission_id: "a".into(),
            cpu_amount_ns: u128::MAX,
            gpu_amount_ns: 0,
            memory_amount_ns: 1 << 100,
            cpu_used_ns: 7,
        };
        let text = serde_json::to_string(&row).unwrap();
        assert!(text.contains(r#""cpu_amount_ns":"340282366920938463463374607431768211455""#), "{text}");
        assert_eq!(serde_json::from_str::<UsageRow>(&text).unwrap(), row);
        let half = ResourceSet::new().with("CPU", Amount(5_000));
        let node = NodeInfo {
            node_id: "n".into(),
            address: "127.0.0.1".into(),
            is_head: true,
            alive: true,
            resources_total: half.clone(),
            resources_available: half,
        };
        let text = serde_json::to_string(&node).unwrap();
        assert!(text.contains(r#""resources_total":{"CPU":0.5}"#), "{text}");
        assert_eq!(serde_json::from_str::<NodeInfo>(&text).unwrap(), node);
    }
}
