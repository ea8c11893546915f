//! Submitting, listing, stopping and deleting.

use crate::client::{Server, request};
use hyper::Method;
use iosdk_http::{JobInfo, JobStatus, Secret};
use serde_json::json;

#[tokio::test]
async fn a_job_is_submitted_shown_stopped_and_deleted() {
    let server = Server::start().await;
    let body = json!({"entrypoint": "true", "submission_id": "one", "metadata": {"a": "b"}, "unheard_of": 1});
    assert_eq!(
        server.post("/api/jobs/", body.clone()).await.json(),
        json!({"job_id": "00000001", "submission_id": "one"})
    );
    server.post("/api/jobs/", body).await.fails(400, &["one", "already exists"]);
    for id in ["one", "00000001"] {
        let job = server.get(&format!("/api/jobs/{id}")).await.json();
        assert_eq!(
            (&job["type"], &job["status"], &job["metadata"]["a"]),
            (&json!("SUBMISSION"), &json!("PENDING"), &json!("b"))
        );
    }
    server.ask(request(Method::DELETE, "/api/jobs/one", "")).await.fails(400, &["stop it first"]);
    assert_eq!(server.post("/api/jobs/one/stop", json!(null)).await.json(), json!({"stopped": true}));
    assert_eq!(server.post("/api/jobs/one/stop?force=1", json!(null)).await.json(), json!({"stopped": false}));
    assert_eq!(server.head.state().forced, ["one"]);
    server.post("/api/jobs/one/stop?force=yes", json!(null)).await.fails(400, &["force must be 0 or 1", "yes"]);
    assert_eq!(server.ask(request(Method::DELETE, "/api/jobs/one", "")).await.json(), json!({"deleted": true}));
    server.get("/api/jobs/one").await.fails(404, &["Job one does not exist"]);
    server.post("/api/jobs/one/stop", json!(null)).await.fails(404, &["one"]);
    server.ask(request(Method::DELETE, "/api/jobs/one", "")).await.fails(404, &["one"]);
    server.get("/api/jobs/..%2F..%2Fetc").await.fails(404, &["../../etc"]);
    assert_eq!(server.ask(request(Method::PUT, "/api/jobs/", "")).await.status, 405);
}

#[tokio::test]
async fn a_bad_body_is_named_and_submits_nothing() {
    let server = Server::start().await;
    server.post("/api/jobs/", json!({"entrypoint": 5})).await.fails(400, &["entrypoint", "a string", "a number"]);
    server.ask(request(Method::POST, "/api/jobs", "{nonsense")).await.fails(400, &["JSON object", "line 1"]);
    let deep = "[".repeat(100_000);
    server.ask(request(Method::POST, "/api/jobs/", deep)).await.fails(400, &["recursion limit"]);
    let large = json!({"entrypoint": "x".repeat(4 << 20)});
    server.post("/api/jobs/", large).await.fails(413, &["4194304", "/api/packages"]);
    let just_fits = json!({"entrypoint": "x".repeat((4 << 20) - 100)});
    server.post("/api/jobs/", just_fits).await.json();
    assert_eq!(server.head.state().jobs.len(), 1);
}

#[tokio::test]
async fn secrets_arrive_and_are_never_shown() {
    let server = Server::start().await;
    let body = json!({"entrypoint": "true", "submission_id": "s", "secret_env": {"KEY": "hush-hush"}});
    let submitted = server.post("/api/jobs/", body).await;
    assert_eq!(server.head.state().submissions[0].secret_env["KEY"], Secret::new("hush-hush".into()));
    let shown = server.get("/api/jobs/s").await;
    assert_eq!(shown.json()["secret_env"], json!({"KEY": "***"}));
    let listed = server.get("/api/jobs/").await;
    for reply in [submitted, shown, listed] {
        assert!(!reply.text().contains("hush-hush"));
    }
    let wrong = json!({"entrypoint": "true", "secret_env": {"KEY": ["hush-hush"]}});
    let refused = server.post("/api/jobs/", wrong).await;
    refused.fails(400, &["secret_env.KEY must be a string, got a list"]);
}

#[tokio::test]
async fn ten_thousand_jobs_are_paged() {
    let server = Server::start().await;
    let body = json!({"entrypoint": "true"});
    for _ in 0..10_000 {
        server.head.add(serde_submission(&body));
    }
    for id in ["00000003", "00000004"] {
        server.head.end(id, JobStatus::Failed);
    }
    let ids = async |query: &str| -> Vec<String> {
        let reply = server.get(&format!("/api/jobs{query}")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let jobs: Vec<JobInfo> = serde_json::from_slice(&reply.body).unwrap();
        jobs.into_iter().map(|job| job.job_id.unwrap()).collect()
    };
    let all = ids("/").await;
    assert_eq!(all.len(), 10_000);
    assert_eq!(ids("?limit=3").await, all[9_997..]);
    let mut paged = Vec::new();
    for page in 0..11 {
        paged.splice(0..0, ids(&format!("?limit=999&offset={}", page * 999)).await);
    }
    assert_eq!(paged, all);
    assert_eq!(ids("?status=failed").await, ["00000003", "00000004"]);
    assert_eq!(ids("?status=FAILED&limit=1").await, ["00000004"]);
    assert!(ids("?limit=0").await.is_empty() && ids("?offset=10000").await.is_empty());
    server.get("/api/jobs?limit=-1").await.fails(400, &["limit", "whole number", "-1"]);
    server.get("/api/jobs?offset=1e3").await.fails(400, &["offset", "1e3"]);
    server.get("/api/jobs?status=DONE").await.fails(400, &["status", "SUCCEEDED", "DONE"]);
}

fn serde_submission(body: &serde_json::Value) -> iosdk_http::Submission {
    iosdk_http::Submission {
        entrypoint: body["entrypoint"].as_str().unwrap().to_owned(),
        submission_id: None,
        runtime_env: Default::default(),
        metadata: Default::default(),
        entrypoint_num_cpus: None,
        entrypoint_num_gpus: None,
        entrypoint_memory: None,
        entrypoint_resources: Default::default(),
        entrypoint_label_selector: Default::default(),
        user: None,
        secret_env: Default::default(),
    }
}
