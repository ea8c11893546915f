//! Submitting, listing, showing, stopping, deleting, and the bill.

use crate::support::{Server, run};
use iosdk_http::JobStatus;
use std::os::unix::fs::MetadataExt;

#[test]
fn options_arrive_and_secrets_are_not_shown() {
    let server = Server::start();
    let mut command = server.command(&["job", "submit", "--no-wait", "--json", "--job-id", "a"]);
    command.args(["--env", "KEY", "--env", "MODE=fast", "--metadata", "team=red", "--entrypoint-num-gpus", "0.5"]);
    command.args(["--entrypoint-memory", "1GiB", "--entrypoint-resources", r#"{"tpu": 2}"#, "--", "exit 3 && true"]);
    let submitted = run({
        command.env("KEY", "hush");
        command
    });
    assert_eq!(submitted.json()["submission_id"], "a");
    {
        let state = server.head.state();
        let job = &state.submissions[0];
        assert_eq!((job.entrypoint.as_str(), job.metadata["team"].as_str()), ("exit 3 && true", "red"));
        assert_eq!((job.secret_env["KEY"].reveal(), &job.runtime_env["env_vars"]["MODE"]), ("hush", &"fast".into()));
        assert_eq!((job.entrypoint_memory, job.entrypoint_num_gpus.unwrap().0), (Some(1 << 30), 5_000));
        assert_eq!(job.entrypoint_resources.get("tpu").to_f64(), 2.0);
    }
    for words in [&["job", "status", "a"][..], &["job", "status", "a", "--json"], &["job", "list", "--json"]] {
        let shown = server.run(words);
        let text = shown.ok();
        assert!(text.contains("KEY") && text.contains("MODE") && text.contains("***"), "{text}");
        assert!(!text.contains("hush") && !text.contains("fast"), "{text}");
    }
    server.run(&["job", "submit", "--env", "UNSET", "--", "true"]).fails(2, &["--env UNSET", "UNSET=VALUE"]);
    server.run(&["job", "submit", "--job-id", "a", "--", "true"]).fails(1, &["already exists"]);
    server.run(&["job", "submit", "--json"]).fails(2, &["COMMAND"]);
}

#[test]
fn a_working_directory_is_sent_once() {
    let server = Server::start();
    let code = server.dir().join("code");
    std::fs::create_dir(&code).unwrap();
    std::fs::write(code.join("main.py"), "print(1)").unwrap();
    let submit = || {
        let words = ["job", "submit", "--no-wait", "--working-dir", code.to_str().unwrap(), "--", "true"];
        server.run(&words).ok();
        let uri =
            server.head.state().submissions.last().unwrap().runtime_env["working_dir"].as_str().unwrap().to_owned();
        let package = server.dir().join("packages").join(uri.strip_prefix("gcs://").unwrap());
        (uri, std::fs::metadata(package).unwrap().ino())
    };
    let first = submit();
    assert_eq!(submit(), first);
    std::fs::write(code.join("main.py"), "print(2)").unwrap();
    let changed = submit();
    assert_ne!(changed.0, first.0);
    assert_eq!(std::fs::read_dir(server.dir().join("packages")).unwrap().count(), 2);
    let missing = server.run(&["job", "submit", "--working-dir", "/nonexistent", "--", "true"]);
    missing.fails(1, &["working_dir /nonexistent", "No such file"]);
}

#[test]
fn jobs_are_listed_stopped_and_deleted() {
    let server = Server::start();
    for id in ["a", "b", "c"] {
        server.submit(id);
    }
    server.ends("b", JobStatus::Succeeded, Some(0));
    let rows = server.run(&["job", "list"]);
    let rows: Vec<Vec<&str>> = rows.ok().lines().map(|line| line.split('\t').collect()).collect();
    let started = "2023-11-14 22:13:20Z";
    assert_eq!(rows[1], ["b", "SUCCEEDED", started, "-", "0", "-", "true"]);
    assert_eq!(rows.iter().map(|row| row[0]).collect::<String>(), "abc");
    assert_eq!(server.run(&["job", "list", "--limit", "1", "--json"]).json()[0]["submission_id"], "c");
    assert!(server.run(&["job", "list", "--status", "Succeeded"]).ok().starts_with("b\t"));
    let none = server.run(&["job", "list", "--status", "failed"]);
    assert_eq!((none.ok(), none.err.contains("no such jobs")), ("", true));
    server.run(&["job", "delete", "a"]).fails(1, &["not over"]);
    assert_eq!(server.run(&["job", "stop", "a", "--force"]).ok(), "Job 'a' was stopped\n");
    assert_eq!(server.head.state().forced, ["a"]);
    assert_eq!(server.run(&["job", "stop", "a"]).ok(), "Job 'a' was stopped before that\n");
    assert_eq!(server.run(&["job", "stop", "c", "--no-wait", "--json"]).json()["status"], "STOPPED");
    assert_eq!(server.run(&["job", "delete", "a"]).ok(), "Job 'a' is deleted\n");
    server.run(&["job", "status", "a"]).fails(1, &["Job a does not exist"]);
    server.run(&["job", "logs", "-f", "a"]).fails(1, &["Job a does not exist"]);
}

#[test]
fn usage_is_in_hours() {
    let server = Server::start();
    server.submit("a");
    server.submit("b");
    let both = server.run(&["usage"]);
    let rows: Vec<&str> = both.ok().lines().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(rows, ["a", "b", "all"]);
    let one = server.run(&["usage", "a", "--json"]).json();
    // 2 to the 90 ten-thousandths and nanoseconds.
    assert_eq!((one.as_array().unwrap().len(), one[0]["cpu_hours"].as_f64().unwrap().round()), (1, 34_387_223_313.0));
    let csv = server.run(&["usage", "b", "--csv"]);
    assert_eq!(csv.ok().lines().nth(1), Some("b,,34387223313.482785,0.000000,0.000000,0.000000"));
    let other = server.run(&["usage", "--user", "nobody & all"]);
    assert_eq!((other.ok(), other.err.contains("no usage")), ("", true));
}

#[test]
fn status_shows_nodes_and_jobs() {
    let server = Server::start();
    server.submit("a");
    let text = server.run(&["status"]);
    assert!(text.ok().contains("0 running, 1 queued") && text.out.contains("CPU\t0.5\t2"), "{text:?}");
    assert!(text.out.contains(&format!("token    {}", server.dir().join("token").display())), "{text:?}");
    let json = server.run(&["status", "--json"]).json();
    assert_eq!((&json["jobs_queued"], &json["nodes"][0]["resources_total"]["CPU"]), (&1.into(), &2.0.into()));
    assert_eq!(json["gcs_pid"], std::process::id());
}

#[test]
fn shells_can_complete_it() {
    let server = Server::start();
    for shell in ["bash", "zsh", "fish"] {
        let script = server.run(&["completion", shell]);
        assert!(script.ok().contains("submission-id"), "{shell}");
        assert!(!script.out.contains("ready-fd"), "{shell} proposes what is not for people");
    }
}
