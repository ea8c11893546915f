//! How a head starts, who may use its directory, and links that come and go.

use crate::client::{ask_tcp, plain};
use crate::process::{PATIENCE, Scratch, await_readable};
use crate::raylet::Raylet;
use iosdk_gcs::{Config, HeadConfig};
use std::fs::{DirBuilder, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

/// The first argument of a process that is one end of a link.
pub(crate) const ROLE: &str = "be-a-link";

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

pub(crate) fn private_files() {
    let scratch = Scratch::new("private");
    let head = scratch.start();
    let data = scratch.data();
    for (name, expected) in [("", 0o700), ("secrets", 0o700), ("log", 0o700), ("token", 0o600), ("lock", 0o600)] {
        assert_eq!(mode(&data.join(name)), expected, "{name}");
    }
    for name in ["http.sock", "gcs.sock"] {
        assert_eq!(mode(&data.join(name)), 0o600, "{name}");
    }
    let mut job = plain("a");
    job["secret_env"] = serde_json::json!({"KEY": "hush"});
    scratch.client().submit(&job).json();
    assert_eq!(mode(&data.join("secrets/1")), 0o600);
    let token = std::fs::read_to_string(data.join("token")).unwrap().trim_end().to_owned();
    assert!(token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
    assert_eq!(ask_tcp(&head.url, None, "/api/version").status, 401);
    assert_eq!(ask_tcp(&head.url, Some(&token), "/api/version").status, 200);
    assert!(head.terminate().success());
    let head = scratch.start();
    assert_eq!(ask_tcp(&head.url, Some(&token), "/api/jobs/a").json()["status"], "PENDING");
    assert!(head.terminate().success());
    std::fs::set_permissions(&data, Permissions::from_mode(0o750)).unwrap();
    let (head, line) = scratch.try_start(0);
    assert!(line.starts_with("error ") && line.contains("has mode 750") && line.contains("(mode 700)"), "{line}");
    assert!(!head.end().success());
}

pub(crate) fn one_head_a_directory() {
    let scratch = Scratch::new("one");
    let mut first = scratch.start();
    let (second, line) = scratch.try_start(0);
    let holder = format!("a head runs on {} already (process {})", scratch.data().display(), first.pid());
    assert!(line.starts_with("error ") && line.contains(&holder), "{line}");
    assert!(!second.end().success());
    assert_eq!(scratch.client().get("/healthz").text(), "ok", "the first one goes on");
    first.kill();
    assert!(scratch.start().terminate().success());
}

pub(crate) fn one_process_for_both() {
    let scratch = Scratch::new("both");
    let start = || {
        let (ready, told) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let config = HeadConfig { data: scratch.data(), port: 0, machine: Config::default(), ready: told };
        let link = iosdk_gcs::start_head(config);
        let mut line = String::new();
        std::fs::File::from(ready).read_to_string(&mut line).unwrap();
        (link, line)
    };
    let (link, line) = start();
    assert!(line.starts_with("ready http://127.0.0.1:") && line.ends_with('\n'), "{line:?}");
    let mut raylet = Raylet::new(link.unwrap(), true);
    let mut client = scratch.client();
    client.submit(&plain("a")).json();
    raylet.until("the job ran", |raylet| raylet.jobs.get(&1).is_some_and(|job| job.noted));
    let (second, line) = start();
    let error = second.err().expect("a second head on the same data").to_string();
    assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    assert_eq!(line, format!("error {error}\n"));
    drop(raylet);
    let (link, _) = start();
    let _raylet = Raylet::new(link.expect("the directory is free again"), true);
    assert_eq!(scratch.client().job("a")["status"], "SUCCEEDED");
}

pub(crate) fn a_link_that_comes_and_goes() {
    let scratch = Scratch::new("link");
    DirBuilder::new().mode(0o700).create(scratch.data()).unwrap();
    let mut process = Command::new(std::env::current_exe().unwrap())
        .arg(ROLE)
        .arg(scratch.socket("gcs.sock"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(process.stdout.take().unwrap());
    let mut next = || {
        if said.buffer().is_empty() {
            await_readable(said.get_ref());
        }
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    let mut complaints = BufReader::new(process.stderr.take().unwrap());
    let mut complaint = |text: &str| {
        let mut line = String::new();
        complaints.read_line(&mut line).unwrap();
        assert!(line.contains(text), "{line:?} has no {text:?}");
    };
    // Tried again and again before anybody is there, and said once.
    complaint("cannot reach the gcs");
    for _ in 0..2 {
        let mut head = scratch.start();
        assert_eq!(next(), "Up");
        complaint("is back");
        head.kill();
        assert_eq!(next(), "Down");
        complaint("broke");
    }
    let ending = std::time::Instant::now();
    drop(process.stdin.take());
    assert!(process.wait().unwrap().success());
    assert!(ending.elapsed() < PATIENCE);
    let mut rest = String::new();
    complaints.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}
