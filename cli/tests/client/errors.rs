//! What goes wrong: no head, somebody else's words, tokens.

use crate::support::{Server, command, run};
use iosdk_http::{Token, serve};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn no_head_is_told_apart() {
    let scratch = tempfile::tempdir().unwrap();
    let missing = scratch.path().join("missing");
    for words in [&["status"][..], &["job", "list"], &["usage"], &["logs", "a"], &["job", "submit", "--", "true"]] {
        run(command(scratch.path(), words)).fails(3, &["no head runs in", "iosdk start --head"]);
        run(command(&missing, words)).fails(3, &["missing, which does not exist"]);
    }
    // A socket that nobody serves.
    drop(UnixListener::bind(scratch.path().join("http.sock")).unwrap());
    run(command(scratch.path(), &["status"])).fails(3, &["no head runs in"]);
    let dir = scratch.path().to_str().unwrap();
    run(command(scratch.path(), &["stop", "--data-dir", dir])).fails(3, &["no head runs in"]);
    let lock = std::fs::File::create(scratch.path().join("lock")).unwrap();
    lock.lock().unwrap();
    run(command(scratch.path(), &["status"])).fails(4, &["accepts no connections", "logs"]);
    run(command(scratch.path(), &["stop", "--data-dir", dir])).fails(4, &["starts or ends"]);
}

#[test]
fn addresses_that_cannot_be_meant_are_refused() {
    let dir = Path::new("/nonexistent");
    let at = |address: &str| run(command(dir, &["status", "--address", address]));
    at("nonsense").fails(2, &["must be a data directory", "\"nonsense\""]);
    at("https://127.0.0.1:1").fails(2, &["TLS"]);
    at("http://head:8265").fails(2, &["ssh -N -L"]);
    at("http://127.0.0.1:1").fails(2, &["--token-file"]);
    run(command(dir, &["start"])).fails(2, &["--head"]);
    run(command(dir, &["start", "--head", "--host", "0.0.0.0"])).fails(2, &["0.0.0.0", "TLS"]);
    run(command(dir, &["start", "--head", "--resources", "x"])).fails(2, &["--resources"]);
}

#[test]
fn a_directory_of_another_user_is_not_believed() {
    // Root's, or, for root, nobody's that could be made here: then there is nothing to test with.
    if rustix::process::getuid().is_root() {
        let scratch = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(scratch.path(), Some(65_534), None).unwrap();
        run(command(scratch.path(), &["status"])).fails(1, &["belongs to uid 65534", "not believed"]);
    } else {
        run(command(Path::new("/"), &["status"])).fails(1, &["belongs to uid 0", "not believed"]);
    }
}

#[test]
fn over_tcp_the_token_is_shown() {
    let server = Server::start();
    let file = server.dir().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    runtime.spawn(serve(listener, Token::from_file(&file).unwrap(), server.head.clone()));
    server.submit("a");
    let file = file.to_str().unwrap();
    assert!(server.run(&["job", "list", "--address", &url, "--token-file", file]).ok().starts_with("a\t"));
    let mut by_value = server.command(&["job", "list"]);
    by_value.env("IOSDK_ADDRESS", &url).env("RAY_AUTH_TOKEN", TOKEN);
    assert!(run(by_value).ok().starts_with("a\t"));
    let mut wrong = server.command(&["job", "list"]);
    wrong.env("IOSDK_ADDRESS", &url).env("RAY_AUTH_TOKEN", "wrong");
    run(wrong).fails(1, &["no valid token", file]);
    drop(runtime);
    server.run(&["status", "--address", &url, "--token-file", file]).fails(3, &["no head answers at", &url]);
}
