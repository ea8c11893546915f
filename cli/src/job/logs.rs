//! `iosdk job logs`, and `iosdk logs`, which is the same.

use super::follow::{Followed, follow};
use super::{exit_code, outcome, without_values};
use crate::address::Address;
use crate::client::{block_on, broken, segment};
use crate::failure::{Done, Failure, INTERRUPTED};
use crate::printing::{print_bytes, print_json};
use clap::Args;
use http_body_util::BodyExt;
use serde::Deserialize;

/// Print what a job has printed
#[derive(Args)]
#[command(after_help = "\
Examples:
  iosdk job logs train-1              what there is
  iosdk job logs -f train-1           until the job is over; exits as the job does
  iosdk logs train-1 | tail -100")]
pub(crate) struct Logs {
    /// Submission id or job id
    id: String,
    /// Go on until the job is over; Ctrl-C leaves the job alone
    #[arg(short, long)]
    follow: bool,
    /// {"logs": TEXT}; with --follow, the job itself in the end, and the log on stderr
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    address: Address,
}

#[derive(Deserialize, serde::Serialize)]
struct Whole {
    logs: String,
}

impl Logs {
    pub(crate) fn run(self) -> Done {
        let client = self.address.client()?;
        if self.follow {
            return match block_on(follow(&client, &self.id, self.json, &self.address.again()))? {
                Followed::Left => Ok(INTERRUPTED),
                Followed::Over { job, .. } if self.json => {
                    let code = exit_code(&job);
                    print_json(&without_values(*job))?;
                    Ok(code)
                }
                Followed::Over { job, .. } => {
                    // stdout has the log and nothing else.
                    eprintln!("{}", outcome(&job));
                    Ok(exit_code(&job))
                }
            };
        }
        let path = format!("/api/jobs/{}/logs", segment(&self.id));
        if self.json {
            print_json(&block_on(client.get::<Whole>(&path))?)?;
            return Ok(0);
        }
        block_on(async {
            let mut body = client.stream(&format!("{path}/raw")).await?.into_body();
            while let Some(frame) = body.frame().await {
                if let Ok(piece) = frame.map_err(|error| broken(&error))?.into_data() {
                    print_bytes(&piece)?;
                }
            }
            Ok::<(), Failure>(())
        })?;
        Ok(0)
    }
}
