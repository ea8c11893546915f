//! `iosdk job stop`.

use super::{info, is_over, outcome, without_values};
use crate::address::Address;
use crate::client::{Client, block_on, segment};
use crate::failure::{Done, Failure};
use crate::payload::Payload;
use crate::printing::{print, print_json};
use clap::Args;
use iosdk_http::{JobInfo, Stopped};
use std::time::Duration;
use tokio::time::Instant;

/// Stop a job
#[derive(Args)]
#[command(after_help = "\
Examples:
  iosdk job stop train-1              SIGTERM, three seconds later SIGKILL; returns when it is over
  iosdk job stop train-1 --force      SIGKILL at once
  iosdk job stop train-1 --no-wait")]
pub(crate) struct Stop {
    /// Submission id or job id
    id: String,
    /// Return when the order has been taken
    #[arg(long)]
    no_wait: bool,
    /// Kill it at once
    #[arg(long)]
    force: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    address: Address,
}

/// A job has three seconds to end by itself. The rest is for a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl Stop {
    pub(crate) fn run(self) -> Done {
        let client = self.address.client()?;
        let (stopped, job) = block_on(async {
            let stopped = order(&client, &self.id, self.force).await?;
            let job = if self.no_wait { info(&client, &self.id).await? } else { end_of(&client, &self.id).await? };
            Ok((stopped, job))
        })?;
        let text = match (stopped, is_over(&job)) {
            (false, _) => format!("{} before that", outcome(&job)),
            (true, true) => outcome(&job),
            (true, false) => format!("Job '{}' has been asked to end", self.id),
        };
        if self.json {
            print_json(&without_values(job))?
        } else {
            print(&(text + "\n"))?
        }
        Ok(0)
    }
}

/// False: it was over already.
pub(crate) async fn order(client: &Client, id: &str, force: bool) -> Result<bool, Failure> {
    let path = format!("/api/jobs/{}/stop?force={}", segment(id), u8::from(force));
    client.post::<Stopped>(&path, Payload::empty()).await.map(|answer| answer.stopped)
}

pub(crate) async fn end_of(client: &Client, id: &str) -> Result<JobInfo, Failure> {
    let began = Instant::now();
    loop {
        let job = info(client, id).await?;
        if is_over(&job) {
            return Ok(job);
        }
        if began.elapsed() >= PATIENCE {
            let seconds = PATIENCE.as_secs();
            let text = format!("job '{id}' has not ended within {seconds} s; `iosdk job stop {id} --force` kills it");
            return Err(Failure::Failed(text));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
