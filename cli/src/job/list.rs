//! `iosdk job list`.

use super::{name, without_values};
use crate::address::Address;
use crate::client::block_on;
use crate::failure::Done;
use crate::printing::{Cell, Screen, duration, moment, print, print_json, status_cell, status_name};
use clap::{Args, ValueEnum};
use iosdk_http::{JobInfo, JobStatus};

/// List jobs, the newest last
#[derive(Args)]
#[command(after_help = "\
Examples:
  iosdk job list
  iosdk job list --status running
  iosdk job list --limit 1000 --json | jq -r '.[].submission_id'
  iosdk job list --status failed | cut -f1      in a pipe: columns with tabs between them, no header")]
pub(crate) struct List {
    #[arg(long, value_name = "STATUS", ignore_case = true)]
    status: Option<Kind>,
    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    address: Address,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Pending,
    Running,
    Stopped,
    Succeeded,
    Failed,
}

impl List {
    pub(crate) fn run(self) -> Done {
        let mut path = format!("/api/jobs/?limit={}", self.limit);
        if let Some(kind) = self.status {
            path += &format!("&status={}", status_name(kind.status()));
        }
        let client = self.address.client()?;
        let jobs: Vec<JobInfo> = block_on(client.get(&path))?;
        if self.json {
            print_json(&jobs.into_iter().map(without_values).collect::<Vec<JobInfo>>())?;
            return Ok(0);
        }
        if jobs.is_empty() {
            eprintln!("iosdk: no such jobs. `iosdk job submit -- COMMAND` submits one");
        } else {
            let header = ["ID", "STATUS", "STARTED", "TOOK", "EXIT", "USER", "COMMAND"];
            print(&Screen::stdout().table(header, jobs.iter().map(row).collect()))?;
        }
        Ok(0)
    }
}

impl Kind {
    fn status(self) -> JobStatus {
        match self {
            Self::Pending => JobStatus::Pending,
            Self::Running => JobStatus::Running,
            Self::Stopped => JobStatus::Stopped,
            Self::Succeeded => JobStatus::Succeeded,
            Self::Failed => JobStatus::Failed,
        }
    }
}

fn row(job: &JobInfo) -> [Cell; 7] {
    let took = job.end_time.zip(job.start_time).map(|(end, start)| duration(end.saturating_sub(start)));
    let or_dash = |text: Option<String>| -> Cell { text.unwrap_or_else(|| "-".to_owned()).into() };
    [
        name(job).into(),
        status_cell(job.status),
        or_dash(job.start_time.map(moment)),
        or_dash(took),
        or_dash(job.driver_exit_code.map(|code| code.to_string())),
        or_dash(job.user.clone()),
        job.entrypoint.as_str().into(),
    ]
}
