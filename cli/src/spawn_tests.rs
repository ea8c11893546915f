//! Starting a head's process, with shells in its place.

use super::*;
use rustix::process::getsid;
use std::path::Path;
use tempfile::TempDir;

/// For what is to happen at once.
const SOON: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

fn shell(script: &str) -> (TempDir, Result<Spawned, Failure>) {
    let scratch = tempfile::tempdir().unwrap();
    let dir = DataDir::given(Some(&scratch.path().join("head"))).unwrap();
    dir.create().unwrap();
    std::fs::write(dir.path().join("logs/node.log"), "of an earlier head\n").unwrap();
    let program = ["sh", "-c", script].map(OsString::from);
    let spawned = spawn(&program, &dir, &serde_json::json!({"port": 5}));
    (scratch, spawned)
}

fn end(mut spawned: Spawned) {
    spawned.child.kill().unwrap();
    spawned.child.wait().unwrap();
}

#[test]
fn a_head_that_is_ready_keeps_running_in_a_session_of_its_own() {
    let (scratch, spawned) = shell(r#"echo "$0 $1 $2 $3 $4"; echo "ready http://x:1" >&3; exec sleep 600"#);
    let spawned = spawned.unwrap();
    assert_eq!(spawned.url, "http://x:1");
    let pid = Pid::from_raw(spawned.child.id() as i32).unwrap();
    assert_eq!(getsid(Some(pid)).unwrap(), pid);
    let log = std::fs::read_to_string(scratch.path().join("head/logs/node.log")).unwrap();
    assert_eq!(log, "of an earlier head\nhead --config {\"port\":5} --ready-fd 3\n");
    end(spawned);
}

#[test]
fn it_holds_nothing_of_its_starters() {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let (_scratch, spawned) = shell(r#"echo "ready u" >&3; exec sleep 600"#);
    drop(writer);
    let mut ends = [PollFd::new(&reader, PollFlags::IN)];
    let closed = poll(&mut ends, Some(&SOON));
    end(spawned.unwrap());
    assert_eq!(closed, Ok(1), "the pipe is still open at its other end");
}

#[test]
fn a_head_that_cannot_start_says_why() {
    let text = |script| shell(script).1.err().unwrap().to_string();
    let told = text("echo 'a detail' >&2; echo 'error the port is taken' >&3; exit 1");
    assert!(told.contains("cannot start: the port is taken") && told.contains("a detail"), "{told}");
    assert!(!told.contains("of an earlier head"), "{told}");
    let died = text("seq 100 >&2; exit 7");
    assert!(died.contains("exit status: 7") && died.ends_with("\n99\n100") && !died.contains("\n80\n"), "{died}");
    let scratch = tempfile::tempdir().unwrap();
    let dir = DataDir::given(Some(&scratch.path().join("head"))).unwrap();
    dir.create().unwrap();
    let program = [Path::new("/nonexistent/iosdk").as_os_str().to_owned()];
    let missing = spawn(&program, &dir, &Value::Null).err().unwrap().to_string();
    assert!(missing.contains("starting the head: No such file"), "{missing}");
}
