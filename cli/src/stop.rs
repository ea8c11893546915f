//! `iosdk stop`: ends the jobs that run, then the head.

use crate::client::{Client, block_on};
use crate::data_dir::DataDir;
use crate::failure::{Done, Failure, failed};
use crate::job::{name, stop as job_stop};
use crate::printing::{print, print_json};
use clap::Args;
use iosdk_http::{ClusterInfo, JobInfo};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, pidfd_send_signal};
use serde_json::json;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

/// Stop the head of this machine, and its jobs
#[derive(Args)]
#[command(after_help = "\
Examples:
  iosdk stop                          asks jobs that run to end, then the head
  iosdk stop --force                  kills them
  iosdk stop --data-dir ~/heads/test

Jobs that wait in the queue stay there: a head that is started again with the same data directory runs them.")]
pub(crate) struct Stop {
    /// Kill jobs at once, and the head too when it does not end within 5 seconds
    #[arg(long, short)]
    force: bool,
    /// [default: $IOSDK_DATA_DIR, then ~/.local/state/iosdk/head]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// For the head to write down what is left and to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// For a head that is to be killed to pass the order on to its jobs, and then to clean up.
const LAST_ORDERS: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Ended {
    stopped: Vec<String>,
    /// Left the queue while the others were ended.
    left: Vec<String>,
    queued: u64,
}

impl Stop {
    pub(crate) fn run(self) -> Done {
        let dir = DataDir::found(self.data_dir.as_deref())?;
        let shown = dir.path().display();
        let Some(node) = dir.node()? else {
            if dir.locked()? {
                return Err(Failure::Degraded(format!("the head in {shown} starts or ends just now: try again")));
            }
            return Err(Failure::NoHead(format!("no head runs in {shown}; --data-dir says where another one is")));
        };
        let gcs = dir.gcs()?;
        let ended = self.end_jobs(dir)?;
        signal(&node.process, Signal::TERM)?;
        if self.force && !wait(&node.process, LAST_ORDERS)? {
            // The node first: it would start another GCS.
            signal(&node.process, Signal::KILL)?;
            gcs.as_ref().map_or(Ok(()), |gcs| signal(&gcs.process, Signal::KILL))?;
        }
        for server in [Some(&node), gcs.as_ref()].into_iter().flatten() {
            if !wait(&server.process, PATIENCE)? {
                let (pid, seconds) = (server.pid, PATIENCE.as_secs());
                let text = format!("the head (process {pid}) has not ended within {seconds} s: iosdk stop --force");
                return Err(Failure::Failed(text));
            }
        }
        self.report(node.pid, &ended)
    }

    fn end_jobs(&self, dir: DataDir) -> Result<Ended, Failure> {
        let client = Client::local(dir);
        if !self.force {
            let advice = |failure: Failure| match failure {
                passing if passing.may_pass() => Failure::Degraded(format!("{passing}. `iosdk stop --force` kills it")),
                other => other,
            };
            return block_on(async { end_jobs(&client, false).await.map_err(advice) });
        }
        block_on(async {
            let ended = tokio::time::timeout(LAST_ORDERS, end_jobs(&client, true)).await;
            let why = match ended {
                Ok(Ok(ended)) => return Ok(ended),
                Ok(Err(failure)) => failure.to_string(),
                Err(_elapsed) => format!("the head has not done it within {} s", LAST_ORDERS.as_secs()),
            };
            eprintln!("iosdk: jobs that run could not be ended, and a head that is started again finds them: {why}");
            Ok(Ended::default())
        })
    }

    fn report(&self, pid: i32, ended: &Ended) -> Done {
        if self.json {
            let Ended { stopped, left, queued } = ended;
            print_json(&json!({"pid": pid, "jobs_stopped": stopped, "jobs_left": left, "jobs_queued": queued}))?;
            return Ok(0);
        }
        if !ended.left.is_empty() {
            let left = ended.left.join(", ");
            eprintln!("iosdk: left the queue meanwhile and may run until a head is started again: {left}");
        }
        let queued = match ended.queued {
            0 => String::new(),
            1 => "; 1 job waits for the next start".to_owned(),
            many => format!("; {many} jobs wait for the next start"),
        };
        print(&format!("The head (process {pid}) has ended{queued}\n"))?;
        Ok(0)
    }
}

async fn running(client: &Client) -> Result<Vec<JobInfo>, Failure> {
    client.get("/api/jobs/?status=RUNNING").await
}

async fn end_jobs(client: &Client, force: bool) -> Result<Ended, Failure> {
    let mut ended = Ended::default();
    // Drivers that joined the head end with it; a head knows how to stop those that it started.
    let own: Vec<JobInfo> = running(client).await?.into_iter().filter(|job| job.submission_id.is_some()).collect();
    for job in &own {
        eprintln!("iosdk: stopping job '{}'", name(job));
        job_stop::order(client, name(job), force).await?;
    }
    for job in &own {
        job_stop::end_of(client, name(job)).await?;
        ended.stopped.push(name(job).to_owned());
    }
    if !own.is_empty() {
        let left = running(client).await?;
        ended.left = left.iter().filter_map(|job| job.submission_id.clone()).collect();
    }
    ended.queued = client.get::<ClusterInfo>("/api/cluster").await?.jobs_queued;
    Ok(ended)
}

fn signal(process: &OwnedFd, signal: Signal) -> Result<(), Failure> {
    match pidfd_send_signal(process, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(failed("sending a signal to the head", error)),
    }
}

/// False when it still lives then.
fn wait(process: &OwnedFd, patience: Duration) -> Result<bool, Failure> {
    let time = Timespec { tv_sec: patience.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: 0 };
    loop {
        match poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&time)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(failed("waiting for the head's end", error)),
        }
    }
}
