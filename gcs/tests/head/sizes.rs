//! Many jobs: what they take of the head's memory, and how long a submission and a restart take.

use crate::client::plain;
use crate::jobs::{a_line, a_row};
use crate::process::Scratch;
use crate::raylet::{Raylet, median};
use iosdk_types::message::RayletToGcs;
use serde_json::json;
use std::time::Instant;

const JOBS: usize = 10_000;
/// Kilobytes.
const MEMORY: u64 = 256 << 10;

pub(crate) fn ten_thousand_jobs() {
    let scratch = Scratch::new("many");
    let mut head = scratch.start();
    let mut client = scratch.client();
    let mut times = Vec::with_capacity(JOBS);
    for n in 0..JOBS {
        let mut job = plain(&format!("job-{n}"));
        job["entrypoint"] = json!("python -m trainer.main --config configs/large.yaml --epochs 30 --seed 17");
        job["runtime_env"] = json!({"env_vars": {"EXPERIMENT": "baseline", "WANDB_MODE": "offline"}});
        let began = Instant::now();
        let reply = client.submit(&job);
        times.push(began.elapsed());
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    eprintln!("a submission takes {:?} (median of {JOBS})", median(times));
    eprintln!("memory: {} KiB", head.memory("VmRSS"));
    assert!(head.memory("VmRSS") < MEMORY, "{} KiB", head.memory("VmRSS"));
    let began = Instant::now();
    assert_eq!(client.get("/api/jobs/").json().as_array().unwrap().len(), JOBS);
    eprintln!("all of them are listed in {:?}", began.elapsed());
    head.kill();
    let began = Instant::now();
    let head = scratch.start();
    eprintln!("it is back after {:?}", began.elapsed());
    let mut client = scratch.client();
    assert_eq!(client.get("/api/cluster").json()["jobs_queued"], JOBS);
    assert_eq!(client.job(&format!("job-{}", JOBS - 1))["status"], "PENDING");
    eprintln!("memory after the restart: {} KiB, at most {} KiB", head.memory("VmRSS"), head.memory("VmHWM"));
    assert!(head.memory("VmHWM") < MEMORY, "{} KiB", head.memory("VmHWM"));
    assert!(head.terminate().success());
}

/// 64 MiB of records and texts are replaced by one.
pub(crate) fn a_snapshot_keeps_everything() {
    let scratch = Scratch::new("snapshot");
    let mut head = scratch.start();
    let mut client = scratch.client();
    let mut job = plain("a");
    job["user"] = json!("ann");
    client.submit(&job).json();
    let mut raylet = Raylet::new(iosdk_gcs::connect(scratch.socket("gcs.sock")).unwrap(), true);
    raylet.until("the job ran", |raylet| raylet.jobs.get(&1).is_some_and(|job| job.noted));
    raylet.say(RayletToGcs::Usage { epoch: 1, records: vec![a_line()] });
    raylet.until("it is booked", |_| client.get("/api/usage").json() == a_row());
    let driver = client.job("a")["job_id"].clone();
    let entrypoint = format!("# {}", "x".repeat(4_000_000));
    for n in 0..20 {
        client.submit(&json!({"entrypoint": entrypoint, "submission_id": format!("long-{n}")})).json();
    }
    let second = scratch.data().join("log/0000000002.log");
    raylet.until("a snapshot is taken", |_| second.exists());
    raylet.until("all ran", |raylet| raylet.jobs.len() == 21 && raylet.jobs.values().all(|job| job.noted));
    head.kill();
    let head = scratch.start();
    let mut client = scratch.client();
    assert_eq!(client.get("/api/usage").json(), a_row());
    let told = client.job("a");
    assert_eq!((&told["status"], &told["job_id"]), (&json!("SUCCEEDED"), &driver));
    for n in 0..20 {
        let told = client.job(&format!("long-{n}"));
        assert_eq!((&told["status"], &told["entrypoint"]), (&json!("SUCCEEDED"), &json!(entrypoint)));
    }
    assert!(head.memory("VmHWM") < MEMORY, "{} KiB", head.memory("VmHWM"));
    assert!(head.terminate().success());
}
