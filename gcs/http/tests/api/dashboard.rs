//! The dashboard: its page for anybody, its passes for whoever has the token, and what a session may do.

use crate::client::{PATIENCE, Reply, Server, TOKEN, bare, request};
use hyper::Method;
use serde_json::json;

const FILES: [&str; 3] = ["/", "/dashboard/app.js", "/dashboard/style.css"];

async fn with(server: &Server, method: Method, path: &str, word: &str) -> Reply {
    let mut request = bare(method, path, "");
    request.headers_mut().insert("authorization", format!("Bearer {word}").parse().unwrap());
    server.ask(request).await
}

async fn pass(server: &Server, path: &str, word: &str) -> String {
    let reply = with(server, Method::POST, path, word).await;
    assert_eq!(reply.headers["cache-control"], "no-store");
    reply.json()["pass"].as_str().unwrap().to_owned()
}

async fn session(server: &Server) -> String {
    let ticket = pass(server, "/api/dashboard/ticket", TOKEN).await;
    pass(server, "/api/dashboard/session", &ticket).await
}

async fn get(server: &Server, path: &str) -> Reply {
    let reply = server.ask(bare(Method::GET, path, "")).await;
    assert_eq!(reply.status, 200, "{path}");
    reply
}

#[tokio::test]
async fn the_page_is_for_anybody_and_every_file_that_it_names_is_there() {
    let server = Server::start().await;
    let mut named = vec!["/".to_owned()];
    let mut at = 0;
    while at < named.len() {
        let reply = get(&server, &named[at]).await;
        let quoted = reply.text().split('"').skip(1).step_by(2);
        let local = quoted.filter(|word| word.starts_with("/dashboard/") || word.starts_with("./"));
        for path in local.map(|word| word.replace("./", "/dashboard/")) {
            if !named.contains(&path) {
                named.push(path);
            }
        }
        at += 1;
    }
    assert_eq!(named.len(), 12, "{named:?}");
    let ours = format!("http://{}", server.address);
    for path in &named {
        let reply = get(&server, path).await;
        let foreign =
            reply.text().split("http").skip(1).filter(|rest| rest.starts_with("://") || rest.starts_with("s://"));
        let foreign: Vec<&str> = foreign.filter(|rest| !rest.starts_with("://www.w3.org/2000/svg")).collect();
        assert!(foreign.is_empty() && !reply.text().contains(&ours), "{path} names another place: {foreign:?}");
    }
}

#[tokio::test]
async fn nothing_runs_but_its_own_scripts_and_no_frame_shows_it() {
    let server = Server::start().await;
    for path in FILES {
        let reply = get(&server, path).await;
        let (headers, body) = (&reply.headers, reply.text());
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"));
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["referrer-policy"], "no-referrer");
        assert!(!body.contains(TOKEN) && !body.contains("innerHTML") && !body.contains(" style="), "{path}");
    }
    let page = get(&server, "/").await;
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(
        page.text().matches("<script").count(),
        page.text().matches("></script>").count(),
        "a script inside the page"
    );
    assert_eq!(get(&server, "/dashboard/app.js").await.headers["content-type"], "text/javascript; charset=utf-8");
}

#[tokio::test]
async fn what_the_browser_has_is_not_sent_again() {
    let server = Server::start().await;
    let tag = get(&server, "/").await.headers["etag"].clone();
    let mut again = bare(Method::GET, "/", "");
    again.headers_mut().insert("if-none-match", tag.clone());
    let reply = server.ask(again).await;
    assert_eq!((reply.status, reply.body.len(), &reply.headers["etag"]), (304, 0, &tag));
    let mut other = bare(Method::GET, "/", "");
    other.headers_mut().insert("if-none-match", "\"another\"".parse().unwrap());
    assert_eq!(server.ask(other).await.status, 200);
}

#[tokio::test]
async fn only_the_page_is_open_and_only_to_its_own_origin() {
    let server = Server::start().await;
    for (method, path) in [
        (Method::POST, "/"),
        (Method::GET, "//"),
        (Method::GET, "/dashboard/"),
        (Method::GET, "/dashboard/none.js"),
        (Method::GET, "/dashboard/..%2fapp.js"),
        (Method::POST, "/api/dashboard/ticket"),
        (Method::POST, "/api/dashboard/session"),
    ] {
        assert_eq!(server.ask(bare(method, path, "")).await.status, 401, "{path}");
    }
    server.get("/dashboard/none.js").await.fails(404, &["/dashboard/none.js"]);
    for (name, value) in [("host", "evil.example"), ("origin", "http://evil.example")] {
        for path in FILES {
            let mut request = bare(Method::GET, path, "");
            request.headers_mut().insert(name, value.parse().unwrap());
            assert_eq!(server.ask(request).await.status, 403, "{name} {path}");
        }
    }
}

#[tokio::test]
async fn a_ticket_opens_one_session() {
    let server = Server::start().await;
    let ticket = pass(&server, "/api/dashboard/ticket", TOKEN).await;
    assert_eq!(with(&server, Method::GET, "/api/cluster", &ticket).await.status, 401);
    assert_eq!(with(&server, Method::POST, "/api/dashboard/ticket", &ticket).await.status, 401);
    let mut foreign = request(Method::POST, "/api/dashboard/session", "");
    foreign.headers_mut().insert("origin", "http://evil.example".parse().unwrap());
    foreign.headers_mut().insert("authorization", format!("Bearer {ticket}").parse().unwrap());
    assert_eq!(server.ask(foreign).await.status, 403);
    let first = pass(&server, "/api/dashboard/session", &ticket).await;
    assert_eq!(with(&server, Method::POST, "/api/dashboard/session", &ticket).await.status, 401);
    assert!(![&ticket[..], TOKEN].contains(&&first[..]));
    // Over the Unix socket, as the command line asks; and the token itself opens one too.
    let local = server.over_unix(bare(Method::POST, "/api/dashboard/ticket", "")).await.json();
    let second = pass(&server, "/api/dashboard/session", local["pass"].as_str().unwrap()).await;
    let third = pass(&server, "/api/dashboard/session", TOKEN).await;
    for word in [first, second, third] {
        assert_eq!(with(&server, Method::GET, "/api/cluster", &word).await.status, 200);
    }
}

#[tokio::test]
async fn a_session_reads_and_changes_nothing() {
    let server = Server::start().await;
    server.post("/api/jobs/", json!({"entrypoint": "true", "submission_id": "a"})).await.json();
    std::fs::write(server.head.log("a"), "said\n").unwrap();
    let word = session(&server).await;
    for path in ["/api/version", "/api/cluster", "/api/jobs/?limit=5", "/api/jobs/a", "/api/usage", "/metrics"] {
        assert_eq!(with(&server, Method::GET, path, &word).await.status, 200, "{path}");
    }
    assert_eq!(with(&server, Method::GET, "/api/jobs/a/logs/raw", &word).await.text(), "said\n");
    for (method, path) in [
        (Method::POST, "/api/jobs/"),
        (Method::POST, "/api/jobs/a/stop"),
        (Method::DELETE, "/api/jobs/a"),
        (Method::PUT, "/api/packages/gcs/x.zip"),
        (Method::POST, "/api/dashboard/ticket"),
        (Method::POST, "/api/dashboard/session"),
    ] {
        assert_eq!(with(&server, method, path, &word).await.status, 401, "{path}");
    }
    // By the header alone: a cookie would go to every port of this host.
    let mut cookie = bare(Method::GET, "/api/version", "");
    cookie.headers_mut().insert("cookie", format!("iosdk-token={word}").parse().unwrap());
    assert_eq!(server.ask(cookie).await.status, 401);
    assert_eq!(with(&server, Method::GET, "/api/version", &word[1..]).await.status, 401);
}

#[tokio::test]
async fn sessions_follow_so_many_logs_and_no_more() {
    let server = Server::start().await;
    server.post("/api/jobs/", json!({"entrypoint": "sleep 9", "submission_id": "a"})).await.json();
    let word = session(&server).await;
    let follow = || {
        let mut follow = bare(Method::GET, "/api/jobs/a/logs/raw?follow=1", "");
        follow.headers_mut().insert("authorization", format!("Bearer {word}").parse().unwrap());
        follow
    };
    let mut followed = Vec::new();
    for _ in 0..32 {
        followed.push(server.send(follow()).await);
        assert_eq!(followed.last().unwrap().status(), 200);
    }
    server.ask(follow()).await.fails(503, &["32 answers", "close pages"]);
    assert_eq!(server.get("/api/jobs/a").await.status, 200, "the token waits for no session");
    followed.pop();
    let again = async { while with(&server, Method::GET, "/api/cluster", &word).await.status == 503 {} };
    tokio::time::timeout(PATIENCE, again).await.expect("the place of the page that was closed");
    let mut upgrade = bare(Method::GET, "/api/jobs/a/logs/tail", "");
    for (name, value) in
        [("authorization", &format!("Bearer {word}")[..]), ("connection", "upgrade"), ("upgrade", "websocket")]
    {
        upgrade.headers_mut().insert(name, value.parse().unwrap());
    }
    assert_eq!(server.ask(upgrade).await.status, 401);
}
