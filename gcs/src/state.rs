//! The state API's questions: what the machine knows is asked of it, the rest of the nodes; filters, limits and totals are applied
//! here, where all rows are.

use crate::collect::Collected;
use crate::ended;
use crate::event::Event;
use crate::front::{Front, unexpected};
use crate::rows::{self, Table, actor_id, object_id, task_id};
use crate::seat::now_ms;
use iosdk_gcs_core::{ActorView, ApiCall, ApiReply, DriverView, JobView};
use iosdk_http::{ApiError, Explained, Listing, Row, StateKind, StatePage, Summary, SummaryLine};
use iosdk_types::state::{ROWS_MAX, StateRows, Subject};
use iosdk_types::{Outcome, StateQuery, TaskId, TaskKind};
use std::collections::{BTreeMap, BTreeSet};

impl Front {
    /// What came in time from the nodes; refused when nobody can say anything.
    async fn collect(&self, query: StateQuery, limit: u32) -> Result<Collected, ApiError> {
        let collected = self.ask(|answer| Event::Collect { query, limit, answer }).await?;
        if collected.refused {
            return Err(ApiError::unavailable(
                "too many questions about the state are under way; ask again in a moment",
            ));
        }
        if collected.reports.is_empty() {
            return Err(ApiError::unavailable(match &collected.missing[..] {
                [] => "no node is connected to this head, so nobody can say what is live".to_owned(),
                missing => format!("no node answered in time (asked: {missing:?}); ask again"),
            }));
        }
        Ok(collected)
    }

    async fn view_actors(
        &self,
        only: Option<iosdk_types::ActorId>,
        limit: usize,
    ) -> Result<(Vec<ActorView>, usize), ApiError> {
        match self.call(ApiCall::Actors { only, limit }).await? {
            ApiReply::Actors(views, total) => Ok((views, total)),
            other => Err(unexpected(&other)),
        }
    }

    /// Those of no submitted job that was listed.
    async fn other_drivers(&self, listed: &[Row]) -> Result<Vec<DriverView>, ApiError> {
        let drivers = match self.call(ApiCall::Drivers).await? {
            ApiReply::Drivers(drivers) => drivers,
            other => return Err(unexpected(&other)),
        };
        let listed: Vec<&str> = listed.iter().filter_map(|row| row.get("job_id")?.as_str()).collect();
        Ok(drivers.into_iter().filter(|driver| !listed.contains(&driver.job.hex().as_str())).collect())
    }

    /// The newest first; drivers that nobody submitted before them.
    async fn job_rows(&self, limit: usize) -> Result<(Vec<Row>, u64), ApiError> {
        let (views, total): (Vec<JobView>, usize) =
            match self.call(ApiCall::Jobs { offset: 0, limit, status: None }).await? {
                ApiReply::Jobs(views, total) => (views, total),
                other => return Err(unexpected(&other)),
            };
        let submitted: Vec<Row> = self.describe(views).await?.iter().map(rows::job).collect();
        let mut all: Vec<Row> = self.other_drivers(&submitted).await?.iter().map(rows::driver).collect();
        let total = (total + all.len()) as u64;
        all.extend(submitted);
        Ok((all, total))
    }

    pub(crate) async fn list_state(&self, kind: StateKind, page: StatePage) -> Result<Listing, ApiError> {
        // Whether a row matches is only seen here, so none may be left out before.
        let limit = if page.filters.is_empty() { page.limit as u32 } else { ROWS_MAX };
        match kind {
            StateKind::Nodes => {
                let rows = rows::nodes(&self.view_cluster().await?);
                let total = rows.len() as u64;
                Ok(listing(rows, total, &page, String::new()))
            }
            StateKind::Jobs => {
                let (rows, total) = self.job_rows(limit as usize).await?;
                Ok(listing(rows, total, &page, String::new()))
            }
            StateKind::Workers => {
                let collected = self.collect(StateQuery::Workers, limit).await?;
                let rows = Table::new(&collected, &self.view_cluster().await?).workers();
                let total = rows.len() as u64;
                Ok(listing(rows, total, &page, warning(&collected)))
            }
            StateKind::Actors => {
                let (actors, total) = self.view_actors(None, limit as usize).await?;
                let collected = self.collect(StateQuery::Workers, limit).await?;
                let cluster = self.view_cluster().await?;
                let table = Table::new(&collected, &cluster);
                let rows = actors.iter().map(|actor| table.actor(actor)).collect();
                Ok(listing(rows, total as u64, &page, warning(&collected)))
            }
            StateKind::Tasks => self.list_tasks(&page, limit).await,
            StateKind::Objects => {
                let collected = self.collect(StateQuery::Objects { only: None }, limit).await?;
                let cluster = self.view_cluster().await?;
                let table = Table::new(&collected, &cluster);
                Ok(listing(table.objects(), table.total(), &page, warning(&collected)))
            }
        }
    }

    /// Those that live, then those that ended, the last one first.
    async fn list_tasks(&self, page: &StatePage, limit: u32) -> Result<Listing, ApiError> {
        // In this order: what ends meanwhile is in both rather than in neither.
        let collected = self.collect(StateQuery::Tasks { only: None }, limit).await?;
        let ended = self.ended_tasks(page, limit as usize).await?;
        let cluster = self.view_cluster().await?;
        let table = Table::new(&collected, &cluster);
        let over: BTreeSet<(String, u32)> = ended.rows.iter().map(|row| (row.task.hex(), row.attempt)).collect();
        let mut rows = table.tasks();
        rows.retain(|row| !over.contains(&attempt_of(row)));
        let live = rows.len() as u64;
        // What the history itself compared and left out was looked at too.
        let compared = if ended.next.is_none() { ended.total } else { ended.scanned };
        rows.extend(ended.rows.iter().map(|task| ended::row(task, |node| table.node(node))));
        let mut listing = listing(rows, table.total() + ended.total, page, warning(&collected));
        listing.collected = live + compared;
        Ok(listing)
    }

    pub(crate) async fn find_state(&self, kind: StateKind, id: &str) -> Result<Row, ApiError> {
        let column = kind.columns()[0];
        let found = match kind {
            StateKind::Nodes => rows::nodes(&self.view_cluster().await?),
            StateKind::Workers => {
                let collected = self.collect(StateQuery::Workers, ROWS_MAX).await?;
                Table::new(&collected, &self.view_cluster().await?).workers()
            }
            StateKind::Jobs => return self.find_job(id).await,
            StateKind::Actors => {
                let actor = actor_id(id).ok_or_else(|| malformed(id, "an actor", 32))?;
                let (actors, _) = self.view_actors(Some(actor), 1).await?;
                let collected = self.collect(StateQuery::Workers, ROWS_MAX).await?;
                let cluster = self.view_cluster().await?;
                let table = Table::new(&collected, &cluster);
                actors.iter().map(|actor| table.actor(actor)).collect()
            }
            StateKind::Tasks => {
                let task = task_id(id).ok_or_else(|| malformed(id, "a task", 48))?;
                let only = Some(task);
                let collected = self.collect(StateQuery::Tasks { only }, ROWS_MAX).await?;
                let ended = self.ended_task(task).await?;
                let cluster = self.view_cluster().await?;
                let table = Table::new(&collected, &cluster);
                let mut found = table.tasks();
                found.extend(ended.iter().map(|task| ended::row(task, |node| table.node(node))));
                found
            }
            StateKind::Objects => {
                let only = Some(object_id(id).ok_or_else(|| malformed(id, "an object", 56))?);
                let collected = self.collect(StateQuery::Objects { only }, ROWS_MAX).await?;
                let mut found = Table::new(&collected, &self.view_cluster().await?).objects();
                // Its owner knows it best.
                found.sort_by_key(|row| row.get("pid") != row.get("owner_pid"));
                found
            }
        };
        let named = |row: &Row| row.get(column).and_then(|known| known.as_str()) == Some(id);
        found.into_iter().find(named).ok_or_else(|| unknown(id))
    }

    async fn find_job(&self, id: &str) -> Result<Row, ApiError> {
        match self.find(id).await {
            Ok(view) => {
                let described = self.describe(vec![view]).await?;
                described.first().map(rows::job).ok_or_else(|| unknown(id))
            }
            Err(refusal) if refusal.status() == 404 => {
                let drivers = self.other_drivers(&[]).await?;
                drivers.iter().find(|driver| driver.job.hex() == id).map(rows::driver).ok_or(refusal)
            }
            Err(refusal) => Err(refusal),
        }
    }

    pub(crate) async fn summarize_state(&self, kind: StateKind) -> Result<Summary, ApiError> {
        let (query, total) = match kind {
            StateKind::Actors => return self.summarize_actors().await,
            StateKind::Tasks => (StateQuery::CountTasks, "total_tasks"),
            StateKind::Objects => (StateQuery::CountObjects, "total_objects"),
            StateKind::Nodes | StateKind::Workers | StateKind::Jobs => {
                return Err(ApiError::not_found("there are summaries of tasks, actors and objects alone"));
            }
        };
        let collected = self.collect(query, ROWS_MAX).await?;
        let mut lines = Lines::default();
        let mut totals = BTreeMap::from([(total, 0)]);
        for part in collected.reports.values().flat_map(|report| &report.parts) {
            let StateRows::Counts(counts) = &part.rows else { continue };
            for count in counts {
                let total = if count.kind == "ACTOR_TASK" { "total_actor_tasks" } else { total };
                *totals.entry(total).or_default() += count.count;
                lines.add(&count.name, &count.kind, &count.state, count.count);
            }
        }
        if kind == StateKind::Tasks {
            totals.entry("total_actor_tasks").or_default();
            let history = self.ended_summary().await?;
            for ((name, kind), counts) in &history.by_name {
                for outcome in Outcome::ALL.into_iter().filter(|outcome| counts.count(*outcome) > 0) {
                    let total = if *kind == TaskKind::ActorCall { "total_actor_tasks" } else { total };
                    *totals.entry(total).or_default() += counts.count(outcome);
                    lines.add(name, kind.as_str(), ended::state(outcome), counts.count(outcome));
                }
            }
        }
        Ok(Summary { lines: lines.into_lines(), totals, warning: warning(&collected) })
    }

    async fn summarize_actors(&self) -> Result<Summary, ApiError> {
        let (actors, total) = self.view_actors(None, usize::MAX).await?;
        let mut lines = Lines::default();
        for actor in &actors {
            lines.add(&actor.class_name, "ACTOR", rows::actor_state(&actor.at), 1);
        }
        let totals = BTreeMap::from([("total_actors", total as u64)]);
        Ok(Summary { lines: lines.into_lines(), totals, warning: String::new() })
    }

    /// The width of an id says what it is of.
    pub(crate) async fn explain_state(&self, id: &str) -> Result<Explained, ApiError> {
        if let Some(task) = task_id(id) {
            return match self.explain_by_processes(id, "task", Subject::Task(task)).await {
                Err(refusal) if refusal.status() == 404 => self.explain_ended(id, task, refusal).await,
                explained => explained,
            };
        }
        if let Some(actor) = actor_id(id) {
            return self.explain_actor(id, actor).await;
        }
        // Ids of objects and of workers are equally wide.
        if let Some(object) = object_id(id) {
            return match self.explain_by_processes(id, "object", Subject::Object(object)).await {
                Err(refusal) if refusal.status() == 404 => self.explain_worker(id).await,
                explained => explained,
            };
        }
        self.explain_job(id).await
    }

    async fn explain_by_processes(
        &self,
        id: &str,
        kind: &'static str,
        subject: Subject,
    ) -> Result<Explained, ApiError> {
        let collected = self.collect(StateQuery::Explain(subject), ROWS_MAX).await?;
        let mut explained = Explained { id: id.to_owned(), kind, state: String::new(), lines: Vec::new() };
        let parts = collected.reports.values().flat_map(|report| &report.parts);
        for part in parts {
            let StateRows::Explained(found) = &part.rows else { continue };
            for found in found {
                // Who owns it comes first.
                if found.state.is_empty() {
                    explained.lines.extend(found.lines.iter().cloned());
                } else {
                    explained.state.clone_from(&found.state);
                    explained.lines.splice(0..0, found.lines.iter().cloned());
                }
            }
        }
        if explained.lines.is_empty() {
            return Err(unknown(id));
        }
        if explained.state == "PENDING_NODE_ASSIGNMENT" {
            explained.lines.extend(collected.reports.values().flat_map(|report| report.lines.iter().cloned()));
        }
        explained.lines.extend(Some(warning(&collected)).filter(|warning| !warning.is_empty()));
        Ok(explained)
    }

    async fn explain_ended(&self, id: &str, task: TaskId, otherwise: ApiError) -> Result<Explained, ApiError> {
        let attempts = self.ended_task(task).await?;
        let last = attempts.first().ok_or(otherwise)?;
        let (state, lines) = (ended::state(last.outcome).to_owned(), ended::lines(&attempts, now_ms()));
        Ok(Explained { id: id.to_owned(), kind: "task", state, lines })
    }

    async fn explain_actor(&self, id: &str, actor: iosdk_types::ActorId) -> Result<Explained, ApiError> {
        let (actors, _) = self.view_actors(Some(actor), 1).await?;
        let actor_view = actors.first().ok_or_else(|| unknown(id))?;
        let collected = self.collect(StateQuery::Explain(Subject::Actor(actor)), ROWS_MAX).await?;
        let cluster = self.view_cluster().await?;
        let mut lines = Table::new(&collected, &cluster).actor_lines(actor_view);
        for report in collected.reports.values() {
            for part in &report.parts {
                if let StateRows::Explained(found) = &part.rows {
                    lines.extend(found.iter().flat_map(|found| found.lines.iter().cloned()));
                }
            }
        }
        let state = rows::actor_state(&actor_view.at);
        if state == "PENDING_CREATION" {
            lines.extend(collected.reports.values().flat_map(|report| report.lines.iter().cloned()));
        }
        lines.extend(Some(warning(&collected)).filter(|warning| !warning.is_empty()));
        Ok(Explained { id: id.to_owned(), kind: "actor", state: state.to_owned(), lines })
    }

    async fn explain_worker(&self, id: &str) -> Result<Explained, ApiError> {
        let worker = self.find_state(StateKind::Workers, id).await?;
        let text = |column: &str| match worker.get(column) {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(serde_json::Value::Null) | None => "nothing known".to_owned(),
            Some(other) => other.to_string(),
        };
        let held = text("resources");
        let mut lines = vec![
            format!("it is the process with pid {}, of job {}", text("pid"), text("job_id")),
            if held == "{}" { "it holds no resources".to_owned() } else { format!("it holds {held}") },
        ];
        if worker.get("actor_id").is_some_and(|actor| !actor.is_null()) {
            lines.push(format!("it is the process of actor {}", text("actor_id")));
        }
        if text("state") == "BLOCKED" {
            lines.push("the call it executes waits for others; what it holds of CPU is lent to them".to_owned());
        }
        Ok(Explained { id: id.to_owned(), kind: "worker", state: text("state"), lines })
    }

    async fn explain_job(&self, id: &str) -> Result<Explained, ApiError> {
        let job = self.find_job(id).await?;
        let text = |column: &str| job.get(column).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        Ok(Explained { id: id.to_owned(), kind: "job", state: text("status"), lines: vec![text("message")] })
    }
}

/// Counts by name and type.
#[derive(Default)]
struct Lines(BTreeMap<(String, String), BTreeMap<String, u64>>);

impl Lines {
    fn add(&mut self, name: &str, kind: &str, state: &str, count: u64) {
        let counts = self.0.entry((name.to_owned(), kind.to_owned())).or_default();
        *counts.entry(state.to_owned()).or_default() += count;
    }

    fn into_lines(self) -> Vec<SummaryLine> {
        let lines = self.0.into_iter();
        lines
            .map(|((func_or_class_name, kind), state_counts)| SummaryLine { func_or_class_name, kind, state_counts })
            .collect()
    }
}

fn listing(mut rows: Vec<Row>, total: u64, page: &StatePage, warning: String) -> Listing {
    let collected = rows.len() as u64;
    rows.retain(|row| page.filters.iter().all(|filter| filter.matches(row)));
    let matching = rows.len() as u64;
    rows.truncate(page.limit);
    Listing { total, collected, matching, rows, warning }
}

/// One attempt of a task has one row.
fn attempt_of(row: &Row) -> (String, u32) {
    let task = row.get("task_id").and_then(|id| id.as_str()).unwrap_or_default();
    let attempt = row.get("attempt_number").and_then(serde_json::Value::as_u64).unwrap_or_default();
    (task.to_owned(), attempt as u32)
}

/// Who should have answered and did not; empty when all have.
fn warning(collected: &Collected) -> String {
    let pids: Vec<String> =
        collected.reports.values().flat_map(|report| &report.missing).map(ToString::to_string).collect();
    let mut texts = Vec::new();
    if !pids.is_empty() {
        texts.push(format!(
            "these processes did not answer in time, so what they know is missing: pid {}",
            pids.join(", ")
        ));
    }
    if !collected.missing.is_empty() {
        texts
            .push(format!("these nodes did not answer in time, so what they know is missing: {:?}", collected.missing));
    }
    texts.join("; ")
}

fn unknown(id: &str) -> ApiError {
    ApiError::not_found(format!("nothing here has the id {id}; it may be gone for long, or the id is of another kind"))
}

fn malformed(id: &str, what: &str, digits: usize) -> ApiError {
    ApiError::not_found(format!("the id of {what} is {digits} hexadecimal digits, got {id:?}"))
}
