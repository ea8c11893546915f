//! The life of a real head: started, asked, stopped, killed, started again.

use crate::support::{Ran, Running, command, run};
use rustix::process::{Signal, kill_process};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// A directory for a head, which is killed when the test gives up.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn dir(&self) -> PathBuf {
        self.0.path().join("head")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = command(&self.dir(), words);
        command.env("IOSDK_DATA_DIR", self.dir()).env("HOME", self.0.path());
        command
    }

    fn run(&self, words: &[&str]) -> Ran {
        run(self.command(words))
    }

    fn start(&self, more: &[&str]) -> Value {
        let words = ["start", "--head", "--port", "0", "--num-cpus", "1", "--json"];
        self.run(&[&words, more].concat()).json()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _it_has_been_stopped_already = self.run(&["stop", "--force"]);
    }
}

#[test]
fn a_head_is_started_asked_and_stopped() {
    let place = Place::new();
    let started = place.start(&[]);
    let url = started["url"].as_str().unwrap();
    assert!(url.starts_with("http://127.0.0.1:"), "{started}");
    place.run(&["start", "--head"]).fails(1, &["already", url]);
    let status = place.run(&["status", "--json"]).json();
    assert_eq!((&status["url"], &status["pid"]), (&started["url"], &started["pid"]));
    let token = started["token_file"].as_str().unwrap();
    place.run(&["status", "--address", url, "--token-file", token]).ok();
    let shown = place.run(&["dashboard", "--json"]).json();
    assert_eq!((&shown["head"], &shown["seconds"]), (&started["url"], &Value::from(300)));
    let login = format!("{url}/#login=");
    assert!(shown["url"].as_str().unwrap().starts_with(&login), "{shown}");
    let remote = place.run(&["dashboard", "--address", url, "--token-file", token]);
    assert!(remote.ok().starts_with(&login) && remote.err.contains("ssh -N -L"), "{remote:?}");
    assert_ne!(remote.out.trim(), shown["url"]);
    let mut opening = place.command(&["dashboard", "--open"]);
    opening.env("PATH", place.dir());
    run(opening).fails(1, &["xdg-open", "without --open"]);
    let ran = place.run(&["job", "submit", "--submission-id", "a", "--", "echo out; exit 3"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.out.contains("\nout\nJob 'a' failed"), "{ran:?}");
    let killed = place.run(&["job", "submit", "--", "kill -9 $$"]);
    assert_eq!(killed.code, 137, "{killed:?}");
    let mut long =
        Running::start(place.command(&["job", "submit", "--submission-id", "b", "--", "echo up; sleep 600"]));
    assert_eq!((long.out_line(), long.out_line()), ("Job 'b' submitted successfully\n".into(), "up\n".into()));
    let stopped = place.run(&["stop", "--json"]);
    assert_eq!(stopped.json()["jobs_stopped"], serde_json::json!(["b"]));
    assert!(stopped.err.contains("stopping job 'b'"), "{stopped:?}");
    assert_eq!(long.end().code, 130);
    place.run(&["status"]).fails(3, &["no head runs"]);
    place.run(&["stop"]).fails(3, &["no head runs"]);
}

#[test]
fn what_waits_in_the_queue_survives() {
    let place = Place::new();
    place.start(&["--max-running-jobs", "1"]);
    let mut first = Running::start(place.command(&["job", "submit", "--", "echo up; sleep 600"]));
    first.out_line();
    assert_eq!(first.out_line(), "up\n");
    place.run(&["job", "submit", "--no-wait", "--submission-id", "later", "--", "echo done"]).ok();
    let stopped = place.run(&["stop", "--force"]);
    assert!(stopped.ok().contains("has ended"), "{stopped:?}");
    drop(first);
    place.start(&[]);
    let ran = place.run(&["job", "logs", "-f", "later"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "done\n"), "{ran:?}");
    place.run(&["stop"]).ok();
}

#[test]
fn in_the_foreground_signals_end_it() {
    let place = Place::new();
    let mut block = Running::start(place.command(&["start", "--head", "--port", "0", "--block"]));
    assert!(block.out_line().starts_with("The head runs: http://127.0.0.1:"));
    place.run(&["status"]).ok();
    kill_process(block.pid(), Signal::TERM).unwrap();
    assert_eq!(block.end().code, 0);
    place.run(&["status"]).fails(3, &["no head runs"]);
}

#[test]
fn a_head_that_cannot_start_says_why() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    place.run(&["start", "--head", "--port", &port]).fails(1, &["the head cannot start", &port]);
    place.run(&["start", "--head", "--labels", "a=b"]).fails(1, &["labels"]);
}
