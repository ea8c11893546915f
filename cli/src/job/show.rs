//! `iosdk job status`: one job.

use super::{info, name, outcome, without_values};
use crate::address::Address;
use crate::client::block_on;
use crate::failure::Done;
use crate::printing::{Screen, duration, moment, print, print_json, status_name};
use clap::Args;
use iosdk_http::JobInfo;

/// Show one job
#[derive(Args)]
#[command(after_help = "\
Examples:
  iosdk job status train-1
  iosdk job status train-1 --json | jq -r .status")]
pub(crate) struct Show {
    /// Submission id or job id
    id: String,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    address: Address,
}

impl Show {
    pub(crate) fn run(self) -> Done {
        let client = self.address.client()?;
        let job = without_values(block_on(info(&client, &self.id))?);
        if self.json {
            print_json(&job)?;
        } else {
            print(&Screen::stdout().facts(&facts(&job)))?;
        }
        Ok(0)
    }
}

fn facts(job: &JobInfo) -> Vec<(&'static str, String)> {
    let took = job.end_time.zip(job.start_time).map(|(end, start)| duration(end.saturating_sub(start)));
    let pairs = |pairs: Vec<String>| (!pairs.is_empty()).then(|| pairs.join(", "));
    let metadata = pairs(job.metadata.iter().map(|(key, value)| format!("{key}={value}")).collect());
    let environment =
        (!job.runtime_env.is_empty()).then(|| serde_json::Value::from(job.runtime_env.clone()).to_string());
    let all = [
        ("job", Some(name(job).to_owned())),
        ("job id", job.job_id.clone()),
        ("status", Some(status_name(job.status).to_owned())),
        ("message", Some(job.message.clone().unwrap_or_else(|| outcome(job)))),
        ("error", job.error_type.clone()),
        ("exit code", job.driver_exit_code.map(|code| code.to_string())),
        ("started", job.start_time.map(moment)),
        ("ended", job.end_time.map(moment)),
        ("took", took),
        ("user", job.user.clone()),
        ("node", job.driver_node_id.clone()),
        ("process", job.driver_info.as_ref().map(|driver| driver.pid.clone())),
        ("metadata", metadata),
        ("runtime env", environment),
        ("secrets", pairs(job.secret_env.iter().map(|name| format!("{name}=***")).collect())),
        ("command", Some(job.entrypoint.clone())),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}
