//! Version, health, cluster, usage, metrics, and addresses that nobody knows.

use crate::client::{Server, bare};
use hyper::Method;
use serde_json::json;

#[tokio::test]
async fn it_says_which_api_it_speaks() {
    let server = Server::start().await;
    let version = server.get("/api/version").await.json();
    assert_eq!((&version["version"], &version["ray_version"]), (&json!("4"), &json!("2.60.0")));
    assert_eq!(version["session_name"], "session_7_0");
    server.get("/api/nothing").await.fails(404, &["/api/nothing"]);
}

#[tokio::test]
async fn health_is_the_head_answering() {
    let server = Server::start().await;
    let anybody = async || server.ask(bare(Method::GET, "/healthz", "")).await;
    let well = anybody().await;
    assert_eq!((well.status, well.text()), (200, "ok"));
    assert_eq!(server.get("/api/gcs_healthz").await.text(), "success");
    assert_eq!(server.ask(bare(Method::GET, "/api/gcs_healthz", "")).await.status, 401);
    server.head.state().stuck = true;
    anybody().await.fails(503, &["does not answer"]);
    server.get("/api/gcs_healthz").await.fails(503, &["does not answer"]);
}

#[tokio::test]
async fn the_cluster_and_its_usage_are_shown() {
    let server = Server::start().await;
    for (id, user) in [("a", "ann"), ("b", "bob"), ("c", "bob")] {
        server.post("/api/jobs/", json!({"entrypoint": "true", "submission_id": id, "user": user})).await.json();
    }
    let cluster = server.get("/api/cluster").await.json();
    assert_eq!((&cluster["jobs_queued"], &cluster["jobs_running"]), (&json!(3), &json!(0)));
    assert_eq!(cluster["nodes"][0]["resources_available"], json!({"CPU": 1.5}));
    let all = server.get("/api/usage").await.json();
    assert_eq!(all.as_array().unwrap().len(), 3);
    assert_eq!(all[0]["cpu_amount_ns"], (1_u128 << 90).to_string());
    let rows = server.get("/api/usage?user=bob&job=c").await.json();
    assert_eq!((rows.as_array().unwrap().len(), &rows[0]["submission_id"]), (1, &json!("c")));
}

#[tokio::test]
async fn metrics_are_what_prometheus_reads() {
    let server = Server::start().await;
    server.get("/api/jobs/missing").await.fails(404, &["missing"]);
    assert_eq!(server.ask(bare(Method::from_bytes(b"BREW").unwrap(), "/x", "")).await.status, 401);
    let reply = server.get("/metrics").await;
    assert_eq!(reply.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let lines: Vec<&str> = reply.text().lines().collect();
    for line in [
        "# TYPE iosdk_nodes gauge",
        "iosdk_nodes{state=\"alive\"} 1",
        "iosdk_resource_total{resource=\"od\\\"d\"} 1",
        "iosdk_resource_available{resource=\"CPU\"} 1.5",
        "iosdk_resource_available{resource=\"od\\\"d\"} 0",
    ] {
        assert!(lines.contains(&line), "{line} in {}", reply.text());
    }
    for start in [
        "iosdk_http_requests_total{method=\"GET\",route=\"/api/jobs/{id}\",status=\"404\"} ",
        "iosdk_http_requests_total{method=\"other\",route=\"other\",status=\"401\"} ",
        "iosdk_http_connections ",
    ] {
        let found = lines.iter().find_map(|line| line.strip_prefix(start)).expect(start);
        assert!(found.parse::<u64>().unwrap() >= 1, "{start}{found}");
    }
    assert_eq!(server.ask(bare(Method::GET, "/metrics", "")).await.status, 401);
}
