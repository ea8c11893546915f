//! Who gets in.

use crate::client::{Server, TOKEN, bare, request};
use hyper::Method;

async fn with(server: &Server, headers: &[(&str, &str)]) -> u16 {
    let mut request = bare(Method::GET, "/api/version", "");
    for (name, value) in headers {
        request
            .headers_mut()
            .append(hyper::header::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    server.ask(request).await.status
}

#[tokio::test]
async fn the_token_opens_and_nothing_else_does() {
    let server = Server::start().await;
    let good = format!("Bearer {TOKEN}");
    let cookie = format!("iosdk-token={TOKEN}");
    let wrong = format!("Bearer {}", TOKEN.replace('0', "1"));
    let long = format!("Bearer {TOKEN}x");
    assert_eq!(with(&server, &[("authorization", &good)]).await, 200);
    assert_eq!(with(&server, &[("authorization", &good.replace("Bearer", "bearer"))]).await, 200);
    assert_eq!(with(&server, &[("cookie", &cookie)]).await, 200);
    assert_eq!(with(&server, &[("cookie", &format!("a=b; {cookie}; c=d"))]).await, 200);
    assert_eq!(with(&server, &[("cookie", "iosdk-token=stale"), ("cookie", &cookie)]).await, 200);
    let refused: [&[(&str, &str)]; 11] = [
        &[],
        &[("authorization", "")],
        &[("authorization", "Bearer ")],
        &[("authorization", TOKEN)],
        &[("authorization", &wrong)],
        &[("authorization", &long)],
        &[("authorization", &good[..good.len() - 1])],
        &[("authorization", &good.replace("Bearer", "Basic"))],
        &[("authorization", &wrong), ("cookie", &cookie)],
        &[("cookie", "iosdk-token=")],
        &[("cookie", &format!("x{cookie}"))],
    ];
    for headers in refused {
        assert_eq!(with(&server, headers).await, 401, "{headers:?}");
    }
}

#[tokio::test]
async fn who_is_refused_learns_what_to_do_and_nothing_about_routes() {
    let server = Server::start().await;
    let first = server.ask(bare(Method::GET, "/api/jobs/", "")).await;
    let file = server.scratch.path().join("token");
    first.fails(401, &[file.to_str().unwrap(), "iosdk status", "Authorization: Bearer"]);
    assert_eq!(first.headers["www-authenticate"], "Bearer");
    assert_eq!(first.headers["connection"], "close");
    for (method, path) in [
        (Method::POST, "/"),
        (Method::GET, "/api/nothing"),
        (Method::PATCH, "/api/jobs/"),
        (Method::GET, "/metrics"),
        (Method::GET, "/healthz/x"),
        (Method::GET, "//healthz"),
        (Method::GET, "/api/jobs/?limit=nonsense"),
        (Method::POST, "/api/jobs/"),
    ] {
        let mut request = bare(method, path, "{nonsense");
        request.headers_mut().insert("authorization", "Bearer wrong".parse().unwrap());
        let reply = server.ask(request).await;
        assert_eq!((reply.status, &reply.body), (401, &first.body), "{path}");
    }
    assert!(server.head.state().jobs.is_empty());
}

#[tokio::test]
async fn names_of_others_are_refused_even_with_the_token() {
    let server = Server::start().await;
    let port = server.address.port();
    let asked = async |host: &str, origin: Option<&str>| {
        let mut request = request(Method::GET, "/api/version", "");
        request.headers_mut().insert("host", host.parse().unwrap());
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse().unwrap());
        }
        server.ask(request).await
    };
    let own = format!("localhost:{port}");
    assert_eq!(asked(&own, None).await.status, 200);
    assert_eq!(asked(&format!("[::1]:{port}"), None).await.status, 200);
    assert_eq!(asked(&own, Some(&format!("http://{own}"))).await.status, 200);
    for host in ["evil.example", "localhost", "localhost:1", &format!("evil.example:{port}"), ""] {
        asked(host, None).await.fails(403, &["Host", &own, host]);
    }
    for origin in ["http://evil.example", "null", "http://localhost:1", &format!("https://{own}"), "http://localhost"] {
        asked(&own, Some(origin)).await.fails(403, &["origin", origin]);
    }
    let mut healthz = bare(Method::GET, "/healthz", "");
    healthz.headers_mut().insert("host", "evil.example".parse().unwrap());
    assert_eq!(server.ask(healthz).await.status, 403);
}

#[tokio::test]
async fn the_unix_socket_wants_no_token_from_this_user() {
    let server = Server::start().await;
    assert_eq!(server.over_unix(bare(Method::GET, "/api/version", "")).await.json()["version"], "4");
    server.over_unix(bare(Method::GET, "/api/nothing", "")).await.fails(404, &["/api/nothing"]);
}

#[test]
fn only_a_private_file_with_a_long_token_will_do() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = crate::fake::Scratch::new();
    let file = scratch.path().join("token");
    let refused = |text: &str, mode: u32| {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let error = iosdk_http::Token::from_file(&file).err().map(|error| error.to_string());
        assert!(
            error.iter().all(|error| error.contains(file.to_str().unwrap()) && !error.contains(TOKEN)),
            "{error:?}"
        );
        error
    };
    assert_eq!(refused(TOKEN, 0o600), None);
    assert!(refused(TOKEN, 0o640).unwrap().contains("mode 640"));
    assert!(refused("short", 0o600).unwrap().contains("at least 32"));
    assert!(refused(&format!("{TOKEN}; Path=/"), 0o600).unwrap().contains("letters, digits"));
    std::fs::remove_file(&file).unwrap();
    let missing = iosdk_http::Token::from_file(&file).err().unwrap();
    assert!(missing.to_string().contains("cannot be looked at"), "{missing}");
}
