//! What `job submit` sends: the options, checked and put into the body of the request.

use crate::failure::Failure;
use clap::Args;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

#[derive(Args, Debug, Default)]
pub(crate) struct Options {
    /// Directory that the job runs in: packed, sent once and unpacked for the job; or gs, s3, http, gcs URI
    #[arg(long, value_name = "DIR")]
    pub(crate) working_dir: Option<String>,
    /// Environment variable. `--env KEY` takes the value from here and nobody sees it again
    #[arg(long, value_name = "KEY[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Its name; made up if left out
    #[arg(long, visible_alias = "job-id", value_name = "ID")]
    pub(crate) submission_id: Option<String>,
    /// Kept with the job
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) metadata: Vec<String>,
    /// The same as a JSON object of strings
    #[arg(long, value_name = "JSON")]
    pub(crate) metadata_json: Option<String>,
    /// Ray's runtime_env
    #[arg(long, value_name = "JSON")]
    pub(crate) runtime_env_json: Option<String>,
    /// What the command itself holds while it runs, beside what its tasks take
    #[arg(long, value_name = "N")]
    pub(crate) entrypoint_num_cpus: Option<f64>,
    /// The same for GPUs
    #[arg(long, value_name = "N")]
    pub(crate) entrypoint_num_gpus: Option<f64>,
    /// The same for memory: bytes, or with a unit, 8GiB
    #[arg(long, value_name = "SIZE", value_parser = crate::start::size)]
    pub(crate) entrypoint_memory: Option<u64>,
    /// The same for custom resources: {"tpu": 1}
    #[arg(long, value_name = "JSON")]
    pub(crate) entrypoint_resources: Option<String>,
}

/// The body, and the directory that is still to be packed.
#[derive(Debug, PartialEq)]
pub(crate) struct Prepared {
    pub(crate) body: Map<String, Value>,
    pub(crate) directory: Option<PathBuf>,
}

pub(crate) fn prepare(
    options: &Options,
    entrypoint: String,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Prepared, Failure> {
    let mut runtime_env = object("--runtime-env-json", options.runtime_env_json.as_deref())?;
    let mut env_vars = match runtime_env.remove("env_vars") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(variables)) => variables,
        Some(_) => return Err(Failure::Usage("--runtime-env-json: env_vars must be an object".to_owned())),
    };
    let mut secret_env = Map::new();
    for given in &options.env {
        match given.split_once('=') {
            Some((key, value)) => {
                secret_env.remove(key);
                env_vars.insert(key.to_owned(), value.into());
            }
            None => {
                let value = variable(given).ok_or_else(|| unset(given))?;
                env_vars.remove(given);
                secret_env.insert(given.clone(), value.into());
            }
        }
    }
    if !env_vars.is_empty() {
        runtime_env.insert("env_vars".to_owned(), env_vars.into());
    }
    let working_dir = match (&options.working_dir, runtime_env.remove("working_dir")) {
        (Some(given), _) => Some(given.clone()),
        (None, Some(Value::String(given))) => Some(given),
        (None, None | Some(Value::Null)) => None,
        (None, Some(_)) => return Err(Failure::Usage("--runtime-env-json: working_dir must be a string".to_owned())),
    };
    let mut directory = None;
    match working_dir {
        Some(uri) if uri.contains("://") => drop(runtime_env.insert("working_dir".to_owned(), uri.into())),
        Some(dir) => directory = Some(PathBuf::from(dir)),
        None => {}
    }
    let mut body = Map::new();
    body.insert("entrypoint".to_owned(), entrypoint.into());
    let mut put = |name: &str, value: Option<Value>| value.map(|value| body.insert(name.to_owned(), value));
    put("submission_id", options.submission_id.clone().map(Value::from));
    put("runtime_env", filled(runtime_env));
    put("secret_env", filled(secret_env));
    put("metadata", filled(metadata(options)?));
    put("entrypoint_num_cpus", options.entrypoint_num_cpus.map(|count| json!(count)));
    put("entrypoint_num_gpus", options.entrypoint_num_gpus.map(|count| json!(count)));
    put("entrypoint_memory", options.entrypoint_memory.map(Value::from));
    put("entrypoint_resources", filled(object("--entrypoint-resources", options.entrypoint_resources.as_deref())?));
    Ok(Prepared { body, directory })
}

fn filled(map: Map<String, Value>) -> Option<Value> {
    (!map.is_empty()).then_some(Value::Object(map))
}

fn metadata(options: &Options) -> Result<Map<String, Value>, Failure> {
    let mut all = object("--metadata-json", options.metadata_json.as_deref())?;
    if let Some((key, _)) = all.iter().find(|(_, value)| !value.is_string()) {
        return Err(Failure::Usage(format!("--metadata-json: {key} must be a string")));
    }
    for given in &options.metadata {
        let pair = given.split_once('=').filter(|(key, _)| !key.is_empty());
        let (key, value) =
            pair.ok_or_else(|| Failure::Usage(format!("--metadata must be KEY=VALUE, got {given:?}")))?;
        all.insert(key.to_owned(), value.into());
    }
    Ok(all)
}

/// The complaint does not show what was given: it may hold passwords.
pub(crate) fn object(option: &str, text: Option<&str>) -> Result<Map<String, Value>, Failure> {
    let Some(text) = text else { return Ok(Map::new()) };
    serde_json::from_str(text).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        Failure::Usage(format!("{option} must be a JSON object such as '{{\"a\": 1}}'; it goes wrong at {place}"))
    })
}

fn unset(name: &str) -> Failure {
    Failure::Usage(format!(
        "--env {name}: there is no such variable here, or it is no text; --env {name}=VALUE gives one"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(options: &Options) -> Result<Prepared, Failure> {
        prepare(options, "x".into(), |name| (name == "KEY").then(|| "hush".to_owned()))
    }

    #[test]
    fn options_become_the_body() {
        let options = Options {
            working_dir: Some("code".into()),
            env: vec!["KEY".into(), "A=b=c".into(), "B=".into()],
            submission_id: Some("s".into()),
            metadata: vec!["team=red".into()],
            metadata_json: Some(r#"{"team": "blue", "run": "1"}"#.into()),
            runtime_env_json: Some(r#"{"env_vars": {"A": "old", "KEY": "old", "C": "c"}, "pip": ["x"]}"#.into()),
            entrypoint_num_cpus: Some(0.5),
            entrypoint_num_gpus: None,
            entrypoint_memory: Some(1024),
            entrypoint_resources: Some(r#"{"tpu": 1}"#.into()),
        };
        let Prepared { body, directory } = prepared(&options).unwrap();
        let expected = json!({
            "entrypoint": "x", "submission_id": "s", "metadata": {"team": "red", "run": "1"},
            "runtime_env": {"env_vars": {"A": "b=c", "B": "", "C": "c"}, "pip": ["x"]}, "secret_env": {"KEY": "hush"},
            "entrypoint_num_cpus": 0.5, "entrypoint_memory": 1024, "entrypoint_resources": {"tpu": 1},
        });
        assert_eq!(Value::Object(body), expected);
        assert_eq!(directory, Some("code".into()));
    }

    #[test]
    fn working_dirs_elsewhere_are_passed_on() {
        let json = |text: &str| Options { runtime_env_json: Some(text.into()), ..Options::default() };
        let there = prepared(&json(r#"{"working_dir": "gcs://a.zip"}"#)).unwrap();
        assert_eq!((there.body["runtime_env"]["working_dir"].as_str(), there.directory), (Some("gcs://a.zip"), None));
        let here = prepared(&json(r#"{"working_dir": "."}"#)).unwrap();
        assert_eq!((here.body.get("runtime_env"), here.directory), (None, Some(".".into())));
    }

    #[test]
    fn what_is_wrong_is_named_and_not_shown() {
        let given = |options: Options| prepared(&options).unwrap_err();
        for (failure, expected) in [
            (given(Options { env: vec!["NONE".into()], ..Options::default() }), "--env NONE"),
            (given(Options { metadata: vec!["x".into()], ..Options::default() }), "KEY=VALUE"),
            (
                given(Options { metadata_json: Some(r#"{"a": 12345}"#.into()), ..Options::default() }),
                "a must be a string",
            ),
            (given(Options { runtime_env_json: Some(r#"["12345"]"#.into()), ..Options::default() }), "JSON object"),
            (
                given(Options { runtime_env_json: Some(r#"{"env_vars": 12345}"#.into()), ..Options::default() }),
                "env_vars",
            ),
        ] {
            assert_eq!(failure.code(), 2);
            let text = failure.to_string();
            assert!(text.contains(expected) && !text.contains("12345"), "{text}");
        }
    }
}
