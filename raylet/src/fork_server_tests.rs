//! The real fork server with the tests' package in place of the product's.

use super::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Signal, getrlimit, kill_process};
use std::path::PathBuf;
use std::time::Instant;

#[test]
fn replies_are_read_and_nonsense_is_not() {
    assert!(matches!(parse(b"R", None), Ok(Reply::Ready)));
    let text = b"N\x05\0\0\0\0\0\0\0no room";
    assert!(matches!(parse(text, None), Ok(Reply::Refused { process: 5, why }) if why == "no room"));
    let ended = b"X\0\0\0\0\x09\0\0\0\xf7\xff\xff\xff";
    assert!(matches!(parse(ended, None), Ok(Reply::Ended { pid: 9, exit: Exit::Signal(9) })));
    for bad in [b"".as_slice(), b"?", b"X\0\0\0\0\x09", b"F\x05\0\0\0\x01\0\0\0"] {
        assert!(parse(bad, None).is_err(), "{bad:?}");
    }
}

/// A package whose worker does `body`, beside the real fork server.
fn package(name: &str, body: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("iosdk-test-{}-{name}", std::process::id()));
    let package = dir.join("iosdk");
    std::fs::create_dir_all(&package).unwrap();
    std::fs::write(dir.join("cloudpickle.py"), "").unwrap();
    let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("../python/iosdk");
    std::fs::write(package.join("__init__.py"), format!("__path__.append({real:?})\n")).unwrap();
    std::fs::write(package.join("_worker.py"), body).unwrap();
    dir
}

fn start(dir: &Path) -> ForkServer {
    let environment = Environment {
        python: std::env::var_os("IOSDK_TEST_PYTHON").unwrap_or_else(|| "python3".into()).into(),
        sys_path: vec![dir.to_str().unwrap().to_owned()],
    };
    ForkServer::start(&environment, &dir.join("forkserver.log"), getrlimit(Resource::Nofile)).unwrap()
}

fn readable(fd: BorrowedFd<'_>) {
    let timeout = Timespec { tv_sec: 20, tv_nsec: 0 };
    assert_eq!(poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&timeout)).unwrap(), 1);
}

fn hear(server: &ForkServer) -> Reply {
    loop {
        match server.receive().unwrap() {
            Some(reply) => return reply,
            None => readable(server.channel()),
        }
    }
}

/// Asks for a worker; returns its pid and the daemon's ends of control socket, stdout and stderr.
fn fork(server: &ForkServer, number: u32) -> (i32, [OwnedFd; 3]) {
    let (near, far) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    let (out, stdout) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let (err, stderr) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    server.request(number, b"", [far.as_fd(), stdout.as_fd(), stderr.as_fd()]).unwrap();
    drop((far, stdout, stderr));
    match hear(server) {
        Reply::Forked { process, pid, pidfd: _ } => {
            assert_eq!(process, number);
            (pid, [near, out, err])
        }
        other => panic!("{other:?}"),
    }
}

fn read_all(fd: OwnedFd) -> String {
    std::io::read_to_string(std::fs::File::from(fd)).unwrap()
}

#[test]
fn a_child_starts_clean_and_its_end_is_reported() {
    let dir = package(
        "clean",
        "
import os, random, signal, sys
def run(control):
    os.write(control, b'!')
    fds = sorted(int(fd) for fd in os.listdir('/proc/self/fd'))[:-1]
    print(control, fds, os.getsid(0) == os.getpid(), os.readlink('/proc/self/fd/0'))
    print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, signal.getsignal(signal.SIGCHLD).name)
    print(random.random(), file=sys.stderr)
    os.read(control, 1)
    return 9
",
    );
    let server = start(&dir);
    assert!(matches!(hear(&server), Reply::Ready));
    let mut drawn = Vec::new();
    for number in 0..3 {
        let began = Instant::now();
        let (pid, [control, out, err]) = fork(&server, number);
        readable(control.as_fd());
        eprintln!("fork to first word: {:?}", began.elapsed());
        rustix::io::write(&control, b"!").unwrap();
        assert!(matches!(hear(&server), Reply::Ended { pid: ended, exit: Exit::Code(9) } if ended == pid));
        assert_eq!(read_all(out), "3 [0, 1, 2, 3] True /dev/null\nTrue SIG_DFL\n");
        drawn.push(read_all(err));
    }
    drawn.dedup();
    assert_eq!(drawn.len(), 3, "{drawn:?}");
    let (pid, _ends) = fork(&server, 3);
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    assert!(matches!(hear(&server), Reply::Ended { pid: ended, exit: Exit::Signal(9) } if ended == pid));
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn an_import_that_fails_or_starts_a_thread_is_named() {
    let thread = "
import threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
";
    for (name, body, expected) in [
        ("fails", "raise KeyError('reason')", "KeyError: 'reason'"),
        ("thread", thread, "iosdk._worker started a thread"),
    ] {
        let dir = package(name, body);
        let server = start(&dir);
        match hear(&server) {
            Reply::CannotStart(why) => assert!(why.contains(expected), "{why}"),
            other => panic!("{other:?}"),
        }
        readable(server.channel());
        assert_eq!(server.receive().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        std::fs::remove_dir_all(dir).unwrap();
    }
}

#[test]
fn it_ends_with_its_channel() {
    let dir = package("ends", "");
    let server = start(&dir);
    assert!(matches!(hear(&server), Reply::Ready));
    let pid = Pid::from_raw(server.pid()).unwrap();
    drop(server);
    let (_, status) = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).unwrap().unwrap();
    assert_eq!(status.exit_status(), Some(0));
    std::fs::remove_dir_all(dir).unwrap();
}
