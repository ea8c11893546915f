//! `list`, `get`, `summary` and `explain` against a head whose answers are the test's.

use crate::support::{Ran, Server, command, run};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tempfile::TempDir;

/// Gives every request the answer that is set, and notes what was asked for.
struct Answers {
    scratch: TempDir,
    shared: Arc<Mutex<Shared>>,
    serving: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    answer: (u16, String),
    asked: Vec<String>,
    is_over: bool,
}

impl Answers {
    fn start() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(scratch.path().join("http.sock")).unwrap();
        let shared = Arc::<Mutex<Shared>>::default();
        let theirs = shared.clone();
        let serving = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if theirs.lock().unwrap().is_over {
                    return;
                }
                serve(stream.unwrap(), &theirs);
            }
        });
        Self { scratch, shared, serving: Some(serving) }
    }

    fn run(&self, status: u16, answer: impl ToString, words: &[&str]) -> Ran {
        self.shared.lock().unwrap().answer = (status, answer.to_string());
        run(command(self.scratch.path(), words))
    }

    /// The command's result when the head answers with this.
    fn told(&self, result: &Value, words: &[&str]) -> Ran {
        self.run(200, json!({"result": true, "msg": "", "data": {"result": result}}), words)
    }

    fn last_asked(&self) -> String {
        self.shared.lock().unwrap().asked.last().unwrap().clone()
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.shared.lock().unwrap().is_over = true;
        UnixStream::connect(self.scratch.path().join("http.sock")).unwrap();
        self.serving.take().unwrap().join().unwrap();
    }
}

fn serve(mut stream: UnixStream, shared: &Mutex<Shared>) {
    let mut head = BufReader::new(&stream).lines().map(Result::unwrap).take_while(|line| !line.is_empty());
    let asked = head.next().unwrap();
    assert!(head.count() > 0, "headers");
    let mut shared = shared.lock().unwrap();
    shared.asked.push(asked.strip_prefix("GET ").and_then(|rest| rest.strip_suffix(" HTTP/1.1")).unwrap().to_owned());
    let (status, body) = &shared.answer;
    write!(stream, "HTTP/1.1 {status} -\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
}

fn listing(rows: &Value, total: u64, warning: &str) -> Value {
    json!({
        "total": total, "num_after_truncation": total, "num_filtered": total, "result": rows,
        "partial_failure_warning": warning, "warnings": [],
    })
}

fn task() -> Value {
    json!({
        "task_id": "0a07", "attempt_number": 0, "name": "train\tme", "type": "NORMAL_TASK", "state": "FINISHED",
        "job_id": "01000000", "actor_id": null, "node_id": "ff", "owner_pid": 8, "worker_pid": 9, "retries_left": 3,
        "creation_time_ms": 1_700_000_000_000_u64, "start_time_ms": 1_700_000_000_000_u64,
        "end_time_ms": 1_700_000_002_500_u64, "error_type": null, "error_message": null, "of_a_later_release": 1,
    })
}

#[test]
fn a_list_is_filtered_by_the_head_and_says_what_is_missing() {
    let head = Answers::start();
    let words = ["list", "tasks", "--filter", "state=FINISHED", "--filter", "name!=a b&c", "--limit", "1"];
    let ran = head.told(&listing(&json!([task()]), 2_345, "pid 77 did not answer"), &words);
    let line = "0a07\tFINISHED\tNORMAL_TASK\t9\t2023-11-14 22:13:20Z\t2.5 s\ttrain\\tme\n";
    assert_eq!(ran.ok(), line);
    assert!(ran.err.contains("1 of 2,345 shown; --limit N"), "{ran:?}");
    assert!(ran.err.contains("iosdk: pid 77 did not answer\n"), "{ran:?}");
    assert_eq!(
        head.last_asked(),
        "/api/v0/tasks?limit=1&filter_keys=state&filter_predicates=%3D&filter_values=FINISHED\
         &filter_keys=name&filter_predicates=%21%3D&filter_values=a+b%26c"
    );
    let ran = head.told(&listing(&json!([task()]), 1, ""), &["list", "task", "--json"]);
    assert_eq!((ran.json(), ran.err.as_str()), (json!([task()]), ""));
    assert_eq!(head.last_asked(), "/api/v0/tasks?limit=100");
    let none = head.told(&listing(&json!([]), 0, ""), &["list", "actors"]);
    assert_eq!((none.ok(), none.err.as_str()), ("", "iosdk: no such actors\n"));
}

#[test]
fn each_kind_has_its_columns() {
    let head = Answers::start();
    for (kind, row, expected) in [
        (
            "actors",
            json!({"actor_id": "a1", "class_name": "Counter", "state": "ALIVE", "job_id": "01", "pid": 5,
                "resources": {"CPU": 0.5}}),
            "a1\tALIVE\t5\t01\tCPU 0.5\tCounter\n",
        ),
        (
            "objects",
            json!({"object_id": "b2", "state": "READY", "location": "ARENA", "object_size": 3 << 20, "owner_pid": 4,
                "pid": 5, "handles": 1, "uses": 2, "borrowers": 0}),
            "b2\tREADY\tARENA\t3.0 MiB\t5\t4\t1\t2\t0\n",
        ),
        (
            "nodes",
            json!({"node_id": "c3", "node_name": "here", "state": "ALIVE", "is_head_node": true,
                "resources_total": {"CPU": 2.0}, "resources_available": {"CPU": 0.5}}),
            "c3\tALIVE\ttrue\there\tCPU 1.5 of 2\n",
        ),
        (
            "workers",
            json!({"worker_id": "d4", "worker_type": "ACTOR", "pid": 5, "job_id": "01", "state": "ACTOR",
                "actor_id": "a1", "resources": {}}),
            "d4\tACTOR\tACTOR\t5\t01\ta1\t-\n",
        ),
        (
            "jobs",
            json!({"job_id": "01", "submission_id": "train", "status": "FAILED", "entrypoint": "python x",
                "start_time": 0, "end_time": 61_000, "driver_exit_code": 3}),
            "train\tFAILED\t1970-01-01 00:00:00Z\t1 min 1 s\t3\tpython x\n",
        ),
        ("jobs", json!({"job_id": "02", "submission_id": null, "status": "RUNNING"}), "02\tRUNNING\t-\t-\t-\t-\n"),
    ] {
        assert_eq!(head.told(&listing(&json!([row]), 1, ""), &["list", kind]).ok(), expected);
    }
}

#[test]
fn one_is_shown_whole() {
    let head = Answers::start();
    let ran = head.told(&task(), &["get", "tasks", "0a07/../x"]);
    assert_eq!(head.last_asked(), "/api/v0/tasks/0a07%2F..%2Fx");
    assert!(ran.ok().contains("task_id             0a07\n"), "{ran:?}");
    assert!(
        ran.out.contains("end_time_ms         2023-11-14 22:13:22Z\n") && !ran.out.contains("error_type"),
        "{ran:?}"
    );
    assert_eq!(head.told(&task(), &["get", "tasks", "0a07", "--json"]).json(), task());
}

#[test]
fn a_summary_counts_by_name_and_state() {
    let head = Answers::start();
    let whole = json!({"summary": {
        "train": {"func_or_class_name": "train", "type": "NORMAL_TASK", "state_counts": {"RUNNING": 2, "FAILED": 1}},
        "C.add": {"func_or_class_name": "C.add", "type": "ACTOR_TASK", "state_counts": {"FINISHED": 1_500}},
    }, "total_tasks": 3, "total_actor_tasks": 1_500});
    let result = json!({"node_id_to_summary": {"cluster": whole}});
    let expected = "1500\tFINISHED\tACTOR_TASK\tC.add\n1\tFAILED\tNORMAL_TASK\ttrain\n2\tRUNNING\tNORMAL_TASK\ttrain\n\
                    1503\t-\t-\tall\n";
    assert_eq!(head.told(&result, &["summary", "tasks"]).ok(), expected);
    assert_eq!(head.last_asked(), "/api/v0/tasks/summarize");
    assert_eq!(head.told(&result, &["summary", "tasks", "--json"]).json(), whole);
    let empty = json!({"cluster": {"summary": {}, "total_objects": 0}});
    let partial = json!({"node_id_to_summary": empty, "partial_failure_warning": "pid 77 did not answer"});
    let partial = head.told(&partial, &["summary", "objects", "--json"]);
    assert_eq!((partial.json(), partial.err.as_str()), (empty["cluster"].clone(), "iosdk: pid 77 did not answer\n"));
    let none = head.told(&json!({"node_id_to_summary": empty}), &["summary", "objects"]);
    assert_eq!((none.ok(), none.err.as_str()), ("", "iosdk: there are no objects\n"));
    head.told(&json!({}), &["summary", "actors"]).fails(1, &["/api/v0/actors/summarize", "makes no sense"]);
}

#[test]
fn an_explanation_is_read_line_by_line() {
    let head = Answers::start();
    let explanation = json!({
        "id": "0a07", "kind": "task", "state": "PENDING_NODE_ASSIGNMENT",
        "lines": ["It waits for 1 CPU.", "pid 9 holds it\u{1b}[2J."],
    });
    let ran = head.told(&explanation, &["explain", "0a07"]);
    let expected = "task 0a07: PENDING_NODE_ASSIGNMENT\n  It waits for 1 CPU.\n  pid 9 holds it\\u{1b}[2J.\n";
    assert_eq!((ran.ok(), head.last_asked().as_str()), (expected, "/api/v0/explain/0a07"));
    assert_eq!(head.told(&explanation, &["explain", "0a07", "--json"]).json(), explanation);
}

#[test]
fn refusals_are_told_apart() {
    let head = Answers::start();
    let refusal = |text: &str| json!({"result": false, "msg": text, "data": {}});
    let words = ["list", "tasks", "--filter", "nme=x"];
    head.run(400, refusal("unknown filter key nme"), &words).fails(1, &["iosdk: unknown filter key nme\n"]);
    head.run(404, refusal("there is no task 07"), &["get", "tasks", "07"]).fails(1, &["there is no task 07\n"]);
    head.run(503, refusal("no node answers"), &["explain", "07"]).fails(4, &["no node answers\n"]);
    for words in [&["list", "nodes"][..], &["get", "jobs", "a"], &["summary", "tasks"], &["explain", "a"]] {
        head.run(404, "there is nothing at this path", words).fails(1, &["of an older version", "iosdk stop"]);
    }
    head.run(200, "{}", &["list", "tasks"]).fails(1, &["makes no sense"]);
    let words = ["list", "tasks", "--filter", "state"];
    head.run(200, "", &words).fails(2, &["KEY!=VALUE", "\"state\""]);
    head.run(200, "", &["list", "tasks", "--limit", "10001"]).fails(2, &["10001", "1..=10000"]);
    head.run(200, "", &["list", "things"]).fails(2, &["things", "workers"]);
    head.run(200, "", &["summary", "nodes"]).fails(2, &["nodes", "objects"]);
    let scratch = tempfile::tempdir().unwrap();
    for words in [&["list", "tasks"][..], &["get", "nodes", "a"], &["summary", "actors"], &["explain", "a"]] {
        run(command(scratch.path(), words)).fails(3, &["no head runs in", "iosdk start --head"]);
    }
}

#[test]
fn shells_complete_the_kinds() {
    let server = Server::start();
    let script = server.run(&["completion", "bash"]);
    for words in ["tasks actors objects nodes jobs workers", "summary", "explain"] {
        assert!(script.ok().contains(words), "{words}");
    }
}
