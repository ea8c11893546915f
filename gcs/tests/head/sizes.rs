//! Many jobs: what they take of the head's memory, and how long a submission and a restart take.

use crate::client::plain;
use crate::process::Scratch;
use crate::raylet::median;
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
