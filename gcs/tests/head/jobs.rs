//! Submitted jobs, from the client's side and the node's.

use crate::client::plain;
use crate::process::Scratch;
use crate::raylet::Raylet;
use iosdk_types::message::RayletToGcs;
use iosdk_types::{Amount, Exit, JobCause, JobId, ResourceSet, UsageObject, UsageRecord};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(crate) fn a_job_from_its_submission_to_its_deletion() {
    let scratch = Scratch::new("job");
    let head = scratch.start();
    let mut client = scratch.client();
    assert_eq!(client.ask("PUT", "/api/packages/gcs/code-1.zip", b"a package").json(), json!({"stored": true}));
    let job = json!({
        "entrypoint": "python main.py", "submission_id": "train-1", "metadata": {"team": "red"}, "user": "ann",
        "runtime_env": {"env_vars": {"LEVEL": "3"}, "working_dir": "gcs://code-1.zip", "pip": []},
        "secret_env": {"API_KEY": "hush"}, "entrypoint_num_cpus": 1,
    });
    assert_eq!(client.submit(&job).json(), json!({"job_id": "train-1", "submission_id": "train-1"}));
    assert_eq!(client.submit(&job).json()["submission_id"], "train-1", "the same again is a client that tries again");
    let other = client.submit(&plain("train-1"));
    assert_eq!((other.status, other.text().contains("choose another id")), (400, true), "{}", other.text());
    let told = client.job("train-1");
    assert_eq!(
        (&told["status"], &told["message"]),
        (&json!("PENDING"), &json!("waits for a node with {CPU: 1} to join: no node has that even when idle"))
    );
    assert_eq!(told["secret_env"], json!({"API_KEY": "***"}));

    let mut raylet = Raylet::new(iosdk_gcs::connect(scratch.socket("gcs.sock")).unwrap(), false);
    raylet.until("the driver has an id", |raylet| raylet.jobs.get(&1).is_some_and(|job| job.driver.is_some()));
    let data = scratch.data().canonicalize().unwrap().to_str().unwrap().to_owned();
    let spec = raylet.jobs[&1].spec.clone().unwrap();
    assert_eq!((spec.submission_id.as_str(), spec.entrypoint.as_str()), ("train-1", "python main.py"));
    assert_eq!(spec.working_dir, Some(format!("{data}/packages/code-1.zip")));
    let env: BTreeMap<String, String> = spec.env.into_iter().collect();
    let expected = [
        ("LEVEL", "3"),
        ("IOSDK_ADDRESS", &data),
        ("IOSDK_JOB_NUMBER", "1"),
        ("IOSDK_SUBMISSION_ID", "train-1"),
        ("IOSDK_JOB_ENV", "LEVEL,API_KEY"),
    ];
    assert_eq!(env, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    let secrets = spec.secrets_file.unwrap();
    assert_eq!(secrets, format!("{data}/secrets/1"));
    let values: Value = serde_json::from_slice(&std::fs::read(&secrets).unwrap()).unwrap();
    assert_eq!(values, json!({"API_KEY": "hush"}));

    let told = client.job(&JobId::from_index(1).hex());
    assert_eq!((&told["submission_id"], &told["status"]), (&json!("train-1"), &json!("RUNNING")));
    assert_eq!((&told["entrypoint"], &told["metadata"]), (&json!("python main.py"), &json!({"team": "red"})));
    assert_eq!((&told["user"], &told["start_time"]), (&json!("ann"), &json!(1_000)));
    assert_eq!(told["driver_node_id"], "09".repeat(28));
    assert_eq!(told["runtime_env"]["working_dir"], "gcs://code-1.zip");
    let cluster = client.get("/api/cluster").json();
    assert_eq!((&cluster["jobs_running"], &cluster["nodes"][0]["resources_total"]), (&json!(1), &json!({"CPU": 4.0})));

    let output = scratch.data().join("jobs/1");
    std::fs::create_dir(&output).unwrap();
    std::fs::write(output.join("output.log"), "epoch 1\n").unwrap();
    assert_eq!(client.get("/api/jobs/train-1/logs/raw").text(), "epoch 1\n");
    let early = client.ask("DELETE", "/api/jobs/train-1", b"");
    assert_eq!((early.status, early.text().contains("stop it first")), (409, true), "{}", early.text());
    raylet.end(1, Exit::Code(0), JobCause::Own);
    raylet.until("the end is noted", |raylet| raylet.jobs[&1].noted);
    let told = client.job("train-1");
    assert_eq!((&told["status"], &told["driver_exit_code"]), (&json!("SUCCEEDED"), &json!(0)));
    assert_eq!(told["end_time"], 2_000);
    assert!(!std::path::Path::new(&secrets).exists(), "the secrets outlived their job");
    assert_eq!(client.ask("DELETE", "/api/jobs/train-1", b"").json(), json!({"deleted": true}));
    assert!(!output.exists(), "the job's files outlived it");
    assert_eq!(client.get("/api/jobs/train-1").status, 404);
    assert_eq!(client.get("/api/jobs/").json(), json!([]));
    assert!(head.terminate().success());
    assert_eq!(scratch.said(), "");
}

pub(crate) fn stopped_and_failed_jobs() {
    let scratch = Scratch::new("stopped");
    let _head = scratch.start_with(1);
    let mut client = scratch.client();
    let mut raylet = Raylet::new(iosdk_gcs::connect(scratch.socket("gcs.sock")).unwrap(), false);
    for id in ["runs", "waits", "fails"] {
        client.submit(&plain(id)).json();
    }
    raylet.until("the first begins", |raylet| raylet.jobs.contains_key(&1));
    assert_eq!(client.job("waits")["message"], "waits: 1 submitted jobs run, which is as many as may at a time");
    let names = |listed: Value| -> Vec<String> {
        listed.as_array().unwrap().iter().map(|job| job["submission_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(client.get("/api/jobs/").json()), ["runs", "waits", "fails"]);
    assert_eq!(names(client.get("/api/jobs/?limit=1&offset=1").json()), ["waits"]);
    assert_eq!(names(client.get("/api/jobs/?status=PENDING").json()), ["waits", "fails"]);

    assert_eq!(client.ask("POST", "/api/jobs/waits/stop", b"").json(), json!({"stopped": true}));
    assert_eq!(client.ask("POST", "/api/jobs/waits/stop", b"").json(), json!({"stopped": false}));
    let told = client.job("waits");
    let user = told["user"].as_str().unwrap().to_owned();
    assert_eq!(told["message"], format!("stopped by {user} while it waited; it never started"));
    assert_eq!(client.ask("POST", "/api/jobs/runs/stop", b"").json(), json!({"stopped": true}));
    raylet.until("the third begins", |raylet| raylet.jobs.contains_key(&3));
    let told = client.job("runs");
    assert_eq!((&told["status"], &told["driver_exit_code"]), (&json!("STOPPED"), &json!(-15)));
    assert!(!raylet.jobs.contains_key(&2), "a job began that was stopped before");
    raylet.end(3, Exit::Code(7), JobCause::Own);
    raylet.until("its end is noted", |raylet| raylet.jobs[&3].noted);
    let told = client.job("fails");
    assert_eq!((&told["status"], &told["driver_exit_code"]), (&json!("FAILED"), &json!(7)));
    assert_eq!(told["error_type"], "JOB_ENTRYPOINT_COMMAND_ERROR");
    assert_eq!(client.ask("POST", "/api/jobs/nobody/stop", b"").status, 404);
}

pub(crate) fn what_is_not_there_yet_is_refused() {
    let scratch = Scratch::new("refused");
    let _head = scratch.start();
    let mut client = scratch.client();
    for (field, value, expected) in [
        ("runtime_env", json!({"pip": ["torch"]}), "runtime_env.pip is not there yet"),
        ("runtime_env", json!({"working_dir": "gcs://none.zip"}), "was not uploaded to this head"),
        ("runtime_env", json!({"working_dir": "s3://b/x.zip"}), "other places are not there yet"),
        ("runtime_env", json!({"env_vars": {"IOSDK_ADDRESS": "x"}}), "the head sets IOSDK_ADDRESS itself"),
        ("runtime_env", json!({"env_vars": {"A,B": "x"}}), "must have no comma"),
        ("secret_env", json!({"IOSDK_JOB_ENV": "x"}), "the head sets IOSDK_JOB_ENV itself"),
        ("entrypoint_label_selector", json!({"zone": "a"}), "entrypoint_label_selector is not there yet"),
    ] {
        let mut job = plain("a");
        job[field] = value.clone();
        let refusal = client.submit(&job);
        assert_eq!((refusal.status, refusal.text().contains(expected)), (400, true), "{value}: {}", refusal.text());
    }
    assert_eq!(client.get("/api/jobs/").json(), json!([]));
    let raylet = &mut Raylet::new(iosdk_gcs::connect(scratch.socket("gcs.sock")).unwrap(), true);
    client.submit(&plain("a")).json();
    raylet.until("a job ran", |raylet| raylet.jobs.get(&1).is_some_and(|job| job.noted));
    let mut job = plain("large");
    job["entrypoint_num_cpus"] = json!(5);
    let refusal = client.submit(&job);
    assert_eq!((refusal.status, refusal.text().contains("none of the 1 nodes has")), (400, true), "{}", refusal.text());
}

pub(crate) fn usage_is_kept() {
    let scratch = Scratch::new("usage");
    let mut head = scratch.start();
    let mut client = scratch.client();
    let mut job = plain("a");
    job["user"] = json!("ann");
    client.submit(&job).json();
    let mut raylet = Raylet::new(iosdk_gcs::connect(scratch.socket("gcs.sock")).unwrap(), true);
    raylet.until("the job ran", |raylet| raylet.jobs.get(&1).is_some_and(|job| job.noted));
    raylet.say(RayletToGcs::Usage { epoch: 1, records: vec![a_line()] });
    let row = a_row();
    raylet.until("it is booked", |_| client.get("/api/usage").json() == row);
    head.kill();
    let _head = scratch.start();
    let mut client = scratch.client();
    assert_eq!(client.get("/api/usage?user=ann&job=a").json(), row);
    assert_eq!(client.get("/api/usage?user=bob").json(), json!([]));
}

/// Of the account of the first job, which is ann's and is called "a".
pub(crate) fn a_line() -> UsageRecord {
    UsageRecord {
        seq: 1,
        object: UsageObject::Job(1),
        job: JobId::NIL,
        submission: Some(1),
        tenant: "default".to_owned(),
        name: "a".to_owned(),
        resources: ResourceSet::new().with("CPU", Amount::ONE).with("memory", Amount::units(8)),
        start_ns: 5,
        end_ns: 25,
        open: false,
        used_cpu_ns: 7,
        cause: String::new(),
    }
}

/// And how it is shown.
pub(crate) fn a_row() -> Value {
    json!([{
        "user": "ann", "submission_id": "a", "cpu_amount_ns": "200000", "gpu_amount_ns": "0",
        "memory_amount_ns": "1600000", "cpu_used_ns": "7",
    }])
}
