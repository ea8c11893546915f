//! A submission as the HTTP API hands it over, judged: what this release can do becomes a job, the rest is refused by name.

use crate::data::DataDir;
use crate::event::Submitted;
use crate::seat::now_ms;
use crate::stored::{LOG_LIMIT, OWN_NAMES, Stored};
use iosdk_gcs_core::NewJob;
use iosdk_http::{ApiError, Submission, package_path};
use iosdk_types::{Amount, JobSpec, ResourceSet};
use serde_json::{Map, Value};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::PathBuf;

pub(crate) struct Judge {
    packages: PathBuf,
    /// Goes into each digest, so that who has only the event log cannot try out secrets against them.
    salt: Vec<u8>,
}

impl Judge {
    pub(crate) fn new(data: &DataDir) -> io::Result<Self> {
        Ok(Self { packages: data.packages(), salt: std::fs::read(data.token_file())? })
    }

    /// `owner` is the user of who does not name one.
    pub(crate) async fn judge(&self, job: Submission, owner: &str) -> Result<(NewJob, Submitted), ApiError> {
        if !job.entrypoint_label_selector.is_empty() {
            return Err(ApiError::invalid(
                "entrypoint_label_selector is not there yet: nodes have no labels; leave it out",
            ));
        }
        let env = environment(&job)?;
        let working_dir = self.working_dir(&job.runtime_env).await?;
        let digest = self.digest(&job);
        let resources = resources(&job)?;
        let user = job.user.unwrap_or_else(|| owner.to_owned());
        let spec = JobSpec {
            submission_id: job.submission_id.clone().unwrap_or_default(),
            entrypoint: job.entrypoint,
            env,
            secrets_file: None,
            working_dir,
            log_limit: LOG_LIMIT,
        };
        let secrets = job.secret_env.keys().cloned().collect();
        let stored = Stored { metadata: job.metadata, runtime_env: job.runtime_env, secrets, spec };
        let new =
            NewJob { submission_id: job.submission_id, user, resources, digest, now_ms: now_ms(), ..NewJob::default() };
        Ok((new, Submitted { stored, secrets: job.secret_env }))
    }

    async fn working_dir(&self, runtime_env: &Map<String, Value>) -> Result<Option<String>, ApiError> {
        for (field, value) in runtime_env {
            // What is left out was left out by who made the package.
            if !matches!(field.as_str(), "env_vars" | "working_dir" | "excludes") && !is_empty(value) {
                return Err(ApiError::invalid(format!(
                    "runtime_env.{field} is not there yet; env_vars and working_dir are: leave {field} out, or do \
                     what it does in the entrypoint"
                )));
            }
        }
        let uri = match runtime_env.get("working_dir") {
            None => return Ok(None),
            Some(empty) if is_empty(empty) => return Ok(None),
            Some(Value::String(uri)) => uri,
            Some(other) => {
                return Err(ApiError::invalid(format!("runtime_env.working_dir must be a string, got {other}")));
            }
        };
        let Some(name) = uri.strip_prefix("gcs://").filter(|name| name.ends_with(".zip")) else {
            return Err(ApiError::invalid(format!(
                "runtime_env.working_dir must be gcs://NAME.zip, a package that was uploaded with PUT \
                 /api/packages/gcs/NAME.zip; got {uri:?}, and other places are not there yet"
            )));
        };
        let path = package_path(&self.packages, "gcs", name)?;
        let text = path.to_string_lossy().into_owned();
        // On a thread that may wait for the disk.
        let there = tokio::task::spawn_blocking(move || path.try_exists()).await.map_err(io::Error::other).flatten();
        match there {
            Ok(true) => Ok(Some(text)),
            Ok(false) => {
                Err(ApiError::invalid(format!("the package {uri} was not uploaded to this head: upload it first")))
            }
            Err(error) => Err(ApiError::internal(format!("looking for the package {uri}: {error}"))),
        }
    }

    /// The same for the same submission. It is compared with digests of this head alone; when another release hashes otherwise,
    /// who sends a submission again after the upgrade is told that its id is taken.
    fn digest(&self, job: &Submission) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.salt.hash(&mut hasher);
        (&job.entrypoint, &job.metadata, &job.user).hash(&mut hasher);
        Value::Object(job.runtime_env.clone()).to_string().hash(&mut hasher);
        let amounts = [job.entrypoint_num_cpus, job.entrypoint_num_gpus].map(|amount| amount.map(|amount| amount.0));
        (amounts, job.entrypoint_memory).hash(&mut hasher);
        job.entrypoint_resources.iter().for_each(|(name, amount)| (name, amount.0).hash(&mut hasher));
        job.secret_env.iter().for_each(|(name, secret)| (name, secret.reveal()).hash(&mut hasher));
        hasher.finish()
    }
}

/// What says nothing: `null`, `false`, `""`, `[]`, `{}`.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(_) => false,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

fn environment(job: &Submission) -> Result<Vec<(String, String)>, ApiError> {
    let given = job.runtime_env.get("env_vars").and_then(Value::as_object);
    let env: Vec<(String, String)> = given
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect();
    for name in env.iter().map(|(name, _)| name).chain(job.secret_env.keys()) {
        if OWN_NAMES.contains(&name.as_str()) {
            return Err(ApiError::invalid(format!("the head sets {name} itself: give the variable another name")));
        }
        // Names travel as one list.
        if name.contains(',') {
            return Err(ApiError::invalid(format!("the name of a variable must have no comma, got {name:?}")));
        }
    }
    Ok(env)
}

fn resources(job: &Submission) -> Result<ResourceSet, ApiError> {
    let mut set = job.entrypoint_resources.clone();
    set.set("CPU", job.entrypoint_num_cpus.unwrap_or_default());
    set.set("GPU", job.entrypoint_num_gpus.unwrap_or_default());
    let bytes = job.entrypoint_memory.unwrap_or(0);
    let most = u64::try_from(i64::MAX / Amount::ONE.0).unwrap_or(0);
    let units = i64::try_from(bytes).ok().filter(|_| bytes <= most);
    let Some(units) = units else {
        return Err(ApiError::invalid(format!("entrypoint_memory must be at most {most} bytes, got {bytes}")));
    };
    set.set("memory", Amount::units(units));
    Ok(set)
}

#[cfg(test)]
#[path = "submission_tests.rs"]
mod tests;
