//! `iosdk job delete`: forgets a job that is over, with its output.

use crate::address::Address;
use crate::client::{block_on, segment};
use crate::failure::{Done, Failure};
use crate::printing::{print, print_json};
use clap::Args;
use iosdk_http::Deleted;

/// Forget a job that is over, and its output
#[derive(Args)]
#[command(after_help = "\
Examples:
  iosdk job delete train-1")]
pub(crate) struct Delete {
    /// Submission id or job id
    id: String,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    address: Address,
}

impl Delete {
    pub(crate) fn run(self) -> Done {
        let client = self.address.client()?;
        let answer: Deleted = block_on(client.delete(&format!("/api/jobs/{}", segment(&self.id))))?;
        if self.json {
            print_json(&answer)?;
        }
        if !answer.deleted {
            let text =
                format!("job '{0}' was not deleted: only jobs that are over can be. `iosdk job stop {0}`", self.id);
            return Err(Failure::Failed(text));
        }
        if !self.json {
            print(&format!("Job '{}' is deleted\n", self.id))?;
        }
        Ok(0)
    }
}
