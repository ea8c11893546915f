//! The state API: tables with filters and limits, single rows, summaries, explanations, and errors as JSON.

use crate::client::Server;
use iosdk_http::StateKind;
use serde_json::{Value, json};

/// What was refused, with its status.
async fn refused(server: &Server, path: &str, status: u16) -> String {
    let reply = server.get(path).await;
    assert_eq!(
        (reply.status, &reply.headers["content-type"]),
        (status, &"application/json".parse().unwrap()),
        "{path}"
    );
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((&body["result"], &body["data"]), (&json!(false), &json!({})));
    body["msg"].as_str().unwrap().to_owned()
}

async fn result(server: &Server, path: &str) -> Value {
    let body = server.get(path).await.json();
    assert_eq!((&body["result"], &body["msg"]), (&json!(true), &json!("")));
    body["data"]["result"].clone()
}

#[tokio::test]
async fn each_kind_is_a_table() {
    let server = Server::start().await;
    for (kind, name) in StateKind::ALL {
        let listed = result(&server, &format!("/api/v0/{name}?limit=2")).await;
        assert_eq!(
            (&listed["total"], &listed["num_after_truncation"], &listed["num_filtered"]),
            (&json!(3), &json!(3), &json!(3))
        );
        let rows = listed["result"].as_array().unwrap();
        assert_eq!(rows.len(), 2);
        let mut columns: Vec<&str> = rows[0].as_object().unwrap().keys().map(String::as_str).collect();
        let mut expected = kind.columns().to_vec();
        columns.sort_unstable();
        expected.sort_unstable();
        assert_eq!(columns, expected);
        assert_eq!(
            (&listed["partial_failure_warning"], &listed["warnings"]),
            (&json!("somebody did not answer"), &json!([]))
        );
        let id = rows[1][kind.columns()[0]].as_str().unwrap();
        assert_eq!(result(&server, &format!("/api/v0/{name}/{id}")).await, rows[1]);
        assert!(refused(&server, &format!("/api/v0/{name}/nobody"), 404).await.contains("nobody"));
    }
}

#[tokio::test]
async fn all_filters_must_match() {
    let server = Server::start().await;
    let matching = async |filters: &[(&str, &str, &str)]| {
        let one = |(key, predicate, value): &(&str, &str, &str)| {
            format!("&filter_keys={key}&filter_predicates={}&filter_values={value}", predicate.replace('=', "%3D"))
        };
        let path = format!("/api/v0/tasks?limit=100{}", filters.iter().map(one).collect::<String>());
        let listed = result(&server, &path).await;
        assert_eq!(listed["total"], 3);
        listed["num_filtered"].as_u64().unwrap()
    };
    assert_eq!(matching(&[("state", "=", "state-1")]).await, 1);
    assert_eq!(matching(&[("state", "!=", "state-1")]).await, 2);
    assert_eq!(matching(&[("state", "!=", "state-1"), ("attempt_number", "=", "2")]).await, 1);
    assert_eq!(matching(&[("state", "=", "state-1"), ("attempt_number", "=", "2")]).await, 0);
    assert_eq!(matching(&[("actor_id", "=", "")]).await, 3, "an absent value is an empty text");
    let head = result(&server, "/api/v0/nodes?filter_keys=is_head_node&filter_predicates=%3D&filter_values=True").await;
    assert_eq!(head["num_filtered"], 1);
    // As it is written in the description of the API, and by hand.
    let plain = result(&server, "/api/v0/tasks?filter_keys=state&filter_predicates==&filter_values=state-2").await;
    assert_eq!(plain["num_filtered"], 1);
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let server = Server::start().await;
    for limit in ["0", "10001", "many"] {
        assert!(refused(&server, &format!("/api/v0/tasks?limit={limit}"), 400).await.contains(limit));
    }
    let filter = |key: &str, predicate: &str| {
        format!("/api/v0/actors?filter_keys={key}&filter_predicates={predicate}&filter_values=1")
    };
    let message = refused(&server, &filter("colour", "%3D"), 400).await;
    assert!(message.contains("colour") && message.contains("class_name"), "{message}");
    assert!(refused(&server, &filter("state", "%3C"), 400).await.contains('<'));
    let message = refused(&server, "/api/v0/actors?filter_keys=state", 400).await;
    assert!(message.contains("got 1, 0 and 0"), "{message}");
    let message = refused(&server, "/api/v0/things", 404).await;
    assert!(message.contains("things") && message.contains("workers"), "{message}");
    refused(&server, "/api/v0/nodes/summarize", 404).await;
    refused(&server, "/api/v0/explain/cut-off", 503).await;
}

#[tokio::test]
async fn summaries_and_explanations() {
    let server = Server::start().await;
    let summary = result(&server, "/api/v0/tasks/summarize").await;
    let cluster = &summary["node_id_to_summary"]["cluster"];
    assert_eq!(cluster["total_tasks"], 4);
    let line = |kind| json!({ "func_or_class_name": "f", "type": kind, "state_counts": { "RUNNING": 2 } });
    assert_eq!(cluster["summary"]["f"], line("ACTOR_CREATION_TASK"));
    assert_eq!(cluster["summary"]["f (NORMAL_TASK)"], line("NORMAL_TASK"), "a second one of the name is not lost");
    let explained = result(&server, "/api/v0/explain/1234").await;
    assert_eq!(explained, json!({ "id": "1234", "kind": "task", "state": "RUNNING", "lines": ["because"] }));
}
