//! `iosdk job ...`: the commands, and what they all say about a job.

mod delete;
mod follow;
mod list;
pub(crate) mod logs;
mod package;
mod show;
pub(crate) mod stop;
mod submission;
mod submit;

use crate::client::{Client, segment};
use crate::failure::{Done, FAILED, Failure, INTERRUPTED};
use clap::Subcommand;
use iosdk_http::{JobInfo, JobStatus};
use serde_json::Value;

pub(crate) use submission::object as json_object;

/// Submit jobs, and see and stop them
#[derive(Subcommand)]
pub(crate) enum Job {
    Submit(Box<submit::Submit>),
    Status(show::Show),
    Logs(logs::Logs),
    List(list::List),
    Stop(stop::Stop),
    Delete(delete::Delete),
}

impl Job {
    pub(crate) fn run(self) -> Done {
        match self {
            Self::Submit(submit) => submit.run(),
            Self::Status(show) => show.run(),
            Self::Logs(logs) => logs.run(),
            Self::List(list) => list.run(),
            Self::Stop(stop) => stop.run(),
            Self::Delete(delete) => delete.run(),
        }
    }
}

async fn info(client: &Client, id: &str) -> Result<JobInfo, Failure> {
    client.get(&format!("/api/jobs/{}", segment(id))).await
}

fn is_over(job: &JobInfo) -> bool {
    match job.status {
        JobStatus::Pending | JobStatus::Running => false,
        JobStatus::Stopped | JobStatus::Succeeded | JobStatus::Failed => true,
    }
}

/// By which its user knows it.
pub(crate) fn name(job: &JobInfo) -> &str {
    job.submission_id.as_deref().or(job.job_id.as_deref()).unwrap_or("-")
}

/// With which a command exits that stands for the job.
fn exit_code(job: &JobInfo) -> i32 {
    match (job.status, job.driver_exit_code) {
        (JobStatus::Succeeded, _) => 0,
        (JobStatus::Stopped, _) => INTERRUPTED,
        // A signal, as shells count it.
        (_, Some(code @ -127..=-1)) => 128 - code,
        (_, Some(code @ 1..=255)) => code,
        _ => FAILED,
    }
}

fn outcome(job: &JobInfo) -> String {
    let name = name(job);
    let because = job.message.as_deref().map_or(String::new(), |message| format!(": {message}"));
    match job.status {
        JobStatus::Succeeded => format!("Job '{name}' succeeded"),
        JobStatus::Failed => format!("Job '{name}' failed{because}"),
        JobStatus::Stopped => format!("Job '{name}' was stopped"),
        JobStatus::Pending => format!("Job '{name}' is queued{because}"),
        JobStatus::Running => format!("Job '{name}' is running"),
    }
}

/// Values of environment variables are for the job alone.
fn without_values(mut job: JobInfo) -> JobInfo {
    if let Some(Value::Object(variables)) = job.runtime_env.get_mut("env_vars") {
        variables.values_mut().for_each(|value| *value = Value::from("***"));
    }
    job
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job(status: &str, code: Option<i32>) -> JobInfo {
        serde_json::from_value(json!({
            "type": "SUBMISSION", "job_id": "01", "submission_id": "a", "driver_info": null, "status": status,
            "entrypoint": "x", "message": "why", "error_type": null, "start_time": 5, "end_time": null, "metadata": {},
            "runtime_env": {"env_vars": {"KEY": "hush"}}, "driver_agent_http_address": null, "driver_node_id": null,
            "driver_exit_code": code, "user": null, "secret_env": {"TOKEN": "***"}, "of_a_later_release": 1,
        }))
        .unwrap()
    }

    #[test]
    fn a_job_ends_as_a_command_would() {
        for (status, code, expected) in [
            ("SUCCEEDED", Some(0), 0),
            ("FAILED", Some(3), 3),
            ("FAILED", Some(-9), 137),
            ("FAILED", Some(137), 137),
            ("FAILED", Some(0), 1),
            ("FAILED", Some(256), 1),
            ("FAILED", Some(i32::MIN), 1),
            ("FAILED", None, 1),
            ("STOPPED", Some(-15), 130),
        ] {
            assert_eq!(exit_code(&job(status, code)), expected, "{status} {code:?}");
        }
        assert_eq!(outcome(&job("FAILED", None)), "Job 'a' failed: why");
        assert_eq!(outcome(&job("SUCCEEDED", None)), "Job 'a' succeeded");
    }

    #[test]
    fn no_value_of_the_environment_is_shown() {
        let text = serde_json::to_string(&without_values(job("RUNNING", None))).unwrap();
        assert!(
            text.contains(r#""KEY":"***""#) && text.contains(r#""TOKEN":"***""#) && !text.contains("hush"),
            "{text}"
        );
    }
}
