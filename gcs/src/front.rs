//! What the HTTP API sees of the head: every call goes through the machine's one queue, and is answered once what it tells is
//! durable.

use crate::data::DataDir;
use crate::event::Event;
use crate::info;
use crate::journal::Stuck;
use crate::seat::now_ms;
use crate::stored::Stored;
use crate::submission::Judge;
use crate::usage;
use iosdk_gcs_core::{ApiCall, ApiError as Refusal, ApiReply, ClusterView, JobStatus, JobView};
use iosdk_history::Reader;
use iosdk_http::{
    ApiError, ClusterInfo, Explained, Head, JobInfo, JobQuery, Listing, LogFile, Row, StateKind, StatePage, Submission,
    Submitted, Summary, UsageQuery, UsageRow,
};
use nix::unistd::{Uid, User};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, oneshot};

/// So many of what was submitted are read at once: records of others are written between.
const READ_AT_ONCE: usize = 256;

#[derive(Clone)]
pub(crate) struct Front(Arc<Inside>);

struct Inside {
    events: mpsc::UnboundedSender<Event>,
    stuck: Stuck,
    data: Arc<DataDir>,
    judge: Judge,
    history: Arc<Mutex<Reader>>,
    /// Who this head belongs to, and so everybody who may ask.
    owner: String,
    session_name: String,
}

impl Front {
    pub(crate) fn new(events: mpsc::UnboundedSender<Event>, stuck: Stuck, data: Arc<DataDir>) -> io::Result<Self> {
        let judge = Judge::new(&data)?;
        let uid = Uid::current();
        let owner = User::from_uid(uid)?.map_or_else(|| uid.to_string(), |user| user.name);
        let session_name = format!("session_{}_{}", now_ms(), std::process::id());
        let history = Arc::new(Mutex::new(Reader::new(&data.history())));
        Ok(Self(Arc::new(Inside { events, stuck, data, judge, history, owner, session_name })))
    }

    /// Of tasks that ended. Reading takes its time: on a thread of its own.
    pub(crate) fn history(&self) -> Arc<Mutex<Reader>> {
        self.0.history.clone()
    }

    /// An answer, or that there is no room to write anything down, or that the head ends.
    pub(crate) async fn ask<T>(&self, event: impl FnOnce(oneshot::Sender<T>) -> Event) -> Result<T, ApiError> {
        let mut stuck = self.0.stuck.clone();
        if let Some(why) = stuck.borrow().as_ref() {
            return Err(no_room(why));
        }
        let (answer, answered) = oneshot::channel();
        self.0.events.send(event(answer)).map_err(|_| closed())?;
        tokio::select! {
            biased;
            answer = answered => answer.map_err(|_| closed()),
            Some(why) = async { stuck.wait_for(Option::is_some).await.ok().and_then(|why| why.clone()) } => {
                Err(no_room(&why))
            }
        }
    }

    pub(crate) async fn call(&self, call: ApiCall) -> Result<ApiReply, ApiError> {
        answered(self.ask(|answer| Event::Api { call, answer }).await?)
    }

    pub(crate) async fn find(&self, id: &str) -> Result<JobView, ApiError> {
        let refusal = match self.call(ApiCall::Job { id: id.to_owned() }).await {
            Ok(ApiReply::Job(view)) => return Ok(view),
            Ok(other) => return Err(unexpected(&other)),
            Err(refusal) => refusal,
        };
        // It may be the id of the driver's job, which is looked for among all.
        let driver = |view: &JobView| view.driver.is_some_and(|job| job.hex() == id);
        if refusal.status() != 404 || id.len() != 8 {
            return Err(refusal);
        }
        self.list(0, usize::MAX, None).await?.into_iter().find(driver).ok_or(refusal)
    }

    /// The newest first.
    async fn list(&self, offset: usize, limit: usize, status: Option<JobStatus>) -> Result<Vec<JobView>, ApiError> {
        match self.call(ApiCall::Jobs { offset, limit, status }).await? {
            ApiReply::Jobs(views, _) => Ok(views),
            other => Err(unexpected(&other)),
        }
    }

    pub(crate) async fn view_cluster(&self) -> Result<ClusterView, ApiError> {
        match self.call(ApiCall::Cluster).await? {
            ApiReply::Cluster(view) => Ok(view),
            other => Err(unexpected(&other)),
        }
    }

    async fn read(&self, views: &[JobView]) -> Result<Vec<Option<Stored>>, ApiError> {
        let mut found = Vec::with_capacity(views.len());
        for views in views.chunks(READ_AT_ONCE) {
            let numbers = views.iter().map(|view| view.number).collect();
            found.append(&mut self.ask(|answer| Event::Read { numbers, answer }).await?);
        }
        Ok(found)
    }

    /// A job that was deleted since it was listed is left out.
    pub(crate) async fn describe(&self, views: Vec<JobView>) -> Result<Vec<JobInfo>, ApiError> {
        let stored = self.read(&views).await?;
        let nodes = self.view_cluster().await?.nodes;
        let jobs = views.into_iter().zip(stored);
        Ok(jobs.filter_map(|(view, stored)| Some(info::job(view, stored?, &nodes))).collect())
    }

    async fn remove(&self, id: &str) -> Result<bool, ApiError> {
        let view = self.find(id).await?;
        let ApiReply::Deleted(deleted) = self.call(ApiCall::Delete { id: view.submission_id }).await? else {
            return Err(ApiError::internal("a delete was not answered with a delete"));
        };
        let directory = self.0.data.job(view.number);
        let removed = tokio::task::spawn_blocking(move || match std::fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(format!("{}: {error}", directory.display())),
            _ => Ok(()),
        });
        let removed = removed.await.map_err(|error| ApiError::internal(error.to_string()))?;
        removed.map_err(|why| ApiError::internal(format!("the job is deleted, its files are not: {why}")))?;
        Ok(deleted)
    }
}

impl Head for Front {
    async fn ping(&self) -> Result<(), ApiError> {
        let (answer, answered) = oneshot::channel();
        self.0.events.send(Event::Ping { answer }).map_err(|_| closed())?;
        answered.await.map_err(|_| closed())
    }

    async fn submit(&self, job: Submission) -> Result<Submitted, ApiError> {
        let (new, submitted) = self.0.judge.judge(job, &self.0.owner).await?;
        let (job, submitted) = (Box::new(new), Box::new(submitted));
        match answered(self.ask(|answer| Event::Submit { job, submitted, answer }).await?)? {
            // As in Ray, which has one id for both.
            ApiReply::Accepted { submission_id, .. } => Ok(Submitted { job_id: submission_id.clone(), submission_id }),
            other => Err(unexpected(&other)),
        }
    }

    async fn jobs(&self, page: JobQuery) -> Result<Vec<JobInfo>, ApiError> {
        let at_most = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let limit = page.limit.map_or(usize::MAX, at_most);
        let mut views = self.list(at_most(page.offset), limit, page.status.map(info::asked)).await?;
        views.reverse();
        self.describe(views).await
    }

    async fn job(&self, id: &str) -> Result<JobInfo, ApiError> {
        let view = self.find(id).await?;
        let number = view.number;
        let described = self.describe(vec![view]).await?.pop();
        described.ok_or_else(|| {
            ApiError::internal(format!(
                "what was submitted as job {number} cannot be read; the head's log says why, if it was not just deleted"
            ))
        })
    }

    async fn stop(&self, id: &str, force: bool) -> Result<bool, ApiError> {
        let (id, by) = (self.find(id).await?.submission_id, self.0.owner.clone());
        match self.call(ApiCall::Stop { id, force, by, now_ms: now_ms() }).await? {
            ApiReply::Stopped(stopped) => Ok(stopped),
            other => Err(unexpected(&other)),
        }
    }

    async fn delete(&self, id: &str) -> Result<bool, ApiError> {
        // To its end, also when the client goes away: files of a job that is no more would be in the way.
        let (front, id) = (self.clone(), id.to_owned());
        let removed = tokio::spawn(async move { front.remove(&id).await });
        removed.await.map_err(|error| ApiError::internal(error.to_string()))?
    }

    async fn logs(&self, id: &str) -> Result<LogFile, ApiError> {
        let view = self.find(id).await?;
        Ok(LogFile { path: self.0.data.job(view.number).join("output.log"), over: view.status.is_over() })
    }

    async fn cluster(&self) -> Result<ClusterInfo, ApiError> {
        self.view_cluster().await.map(info::cluster)
    }

    async fn usage(&self, query: UsageQuery) -> Result<Vec<UsageRow>, ApiError> {
        match self.call(ApiCall::Usage { tenant: None }).await? {
            ApiReply::Usage(lines) => Ok(usage::rows(lines, &self.0.owner, &query)),
            other => Err(unexpected(&other)),
        }
    }

    async fn state(&self, kind: StateKind, page: StatePage) -> Result<Listing, ApiError> {
        self.list_state(kind, page).await
    }

    async fn state_of(&self, kind: StateKind, id: &str) -> Result<Row, ApiError> {
        self.find_state(kind, id).await
    }

    async fn summarize(&self, kind: StateKind) -> Result<Summary, ApiError> {
        self.summarize_state(kind).await
    }

    async fn explain(&self, id: &str) -> Result<Explained, ApiError> {
        self.explain_state(id).await
    }

    fn packages(&self) -> PathBuf {
        self.0.data.packages()
    }

    fn session_name(&self) -> String {
        self.0.session_name.clone()
    }
}

fn answered(reply: ApiReply) -> Result<ApiReply, ApiError> {
    let ApiReply::Error(refusal) = reply else { return Ok(reply) };
    let text = refusal.to_string();
    Err(match refusal {
        Refusal::NoSuchJob { .. } => ApiError::not_found(text),
        Refusal::NotOver { .. } => ApiError::conflict(text),
        Refusal::DuplicateId { .. }
        | Refusal::Infeasible { .. }
        | Refusal::BadId { .. }
        | Refusal::BadAmount { .. } => ApiError::invalid(text),
        Refusal::DiskFull | Refusal::Closed => ApiError::unavailable(text),
    })
}

pub(crate) fn unexpected(reply: &ApiReply) -> ApiError {
    ApiError::internal(format!("the machine answered something else: {reply:?}"))
}

fn closed() -> ApiError {
    ApiError::unavailable(Refusal::Closed.to_string())
}

fn no_room(why: &str) -> ApiError {
    ApiError::unavailable(format!(
        "the head cannot write anything down now, so it acknowledges nothing ({why}); make room on its disk, then look what is \
         there: what was just sent may be taken then"
    ))
}
