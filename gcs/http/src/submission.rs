//! The body of `POST /api/jobs/`, checked: Ray's fields, and `user` and `secret_env` beside them.

use crate::fields::Fields;
use crate::{ApiError, Secret, Submission};
use iosdk_types::ResourceSet;
use std::collections::BTreeMap;

const NAME_MAX: usize = 128;

pub(crate) fn parse(body: &[u8]) -> Result<Submission, ApiError> {
    let mut fields = Fields::parse(body)?;
    let Some(entrypoint) = fields.text("entrypoint")? else {
        return Err(ApiError::invalid("entrypoint must be a string, and is missing: the command to run, for `sh -c`"));
    };
    if entrypoint.trim().is_empty() || entrypoint.contains('\0') {
        return Err(ApiError::invalid("entrypoint must be a command without NUL characters; it is empty or has one"));
    }
    // What `submission_id` was called before Ray 2.0.
    let old_name = fields.text("job_id")?;
    let submission_id = fields.text("submission_id")?.or(old_name);
    submission_id.as_deref().map_or(Ok(()), fit_for_a_file_name)?;
    let user = fields.text("user")?;
    user.as_deref().map_or(Ok(()), fit_for_a_column)?;
    let runtime_env = fields.object("runtime_env")?.unwrap_or_default();
    let env_vars = Fields::inside("runtime_env.", runtime_env.clone()).texts("env_vars")?;
    env_vars.iter().try_for_each(|(name, value)| fit_for_the_environment("runtime_env.env_vars", name, value))?;
    let secrets = fields.texts("secret_env")?;
    secrets.iter().try_for_each(|(name, value)| fit_for_the_environment("secret_env", name, value))?;
    if let Some(both) = secrets.keys().find(|name| env_vars.contains_key(*name)) {
        return Err(ApiError::invalid(format!("{both:?} is in secret_env and in runtime_env.env_vars: leave one out")));
    }
    Ok(Submission {
        entrypoint,
        submission_id,
        runtime_env,
        metadata: fields.texts("metadata")?,
        entrypoint_num_cpus: fields.amount("entrypoint_num_cpus")?,
        entrypoint_num_gpus: fields.amount("entrypoint_num_gpus")?,
        entrypoint_memory: fields.bytes("entrypoint_memory")?,
        entrypoint_resources: custom(fields.amounts("entrypoint_resources")?)?,
        entrypoint_label_selector: fields.texts("entrypoint_label_selector")?,
        user,
        secret_env: secrets.into_iter().map(|(name, value)| (name, Secret::new(value))).collect(),
    })
}

fn custom(amounts: BTreeMap<String, iosdk_types::Amount>) -> Result<ResourceSet, ApiError> {
    let mut set = ResourceSet::new();
    for (name, amount) in amounts {
        let field = match name.as_str() {
            "CPU" => "entrypoint_num_cpus",
            "GPU" => "entrypoint_num_gpus",
            "memory" => "entrypoint_memory",
            _ => {
                set.set(&name, amount);
                continue;
            }
        };
        return Err(ApiError::invalid(format!("entrypoint_resources must not have {name:?}: use {field} for it")));
    }
    Ok(set)
}

/// The id names directories and log files, and is a part of addresses.
fn fit_for_a_file_name(id: &str) -> Result<(), ApiError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let starts = id.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
    if starts && id.len() <= NAME_MAX && id.bytes().all(legal) {
        return Ok(());
    }
    let rule = format!("1 to {NAME_MAX} letters, digits and ._- that begin with a letter or digit");
    Err(ApiError::invalid(format!("submission_id must be {rule}, got {}", shortened(id))))
}

fn fit_for_a_column(user: &str) -> Result<(), ApiError> {
    if !user.is_empty() && user.len() <= NAME_MAX && !user.chars().any(char::is_control) {
        return Ok(());
    }
    let rule = format!("1 to {NAME_MAX} bytes without control characters");
    Err(ApiError::invalid(format!("user must be {rule}, got {}", shortened(user))))
}

fn fit_for_the_environment(field: &str, name: &str, value: &str) -> Result<(), ApiError> {
    if name.is_empty() || name.contains(['=', '\0']) {
        let rule = "names of variables that are not empty and have no = and no NUL";
        return Err(ApiError::invalid(format!("{field} must have {rule}, got {}", shortened(name))));
    }
    if value.contains('\0') {
        return Err(ApiError::invalid(format!("{field}.{name} must be a string without NUL characters")));
    }
    Ok(())
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(NAME_MAX) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}... of {} bytes", &text[..end], text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iosdk_types::Amount;
    use serde_json::{Value, json};

    fn given(changes: Value) -> Result<Submission, ApiError> {
        let mut body = json!({"entrypoint": "true"});
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        parse(body.to_string().as_bytes())
    }

    #[test]
    fn every_field_arrives() {
        let job = given(json!({
            "submission_id": "job-1", "runtime_env": {"env_vars": {"A": "b"}, "pip": ["x"]}, "metadata": {"team": "red"},
            "entrypoint_num_cpus": 0.5, "entrypoint_num_gpus": 2, "entrypoint_memory": 1024,
            "entrypoint_resources": {"tpu": 1, "none": 0}, "entrypoint_label_selector": {"zone": "a"},
            "user": "ann", "secret_env": {"KEY": "hush"}, "of_a_later_release": [1], "job_id": null,
        }))
        .unwrap();
        assert_eq!(job.submission_id.as_deref(), Some("job-1"));
        assert_eq!(job.runtime_env["pip"][0], "x");
        assert_eq!((job.entrypoint_num_cpus, job.entrypoint_num_gpus), (Some(Amount(5_000)), Some(Amount(20_000))));
        assert_eq!((job.entrypoint_memory, job.metadata["team"].as_str()), (Some(1024), "red"));
        assert_eq!(job.entrypoint_resources, ResourceSet::new().with("tpu", Amount::ONE));
        assert_eq!(job.entrypoint_label_selector["zone"], "a");
        assert_eq!((job.user.as_deref(), job.secret_env["KEY"].reveal()), (Some("ann"), "hush"));
        assert!(!format!("{job:?}").contains("hush"));
        assert_eq!(given(json!({"job_id": "old"})).unwrap().submission_id.as_deref(), Some("old"));
    }

    #[test]
    fn a_wrong_type_names_the_field_and_both_types() {
        for (changes, expected) in [
            (json!({"entrypoint": 5}), "entrypoint must be a string, got a number"),
            (json!({"entrypoint": null}), "entrypoint must be a string, and is missing"),
            (json!({"entrypoint": " "}), "entrypoint must be a command"),
            (json!({"submission_id": 1}), "submission_id must be a string, got a number"),
            (json!({"runtime_env": []}), "runtime_env must be an object, got a list"),
            (json!({"runtime_env": {"env_vars": {"A": 1}}}), "runtime_env.env_vars.A must be a string, got a number"),
            (json!({"metadata": {"a": true}}), "metadata.a must be a string, got a boolean"),
            (json!({"entrypoint_num_cpus": "1"}), "entrypoint_num_cpus must be a number, got a string"),
            (json!({"entrypoint_num_gpus": -1}), "entrypoint_num_gpus must be 0 or a number from 0.0001"),
            (json!({"entrypoint_num_cpus": 1e-9}), "got 1e-9"),
            (json!({"entrypoint_num_cpus": 1e300}), "got 1e+300"),
            (json!({"entrypoint_memory": 1.5}), "entrypoint_memory must be a whole number"),
            (json!({"entrypoint_memory": u64::MAX}), "got 18446744073709551615"),
            (json!({"entrypoint_resources": {"x": {}}}), "entrypoint_resources.x must be a number, got an object"),
            (json!({"entrypoint_resources": {"GPU": 1}}), "use entrypoint_num_gpus"),
            (json!({"secret_env": {"A=B": ""}}), "secret_env must have names"),
            (json!({"secret_env": {"A": "1"}, "runtime_env": {"env_vars": {"A": "2"}}}), "leave one out"),
            (json!({"user": "a\nb"}), "user must be 1 to 128 bytes"),
        ] {
            let error = given(changes.clone()).unwrap_err();
            assert_eq!(error.status(), 400);
            assert!(error.message().contains(expected), "{changes}: {error}");
        }
        for (body, expected) in [("[]", "got a list"), ("{", "EOF"), ("", "EOF"), ("\u{0}", "expected value")] {
            let error = parse(body.as_bytes()).unwrap_err();
            assert!(error.message().contains(expected), "{body:?}: {error}");
        }
    }

    #[test]
    fn no_complaint_shows_a_secret() {
        for value in [json!({"A": 12345}), json!({"A": ["12345"]}), json!({"A": "12345\0"}), json!("12345")] {
            let error = given(json!({"secret_env": value})).unwrap_err();
            assert!(error.message().contains("secret_env") && !error.message().contains("12345"), "{error}");
        }
    }

    #[test]
    fn hostile_ids_are_refused() {
        for id in ["", ".", "..", "../x", "a/b", "a b", "-x", "a\0", "é", &"x".repeat(129), &"x".repeat(1 << 20)] {
            let error = given(json!({"submission_id": id})).unwrap_err();
            assert!(error.message().starts_with("submission_id must be 1 to 128"), "{error}");
            assert!(error.message().len() < 400);
        }
        assert!(given(json!({"submission_id": "x".repeat(128)})).is_ok());
    }
}
