//! `iosdk job submit`: sends the working directory where the head does not have it, submits, and follows the output.

use super::follow::{Followed, follow};
use super::package::{Package, pack};
use super::submission::{Options, Prepared, prepare};
use super::{exit_code, outcome, without_values};
use crate::address::Address;
use crate::client::{Client, block_on};
use crate::failure::{Done, Failure, INTERRUPTED};
use crate::payload::Payload;
use crate::printing::{bytes, print, print_json};
use crate::quoting::shell_line;
use clap::Args;
use iosdk_http::{Stored, Submitted};
use serde_json::{Map, Value, json};
use std::ffi::OsString;
use std::path::Path;

/// Submit a job, and follow its output until it is over
#[derive(Args)]
#[command(after_help = "\
Examples:
  iosdk job submit -- python -c 'print(1)'
  iosdk job submit --working-dir . --env WANDB_API_KEY --env EPOCHS=3 -- python train.py
  iosdk job submit --no-wait --submission-id train-1 --entrypoint-num-gpus 1 -- python train.py --lr 0.1
  iosdk job submit -- 'python prepare.py && python train.py'      one word is a line for the shell

Exits as the job does: its exit code, 128 + n after signal n, 130 when it was stopped. Ctrl-C ends the following, not the job.")]
pub(crate) struct Submit {
    #[command(flatten)]
    options: Options,
    /// Return when the head has taken the job
    #[arg(long)]
    no_wait: bool,
    /// The job as JSON on stdout when it is over, and its output on stderr; with --no-wait its ids
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    address: Address,
    /// The command and its arguments; or one word, a line for the shell
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// From here on people want to know what takes so long.
const LARGE: u64 = 10 << 20;

impl Submit {
    pub(crate) fn run(self) -> Done {
        let Prepared { mut body, directory } =
            prepare(&self.options, shell_line(self.command)?, |name| std::env::var(name).ok())?;
        let client = self.address.client()?;
        let package = directory.as_deref().map(pack).transpose()?;
        let again = self.address.again();
        block_on(async {
            if let Some((package, directory)) = package.zip(directory) {
                send(&client, &package, &directory).await?;
                put_working_dir(&mut body, &package.name);
            }
            let submitted = submit(&client, &body, &again).await?;
            let id = submitted.submission_id.as_str();
            if self.no_wait {
                if self.json {
                    print_json(&submitted)?;
                } else {
                    let next = format!(
                        "  follow it: iosdk job logs -f{again} {id}\n  stop it:   iosdk job stop{again} {id}\n"
                    );
                    print(&format!("Job '{id}' submitted successfully\n{next}"))?;
                }
                return Ok(0);
            }
            if !self.json {
                print(&format!("Job '{id}' submitted successfully\n"))?;
            }
            let followed = follow(&client, id, self.json, &again).await?;
            let Followed::Over { job, mid_line } = followed else { return Ok(INTERRUPTED) };
            let code = exit_code(&job);
            let end = if mid_line { "\n" } else { "" };
            if self.json {
                print_json(&without_values(*job))?
            } else {
                print(&format!(
                    "{end}{}
",
                    outcome(&job)
                ))?
            }
            Ok(code)
        })
    }
}

async fn send(client: &Client, package: &Package, directory: &Path) -> Result<(), Failure> {
    let path = format!("/api/packages/gcs/{}", package.name);
    if client.exists(&path).await? {
        return Ok(());
    }
    if package.size >= LARGE {
        let (size, files) = (bytes(package.size), package.files);
        eprintln!("iosdk: sending {} ({files} files, {size} packed)", directory.display());
    }
    // False: somebody sent the same just now.
    client.upload::<Stored>(&path, package.content()?).await.map(|_stored| ())
}

fn put_working_dir(body: &mut Map<String, Value>, name: &str) {
    let runtime_env = body.entry("runtime_env").or_insert_with(|| json!({}));
    if let Value::Object(runtime_env) = runtime_env {
        runtime_env.insert("working_dir".to_owned(), format!("gcs://{name}").into());
    }
}

async fn submit(client: &Client, body: &Map<String, Value>, again: &str) -> Result<Submitted, Failure> {
    match client.post("/api/jobs/", Payload::json(body)?).await {
        // It was sent; whether it was taken is not known.
        Err(Failure::Broken(text)) => {
            Err(Failure::Failed(format!("{text}. The head may have taken the job: look with `iosdk job list{again}`")))
        }
        other => other,
    }
}
