//! Following a job: its output, its end, a head that restarts meanwhile, Ctrl-C, a reader that leaves.

use crate::support::{Running, Server};
use iosdk_http::JobStatus;
use rustix::process::{Signal, kill_process};

#[test]
fn submit_shows_the_output_and_ends_as_the_job() {
    let server = Server::start();
    let words = ["job", "submit", "--submission-id", "a", "--", "python", "a b.py"];
    let mut submit = Running::start(server.command(&words));
    assert_eq!(submit.out_line(), "Job 'a' submitted successfully\n");
    assert_eq!(server.head.state().submissions[0].entrypoint, "python 'a b.py'");
    server.prints("a", "one\n");
    assert_eq!(submit.out_line(), "one\n");
    server.prints("a", "two");
    server.ends("a", JobStatus::Failed, Some(3));
    let ran = submit.end();
    assert_eq!((ran.code, ran.out.as_str()), (3, "two\nJob 'a' failed: so it ended\n"));
    assert_eq!(ran.err, "");
}

#[test]
fn the_exit_code_is_the_jobs() {
    let server = Server::start();
    for (id, status, code, expected) in [
        ("good", JobStatus::Succeeded, Some(0), 0),
        ("killed", JobStatus::Failed, Some(-9), 137),
        ("stopped", JobStatus::Stopped, Some(-15), 130),
        ("lost", JobStatus::Failed, None, 1),
    ] {
        server.submit(id);
        server.prints(id, "its output\n");
        server.ends(id, status, code);
        let ran = server.run(&["job", "logs", "-f", id]);
        assert_eq!((ran.code, ran.out.as_str()), (expected, "its output\n"));
        assert!(ran.err.contains(&format!("Job '{id}'")), "{ran:?}");
        assert_eq!(server.run(&["logs", id]).ok(), "its output\n");
    }
    let ran = server.run(&["job", "logs", "-f", "--json", "killed"]);
    assert_eq!((ran.code, ran.err.as_str()), (137, "its output\n"));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&ran.out).unwrap()["status"], "FAILED");
}

#[test]
fn it_goes_on_where_it_was_when_the_head_restarts() {
    let mut server = Server::start();
    server.submit("a");
    server.prints("a", "one\n");
    let mut logs = Running::start(server.command(&["job", "logs", "-f", "a"]));
    assert_eq!(logs.out_line(), "one\n");
    server.go_away();
    let away = logs.err_line();
    assert!(away.contains("the head is away"), "{away}");
    server.prints("a", "two\n");
    server.come_back();
    assert_eq!(logs.err_line(), "iosdk: the head is back\n");
    assert_eq!(logs.out_line(), "two\n");
    server.ends("a", JobStatus::Succeeded, Some(0));
    let ran = logs.end();
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "", "Job 'a' succeeded\n"));
}

#[test]
fn ctrl_c_leaves_the_job_alone() {
    let server = Server::start();
    server.submit("a");
    server.prints("a", "one\n");
    let address = server.dir().display().to_string();
    let mut logs = Running::start(server.command(&["job", "logs", "-f", "a", "--address", &address]));
    assert_eq!(logs.out_line(), "one\n");
    kill_process(logs.pid(), Signal::INT).unwrap();
    let ran = logs.end();
    let again = format!("iosdk job logs -f --address {address} a");
    ran.fails(130, &["job 'a' goes on", &again, "iosdk job stop"]);
    assert_eq!(server.head.state().jobs[0].status, JobStatus::Pending);
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let server = Server::start();
    server.submit("a");
    server.prints("a", &"a line\n".repeat(200_000));
    let mut command = std::process::Command::new("sh");
    command.arg("-c").arg(r#""$0" logs a | head -n 1; "$0" logs a 2>&1 >/dev/full"#).arg(env!("CARGO_BIN_EXE_iosdk"));
    let ran = crate::support::run({
        command.env("IOSDK_ADDRESS", server.dir());
        command
    });
    assert_eq!(ran.out.lines().next(), Some("a line"));
    assert!(ran.out.contains("writing to stdout: No space left") && ran.err.is_empty(), "{ran:?}");
    assert_eq!(ran.code, 1);
}
