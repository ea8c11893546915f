//! Submitted jobs: what a node needs to run one, and what it says about how it ended.

use crate::Exit;
use serde::{Deserialize, Serialize};

/// What a supervisor runs. Values of the environment that are secret are not here: they lie in a file of their own.
/// Paths that are not absolute start at the job's directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// The name people know it under.
    pub submission_id: String,
    /// One line for `sh -c`.
    pub entrypoint: String,
    /// Set in the entrypoint's environment, beside what the supervisor sets itself.
    pub env: Vec<(String, String)>,
    /// A file of mode 0600 that holds a JSON object, NAME -> value: set in the environment too, and written nowhere else.
    #[serde(default)]
    pub secrets_file: Option<String>,
    /// Archive (zip) to unpack into the working directory; none: an empty directory.
    pub working_dir: Option<String>,
    /// Bytes of output that are kept.
    pub log_limit: u64,
}

/// How a job's entrypoint ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobReport {
    pub exit: Exit,
    pub cause: JobCause,
    /// Wall clock, milliseconds since 1970; 0: the entrypoint did not begin, or nobody is left who saw it.
    pub started_ms: u64,
    /// When everything it started was gone too, or when its supervisor was found dead.
    pub ended_ms: u64,
    /// Processor time of the entrypoint and everything it started that it waited for.
    pub cpu_ns: u64,
    /// Bytes of output that were kept.
    pub log_bytes: u64,
    /// Bytes of output past the limit.
    pub log_dropped: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobCause {
    /// It ended by itself.
    Own,
    /// Somebody asked for it.
    Stopped,
    /// Nobody is left who could say: the supervisor was killed, or the machine restarted.
    SupervisorDied,
    /// Before the entrypoint began: which step, and why.
    CannotStart(String),
    /// Its node was lost and did not come back in time. Only the GCS says so.
    NodeLost,
}

impl JobReport {
    /// For who has seen no more of it than that it is over.
    pub fn unseen(cause: JobCause, started_ms: u64, ended_ms: u64) -> Self {
        Self { exit: Exit::Unknown, cause, started_ms, ended_ms, cpu_ns: 0, log_bytes: 0, log_dropped: 0 }
    }
}
