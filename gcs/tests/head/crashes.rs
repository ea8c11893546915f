//! What can happen to a head and its disk: nothing that was acknowledged is lost.

use crate::client::plain;
use crate::process::{PATIENCE, Scratch};
use crate::raylet::Raylet;
use iosdk_types::JobId;
use rustix::process::{Resource, Rlimit, prlimit};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

const CLIENTS: usize = 3;
const KILLS: u64 = 20;
/// In every secret value.
const HUSH: &str = "hush-hush";

/// Submits jobs until told to end; which of them were accepted.
fn submit_many(scratch: &Scratch, client: usize, accepted: &AtomicUsize, ending: &AtomicBool) -> Vec<String> {
    let mut connection = scratch.client();
    let mut ids = Vec::new();
    for n in 0.. {
        let id = format!("job-{client}-{n}");
        let mut job = plain(&id);
        job["secret_env"] = json!({"KEY": format!("{HUSH}-{id}")});
        // Until it is known to be there: an answer may have been lost with the head.
        loop {
            if ending.load(Ordering::Relaxed) {
                return ids;
            }
            match connection.try_ask("POST", "/api/jobs/", job.to_string().as_bytes()) {
                Ok(reply) => {
                    assert_eq!(reply.json()["submission_id"], id.as_str());
                    break;
                }
                Err(_the_head_is_away) => std::thread::yield_now(),
            }
        }
        ids.push(id);
        accepted.fetch_add(1, Ordering::Relaxed);
    }
    ids
}

/// Also when the test fails: the threads would be waited for.
struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn files_with_a_secret(scratch: &Scratch) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for file in scratch.files().into_iter().filter(|file| !file.starts_with(scratch.data().join("secrets"))) {
        // A socket cannot be read, and secrets come and go.
        let Ok(bytes) = std::fs::read(&file) else { continue };
        if bytes.windows(HUSH.len()).any(|window| window == HUSH.as_bytes()) {
            found.push(file);
        }
    }
    found
}

pub(crate) fn killed_twenty_times() {
    let scratch = Scratch::new("killed");
    let (accepted, ending) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut head = scratch.start();
    let running = &mut head;
    let mut raylet = Raylet::new(iosdk_gcs::connect(scratch.socket("gcs.sock")).unwrap(), true);
    let ids = std::thread::scope(|scope| {
        let (scratch, accepted, ending) = (&scratch, &accepted, &ending);
        let clients: Vec<_> =
            (0..CLIENTS).map(|client| scope.spawn(move || submit_many(scratch, client, accepted, ending))).collect();
        let end_of_clients = AtEnd(ending);
        let mut chance = std::process::id().into();
        eprintln!("seed {chance}");
        for kill in 0..KILLS {
            chance = splitmix(chance);
            let enough = accepted.load(Ordering::Relaxed) + 1 + (chance % 40) as usize;
            // Every other one may be killed before its raylet is back.
            raylet.until("jobs are accepted", |raylet| {
                accepted.load(Ordering::Relaxed) >= enough && (raylet.up || kill % 2 == 0)
            });
            running.kill();
            raylet.until("the link is down", |raylet| !raylet.up);
            assert_eq!(files_with_a_secret(scratch), Vec::<PathBuf>::new(), "after kill {kill}");
            *running = scratch.start();
        }
        drop(end_of_clients);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<String>>()
    });
    let total = scratch.client().get("/api/jobs/").json().as_array().unwrap().len();
    assert!(total >= ids.len() && total <= ids.len() + CLIENTS, "{total} jobs, {} were accepted", ids.len());
    raylet.until("all is noted", |raylet| {
        raylet.jobs.len() == total && raylet.jobs.values().all(|job| job.noted && job.driver.is_some())
    });
    assert!(u64::from(raylet.ups) > KILLS / 2, "{} times up", raylet.ups);
    let drivers: BTreeSet<_> = raylet.jobs.values().map(|job| job.driver.unwrap()).collect();
    assert_eq!(drivers.len(), total, "a driver's id was given twice");
    let listed = scratch.client().get("/api/jobs/").json();
    let listed: BTreeMap<&str, &Value> =
        listed.as_array().unwrap().iter().map(|job| (job["submission_id"].as_str().unwrap(), job)).collect();
    for id in &ids {
        let job = listed.get(id.as_str()).unwrap_or_else(|| panic!("{id} was accepted and is lost"));
        assert_eq!(job["status"], "SUCCEEDED", "{job}");
    }
    let others: BTreeSet<String> = drivers.iter().map(JobId::hex).collect();
    for job in raylet.jobs.values() {
        let (spec, driver) = (job.spec.as_ref().unwrap(), job.driver.unwrap().hex());
        let listed = listed[spec.submission_id.as_str()]["job_id"].as_str().unwrap();
        // An id that was written down and never told, since the head was killed between, is nobody's.
        assert!(listed == driver || !others.contains(listed), "{listed} is another driver's, {driver} is its own");
    }
    assert_eq!(std::fs::read_dir(scratch.data().join("secrets")).unwrap().count(), 0);
    assert_eq!(files_with_a_secret(&scratch), Vec::<PathBuf>::new());
    eprintln!("{total} jobs over {KILLS} kills");
    assert!(head.terminate().success());
}

fn splitmix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

pub(crate) fn what_a_killed_head_left_is_swept() {
    let scratch = Scratch::new("swept");
    let mut head = scratch.start();
    let mut job = plain("a");
    job["secret_env"] = json!({"KEY": HUSH});
    scratch.client().submit(&job).json();
    head.kill();
    let data = scratch.data();
    let own = |name: &str| std::fs::DirBuilder::new().mode(0o700).create(data.join(name)).unwrap();
    own("jobs/1");
    own("jobs/2");
    for left in ["secrets/2", "secrets/3.tmp", "jobs/2/output.log", "packages/.upload-1-1"] {
        std::fs::write(data.join(left), "left").unwrap();
    }
    let _head = scratch.start();
    for (name, there) in [("secrets/1", true), ("jobs/1", true), ("secrets/2", false), ("secrets/3.tmp", false)] {
        assert_eq!(data.join(name).exists(), there, "{name}");
    }
    assert!(!data.join("jobs/2").exists() && !data.join("packages/.upload-1-1").exists());
}

pub(crate) fn a_log_that_was_cut() {
    let scratch = Scratch::new("cut");
    let mut head = scratch.start();
    let mut client = scratch.client();
    client.submit(&plain("first")).json();
    client.submit(&plain("last")).json();
    head.kill();
    let log = scratch.files().into_iter().filter(|file| file.extension().is_some_and(|end| end == "log"));
    let log: Vec<PathBuf> = log.collect();
    assert_eq!(log.len(), 1, "{log:?}");
    let file = std::fs::File::options().write(true).open(&log[0]).unwrap();
    file.set_len(file.metadata().unwrap().len() - 7).unwrap();
    let head = scratch.start();
    let mut client = scratch.client();
    assert_eq!(client.job("first")["status"], "PENDING");
    assert_eq!(client.get("/api/jobs/last").status, 404);
    client.submit(&plain("next")).json();
    assert!(head.terminate().success());
    let said = scratch.said();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("dropped") && said.contains("the last group of entries was not whole"), "{said}");
}

/// The size that a file may have stands in for the room on the disk.
pub(crate) fn a_full_disk() {
    let scratch = Scratch::new("full");
    let mut head = scratch.start();
    let mut client = scratch.client();
    // The log is longer than what the head has to say.
    client.submit(&json!({"entrypoint": format!("# {}", "x".repeat(100_000)), "submission_id": "before"})).json();
    let room = |bytes| prlimit(Some(head.pid()), Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
    let log = scratch.files().into_iter().find(|file| file.extension().is_some_and(|end| end == "log")).unwrap();
    room(Some(std::fs::metadata(log).unwrap().len()));
    let refusal = client.submit(&plain("during"));
    assert_eq!(refusal.status, 503, "{}", refusal.text());
    assert!(refusal.text().contains("cannot write anything down now"), "{}", refusal.text());
    assert_eq!(client.submit(&plain("refused")).status, 503);
    assert_eq!(client.get("/healthz").text(), "ok", "the head is alive");
    room(None);
    let began = Instant::now();
    while client.submit(&plain("after")).status == 503 {
        assert!(began.elapsed() < PATIENCE, "there is room, and nothing is accepted");
        std::thread::yield_now();
    }
    head.kill();
    let head = scratch.start();
    let mut client = scratch.client();
    for id in ["before", "during", "after"] {
        assert_eq!(client.job(id)["status"], "PENDING", "{id}");
    }
    assert_eq!(client.get("/api/jobs/refused").status, 404);
    let said = scratch.said();
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(said.contains("nothing is accepted; trying every second") && said.contains("accepted again"), "{said}");
    // Not even a complaint can be written.
    let room = Rlimit { current: Some(0), maximum: None };
    prlimit(Some(head.pid()), Resource::Fsize, room).unwrap();
    assert_eq!(client.submit(&plain("never")).status, 503);
    let ending = Instant::now();
    head.terminate();
    assert!(ending.elapsed() < PATIENCE, "a full disk keeps the head from ending");
}
