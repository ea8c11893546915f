//! What the API asks of the head. The head's shell implements it; tests have a fake one.

use crate::ApiError;
use crate::state::{Explained, Listing, Row, StateKind, StatePage, Summary};
use crate::types::{ClusterInfo, JobInfo, JobQuery, LogFile, Submission, Submitted, UsageQuery, UsageRow};
use std::future::Future;
use std::path::PathBuf;

/// Implementations write these as `async fn`. An id is the submission id or the job id; one that names no job is
/// `ApiError::not_found`.
pub trait Head: Clone + Send + Sync + 'static {
    /// Answers once everything that was asked before has been taken: the head is alive.
    fn ping(&self) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// Answers once the job cannot be lost any more. A submission id that is taken is `ApiError::invalid`, as in Ray.
    fn submit(&self, job: Submission) -> impl Future<Output = Result<Submitted, ApiError>> + Send;

    /// In order of submission, the newest last; `JobQuery::window` says which of those that match.
    fn jobs(&self, page: JobQuery) -> impl Future<Output = Result<Vec<JobInfo>, ApiError>> + Send;

    fn job(&self, id: &str) -> impl Future<Output = Result<JobInfo, ApiError>> + Send;

    /// False when it was over already. `force` kills at once instead of asking first.
    fn stop(&self, id: &str, force: bool) -> impl Future<Output = Result<bool, ApiError>> + Send;

    /// Only jobs that are over can be deleted.
    fn delete(&self, id: &str) -> impl Future<Output = Result<bool, ApiError>> + Send;

    /// Asked again every 200 ms by each client that follows a quiet log.
    fn logs(&self, id: &str) -> impl Future<Output = Result<LogFile, ApiError>> + Send;

    fn cluster(&self) -> impl Future<Output = Result<ClusterInfo, ApiError>> + Send;

    fn usage(&self, query: UsageQuery) -> impl Future<Output = Result<Vec<UsageRow>, ApiError>> + Send;

    /// What is live of this kind, one row each, with the columns of the kind.
    fn state(&self, kind: StateKind, page: StatePage) -> impl Future<Output = Result<Listing, ApiError>> + Send;

    /// One row.
    fn state_of(&self, kind: StateKind, id: &str) -> impl Future<Output = Result<Row, ApiError>> + Send;

    /// Only for kinds that have a summary.
    fn summarize(&self, kind: StateKind) -> impl Future<Output = Result<Summary, ApiError>> + Send;

    /// Why a task, actor, object, job or worker is as it is.
    fn explain(&self, id: &str) -> impl Future<Output = Result<Explained, ApiError>> + Send;

    /// The directory of uploaded archives. It exists.
    fn packages(&self) -> PathBuf;

    fn session_name(&self) -> String;
}
