//! Tasks that ended: what the node's history says of them, as rows of the state API. It lies in the head's own data directory; a
//! page may take a tenth of a second, so a thread beside the head's reads it.

use crate::front::Front;
use crate::rows::{actor_id, job_id, task_id};
use iosdk_history::{Filter, Page, Reader, Summary, TaskRow};
use iosdk_http::{ApiError, Row, StatePage};
use iosdk_types::{Outcome, TaskId};
use serde_json::json;
use std::sync::PoisonError;

/// The state in which a live task can never be.
const FINISHED: &str = "FINISHED";
const FAILED: &str = "FAILED";

impl Front {
    async fn read_history<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Reader) -> Result<T, iosdk_history::Error> + Send + 'static,
    ) -> Result<T, ApiError> {
        let reader = self.history();
        let reading = tokio::task::spawn_blocking(move || {
            // A reader that panicked remembers no more than how long files are.
            read(&mut reader.lock().unwrap_or_else(PoisonError::into_inner))
        });
        let found = reading.await.map_err(|error| ApiError::internal(error.to_string()))?;
        found.map_err(|error| ApiError::internal(format!("the history of tasks that ended: {error}")))
    }

    /// The newest `limit` that may match; what the history cannot tell apart is left to the caller.
    pub(crate) async fn ended_tasks(&self, page: &StatePage, limit: usize) -> Result<Page, ApiError> {
        let Some(filter) = narrowed(page) else {
            return self.read_history(|reader| reader.page(&Filter::default(), None, 0)).await;
        };
        self.read_history(move |reader| reader.page(&filter, None, limit)).await
    }

    /// Its last attempt first.
    pub(crate) async fn ended_task(&self, task: TaskId) -> Result<Vec<TaskRow>, ApiError> {
        self.read_history(move |reader| reader.get(task)).await
    }

    pub(crate) async fn ended_summary(&self) -> Result<Summary, ApiError> {
        self.read_history(Reader::summary).await
    }
}

/// What of the filters the history knows; `None`: nothing that ended can match.
fn narrowed(page: &StatePage) -> Option<Filter> {
    let mut narrow = Filter::default();
    for filter in page.filters.iter().filter(|filter| filter.equal) {
        let value = &filter.value;
        match filter.key.as_str() {
            "name" => narrow.name = Some(value.clone()),
            "job_id" => narrow.job = Some(job_id(value)?),
            "actor_id" => narrow.actor = Some(actor_id(value)?),
            "task_id" => narrow.task = Some(task_id(value)?),
            "state" => {
                narrow.outcomes = Outcome::ALL.into_iter().filter(|outcome| state(*outcome) == value).collect();
                if narrow.outcomes.is_empty() {
                    return None;
                }
            }
            _ => {}
        }
    }
    Some(narrow)
}

pub(crate) fn state(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Finished => FINISHED,
        Outcome::Raised
        | Outcome::WorkerDied
        | Outcome::ActorDied
        | Outcome::Cancelled
        | Outcome::DependencyFailed
        | Outcome::Infeasible => FAILED,
    }
}

/// Ray's word for it, and ours.
fn error(outcome: Outcome) -> Option<(&'static str, &'static str)> {
    match outcome {
        Outcome::Finished => None,
        Outcome::Raised => Some(("TASK_EXECUTION_EXCEPTION", "it raised an exception")),
        Outcome::WorkerDied => Some(("WORKER_DIED", "the process that ran it died")),
        Outcome::ActorDied => Some(("ACTOR_DIED", "its actor died")),
        Outcome::Cancelled => Some(("TASK_CANCELLED", "it was cancelled")),
        Outcome::DependencyFailed => Some(("DEPENDENCY_RESOLUTION_FAILED", "a task whose value it needed failed")),
        Outcome::Infeasible => Some(("TASK_UNSCHEDULABLE_ERROR", "no node could ever run it")),
    }
}

fn millis(nanos: u64) -> u64 {
    nanos / 1_000_000
}

/// `node`: the id of the node with this number, if it is known here.
pub(crate) fn row(task: &TaskRow, node: impl FnOnce(u32) -> Option<String>) -> Row {
    let value = json!({
        "task_id": task.task.hex(),
        "attempt_number": task.attempt,
        "name": task.name,
        "type": task.kind.as_str(),
        "state": state(task.outcome),
        "job_id": task.job.hex(),
        "actor_id": task.actor.map(|actor| actor.hex()),
        "node_id": (task.pid != 0).then(|| node(task.node)).flatten(),
        // Process numbers are given again after a restart of the node, so the owner's pid is not known any more.
        "owner_pid": null,
        "worker_pid": (task.pid != 0).then_some(task.pid),
        "retries_left": null,
        "creation_time_ms": millis(task.submitted),
        "start_time_ms": task.started.map(millis),
        "end_time_ms": millis(task.ended),
        "error_type": error(task.outcome).map(|(word, _)| word),
        "error_message": error(task.outcome).map(|(_, text)| text),
    });
    crate::rows::row(value)
}

/// All attempts of one task, in sentences.
pub(crate) fn lines(attempts: &[TaskRow], now_ms: u64) -> Vec<String> {
    let line = |task: &TaskRow| {
        let name = task.name.as_deref().unwrap_or("a task whose name was lost");
        let ago = now_ms.saturating_sub(millis(task.ended)) as f64 / 1e3;
        let how = error(task.outcome).map_or("it finished", |(_, text)| text);
        let ran = match task.started {
            Some(started) => {
                let seconds = task.ended.saturating_sub(started) as f64 / 1e9;
                format!("after {seconds:.3} s in pid {}", task.pid)
            }
            None => "before it began".to_owned(),
        };
        format!("attempt {} of {name} ended {ago:.1} s ago, {ran}: {how}", task.attempt)
    };
    attempts.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use iosdk_http::StateKind;
    use iosdk_types::{ActorId, JobId, TaskKind};

    fn task(outcome: Outcome) -> TaskRow {
        let job = JobId::from_index(1);
        TaskRow {
            task: TaskId::derive([3; 8], ActorId::none(job)),
            attempt: 1,
            kind: TaskKind::Task,
            outcome,
            job,
            name: Some("train".to_owned()),
            actor: None,
            worker: 7,
            pid: 70,
            node: 3,
            owner: 5,
            submitted: 1_000_000_000,
            started: Some(2_000_000_000),
            ended: 4_500_000_000,
        }
    }

    fn page(filters: &[(&str, bool, &str)]) -> StatePage {
        let filter = |(key, equal, value): &(&str, bool, &str)| iosdk_http::Filter {
            key: (*key).to_owned(),
            equal: *equal,
            value: (*value).to_owned(),
        };
        StatePage { limit: 100, filters: filters.iter().map(filter).collect() }
    }

    #[test]
    fn a_row_has_the_columns_of_tasks_and_says_how_it_ended() {
        let found = row(&task(Outcome::WorkerDied), |node| Some(format!("node {node}")));
        let mut columns = StateKind::Tasks.columns().to_vec();
        columns.sort_unstable();
        let mut names: Vec<&str> = found.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, columns);
        assert_eq!((&found["state"], &found["error_type"]), (&json!("FAILED"), &json!("WORKER_DIED")));
        assert_eq!((&found["start_time_ms"], &found["end_time_ms"]), (&json!(2_000), &json!(4_500)));
        assert_eq!((&found["node_id"], &found["worker_pid"]), (&json!("node 3"), &json!(70)));
        assert_eq!(row(&task(Outcome::Finished), |_| None)["error_type"], json!(null));
        let said = lines(&[task(Outcome::Finished)], 6_500);
        assert_eq!(said, ["attempt 1 of train ended 2.0 s ago, after 2.500 s in pid 70: it finished"]);
    }

    #[test]
    fn the_history_is_asked_for_what_it_can_tell_apart() {
        let job = JobId::from_index(1);
        let narrow = narrowed(&page(&[("state", true, "FAILED"), ("job_id", true, &job.hex()), ("name", true, "f")]));
        let narrow = narrow.unwrap();
        assert_eq!((narrow.outcomes.len(), narrow.job, narrow.name.as_deref()), (6, Some(job), Some("f")));
        assert_eq!(narrowed(&page(&[("state", true, "RUNNING")])), None, "what ended does not run");
        assert_eq!(narrowed(&page(&[("task_id", true, "no id")])), None);
        let others = narrowed(&page(&[("state", false, "FINISHED"), ("worker_pid", true, "70")]));
        assert_eq!(others, Some(Filter::default()), "these are compared row by row");
    }
}
