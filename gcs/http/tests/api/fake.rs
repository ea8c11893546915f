//! A head that keeps jobs in memory. Nothing runs: tests write the logs and say how jobs end.

use iosdk_http::{
    ApiError, ClusterInfo, Explained, Head, JobInfo, JobQuery, JobStatus, JobType, Listing, LogFile, NodeInfo, Row,
    StateKind, StatePage, Submission, Submitted, Summary, SummaryLine, UsageQuery, UsageRow,
};
use iosdk_types::{Amount, ResourceSet};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// A directory of a test's own, removed at its end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("iosdk-test-{}-http-{n}", std::process::id()));
        std::fs::create_dir_all(dir.join("packages")).unwrap();
        Self(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) jobs: Vec<JobInfo>,
    /// As they were submitted, with their secrets.
    pub(crate) submissions: Vec<Submission>,
    pub(crate) forced: Vec<String>,
    /// It has stopped answering.
    pub(crate) stuck: bool,
}

#[derive(Clone)]
pub(crate) struct Fake {
    dir: PathBuf,
    state: Arc<Mutex<State>>,
}

impl Fake {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), state: Arc::default() }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn log(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}.log"))
    }

    pub(crate) fn end(&self, id: &str, status: JobStatus) {
        self.find(id, |job| job.status = status).unwrap();
    }

    pub(crate) fn add(&self, job: Submission) -> Submitted {
        let mut state = self.state();
        let job_id = format!("{:08x}", state.jobs.len() + 1);
        let submission_id = job.submission_id.clone().unwrap_or_else(|| format!("raysubmit_{job_id}"));
        let entry = JobInfo {
            kind: JobType::Submission,
            job_id: Some(job_id.clone()),
            submission_id: Some(submission_id.clone()),
            driver_info: None,
            status: JobStatus::Pending,
            entrypoint: job.entrypoint.clone(),
            message: Some("Job has not started yet.".into()),
            error_type: None,
            start_time: Some(1_700_000_000_000),
            end_time: None,
            metadata: job.metadata.clone(),
            runtime_env: job.runtime_env.clone(),
            driver_agent_http_address: None,
            driver_node_id: None,
            driver_exit_code: None,
            user: job.user.clone(),
            secret_env: job.secret_env.keys().cloned().collect(),
        };
        state.jobs.push(entry);
        state.submissions.push(job);
        Submitted { job_id, submission_id }
    }

    /// Three of each kind, with numbers and absent values among the columns.
    fn rows(kind: StateKind) -> Vec<Row> {
        let value = |column: &str, n: u32| match column {
            "attempt_number" => n.into(),
            "actor_id" if kind == StateKind::Tasks => serde_json::Value::Null,
            "is_head_node" => (n == 0).into(),
            _ => format!("{column}-{n}").into(),
        };
        let row = |n| kind.columns().iter().map(|column| ((*column).to_owned(), value(column, n))).collect();
        (0..3).map(row).collect()
    }

    fn find<T>(&self, id: &str, work: impl FnOnce(&mut JobInfo) -> T) -> Result<T, ApiError> {
        let mut state = self.state();
        let named = |job: &&mut JobInfo| [&job.job_id, &job.submission_id].into_iter().flatten().any(|own| own == id);
        let found = state.jobs.iter_mut().find(named);
        found.map(work).ok_or_else(|| ApiError::not_found(format!("Job {id} does not exist")))
    }
}

fn over(job: &JobInfo) -> bool {
    !matches!(job.status, JobStatus::Pending | JobStatus::Running)
}

impl Head for Fake {
    async fn ping(&self) -> Result<(), ApiError> {
        if self.state().stuck {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn submit(&self, job: Submission) -> Result<Submitted, ApiError> {
        if let Some(id) = &job.submission_id
            && self.find(id, |_| ()).is_ok()
        {
            return Err(ApiError::invalid(format!("Job with submission_id {id} already exists.")));
        }
        Ok(self.add(job))
    }

    async fn jobs(&self, page: JobQuery) -> Result<Vec<JobInfo>, ApiError> {
        let state = self.state();
        let matching = state.jobs.iter().filter(|job| page.status.is_none_or(|status| status == job.status));
        let matching: Vec<&JobInfo> = matching.collect();
        Ok(matching[page.window(matching.len())].iter().map(|job| (*job).clone()).collect())
    }

    async fn job(&self, id: &str) -> Result<JobInfo, ApiError> {
        self.find(id, |job| job.clone())
    }

    async fn stop(&self, id: &str, force: bool) -> Result<bool, ApiError> {
        let stopped = self.find(id, |job| {
            let stopped = !over(job);
            if stopped {
                job.status = JobStatus::Stopped;
            }
            stopped
        })?;
        if force {
            self.state().forced.push(id.to_owned());
        }
        Ok(stopped)
    }

    async fn delete(&self, id: &str) -> Result<bool, ApiError> {
        if !self.find(id, |job| over(job))? {
            return Err(ApiError::invalid(format!("job {id} is not over: stop it first")));
        }
        self.state().jobs.retain(|job| job.submission_id.as_deref() != Some(id));
        Ok(true)
    }

    async fn logs(&self, id: &str) -> Result<LogFile, ApiError> {
        let (id, over) = self.find(id, |job| (job.submission_id.clone().unwrap(), over(job)))?;
        Ok(LogFile { path: self.log(&id), over })
    }

    async fn cluster(&self) -> Result<ClusterInfo, ApiError> {
        let node = NodeInfo {
            node_id: "a1".into(),
            address: "127.0.0.1".into(),
            is_head: true,
            alive: true,
            resources_total: ResourceSet::new().with("CPU", Amount::units(2)).with("od\"d", Amount::ONE),
            resources_available: ResourceSet::new().with("CPU", Amount(15_000)),
        };
        let count = |status| self.state().jobs.iter().filter(|job| job.status == status).count() as u64;
        let (jobs_queued, jobs_running) = (count(JobStatus::Pending), count(JobStatus::Running));
        Ok(ClusterInfo { nodes: vec![node], jobs_queued, jobs_running })
    }

    async fn usage(&self, query: UsageQuery) -> Result<Vec<UsageRow>, ApiError> {
        let state = self.state();
        let users: BTreeMap<String, String> = state
            .jobs
            .iter()
            .map(|job| (job.submission_id.clone().unwrap(), job.user.clone().unwrap_or_default()))
            .collect();
        let row = |(submission_id, user): (String, String)| UsageRow {
            user,
            submission_id,
            cpu_amount_ns: 1 << 90,
            gpu_amount_ns: 0,
            memory_amount_ns: 3,
            cpu_used_ns: 4,
        };
        let asked = |row: &UsageRow| {
            query.user.as_ref().is_none_or(|user| *user == row.user)
                && query.job.as_ref().is_none_or(|job| *job == row.submission_id)
        };
        Ok(users.into_iter().map(row).filter(asked).collect())
    }

    async fn state(&self, kind: StateKind, page: StatePage) -> Result<Listing, ApiError> {
        let rows = Self::rows(kind);
        let (total, warning) = (rows.len() as u64, "somebody did not answer".to_owned());
        let mut rows: Vec<Row> =
            rows.into_iter().filter(|row| page.filters.iter().all(|filter| filter.matches(row))).collect();
        let matching = rows.len() as u64;
        rows.truncate(page.limit);
        Ok(Listing { total, collected: total, matching, rows, warning })
    }

    async fn state_of(&self, kind: StateKind, id: &str) -> Result<Row, ApiError> {
        let named = |row: &Row| row[kind.columns()[0]] == id;
        Self::rows(kind).into_iter().find(named).ok_or_else(|| ApiError::not_found(format!("nothing is called {id}")))
    }

    async fn summarize(&self, kind: StateKind) -> Result<Summary, ApiError> {
        let total = if kind == StateKind::Tasks { "total_tasks" } else { "total_actors" };
        let line = |kind: &str| SummaryLine {
            func_or_class_name: "f".to_owned(),
            kind: kind.to_owned(),
            state_counts: BTreeMap::from([("RUNNING".to_owned(), 2)]),
        };
        let lines = vec![line("ACTOR_CREATION_TASK"), line("NORMAL_TASK")];
        Ok(Summary { lines, totals: BTreeMap::from([(total, 4)]), warning: String::new() })
    }

    async fn explain(&self, id: &str) -> Result<Explained, ApiError> {
        let lines = vec!["because".to_owned()];
        match id {
            "cut-off" => Err(ApiError::unavailable("no node is connected")),
            _ => Ok(Explained { id: id.to_owned(), kind: "task", state: "RUNNING".to_owned(), lines }),
        }
    }

    fn packages(&self) -> PathBuf {
        self.dir.join("packages")
    }

    fn session_name(&self) -> String {
        "session_7_0".into()
    }
}
