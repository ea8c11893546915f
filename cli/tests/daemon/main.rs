//! The daemon as real processes: a driver, the daemon's binary, the real fork server, workers that only say hello.

mod support;

use iosdk_types::Exit;
use iosdk_types::message::ProcessToRaylet;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use support::{Driver, assert_nothing_left, fork_server_of, processes_of, scratch, start, start_with};

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

fn shut_down(mut driver: Driver, tmpdir: &Path) -> Driver {
    let began = Instant::now();
    driver.say(&ProcessToRaylet::Shutdown);
    while driver.next().is_some() {}
    assert!(driver.daemon.wait().unwrap().success());
    assert_nothing_left(tmpdir, began);
    driver
}

#[test]
fn a_worker_is_granted_and_its_output_comes_named() {
    let tmpdir = scratch("grant");
    let began = Instant::now();
    let mut driver = start(&tmpdir, "");
    driver.join();
    eprintln!("welcome after {:?}", began.elapsed());
    let (_, pid) = driver.worker();
    eprintln!("worker after {:?}", began.elapsed());
    let line = driver.until_printed(pid, "printed by the worker");
    assert_eq!((line.name.as_str(), line.pid, line.stderr), ("fake", pid, false));
    let driver = shut_down(driver, &tmpdir);
    // Its end was never printed, but it was not lost either.
    assert!(driver.log.iter().any(|line| line.stderr && line.text == "half a line, without its end"));
}

#[test]
fn the_death_of_a_worker_is_told_with_its_signal_and_last_lines() {
    let tmpdir = scratch("death");
    let mut driver = start(&tmpdir, "litter");
    driver.join();
    let (worker, pid) = driver.worker();
    driver.until_printed(pid, "littered");
    kill(pid);
    let death = driver.until_dead(worker);
    assert_eq!((death.pid, death.exit, death.intended), (pid, Exit::Signal(9), false));
    // Two streams: each in its own order, an unfinished line last.
    assert_eq!(death.last_lines, ["printed by the worker", "littered", "half a line, without its end"]);
    shut_down(driver, &tmpdir);
}

#[test]
fn a_worker_that_exits_is_told_with_its_code() {
    let tmpdir = scratch("exit");
    let mut driver = start(&tmpdir, "exit");
    driver.join();
    let (worker, pid) = driver.worker();
    driver.until_printed(pid, "waiting");
    kill_process(Pid::from_raw(pid).unwrap(), Signal::USR1).unwrap();
    assert_eq!(driver.until_dead(worker).exit, Exit::Code(17));
    shut_down(driver, &tmpdir);
}

#[test]
fn the_fork_server_may_die() {
    let tmpdir = scratch("server");
    let mut driver = start(&tmpdir, "");
    driver.join();
    let (first, pid) = driver.worker();
    let server = fork_server_of(&driver);
    kill(server);
    // Its children are the daemon's now, which learns how they end as a parent does.
    kill(pid);
    let death = driver.until_dead(first);
    assert_eq!((death.pid, death.exit), (pid, Exit::Signal(9)));
    // The demand stands; another server forks for it.
    let (second, _) = driver.worker();
    assert_ne!(first, second);
    shut_down(driver, &tmpdir);
}

#[test]
fn what_a_killed_daemon_left_is_swept_by_the_next() {
    let tmpdir = scratch("sweep");
    let mut first = start(&tmpdir, "");
    first.join();
    first.worker();
    first.daemon.kill().unwrap();
    first.daemon.wait().unwrap();
    while first.next().is_some() {}
    let home = std::fs::read_dir(&tmpdir).unwrap().next().unwrap().unwrap().path();
    assert_eq!(std::fs::read_dir(&home).unwrap().count(), 1);
    // Fork server and workers end by themselves; the directory goes with the next session.
    let mut second = start(&tmpdir, "");
    second.join();
    shut_down(second, &tmpdir);
}

#[test]
fn all_output_arrives() {
    let tmpdir = scratch("flood");
    let mut driver = start(&tmpdir, "flood");
    driver.join();
    let (_, pid) = driver.worker();
    driver.until_printed(pid, "flooded");
    let from_it = driver.log.iter().filter(|line| line.pid == pid);
    let numbers: Vec<_> = from_it.filter_map(|line| line.text.strip_prefix("flood ")?.parse::<u32>().ok()).collect();
    assert!(numbers.iter().copied().eq(0..20_000), "{} lines", numbers.len());
    shut_down(driver, &tmpdir);
}

#[test]
fn a_wrong_interpreter_ends_the_daemon_and_is_named() {
    let tmpdir = scratch("broken");
    let mut driver = start_with(&tmpdir, "", "/no/such/python", Stdio::piped());
    assert!(driver.next().is_none());
    let said = std::io::read_to_string(driver.daemon.stderr.take().unwrap()).unwrap();
    assert!(said.contains("/no/such/python"), "{said}");
    assert_eq!(driver.daemon.wait().unwrap().code(), Some(1));
    assert_nothing_left(&tmpdir, Instant::now());
}

/// Not a test by itself: the driver that the test below kills.
#[test]
#[ignore = "run by driver_killed_leaves_nothing"]
fn driver_to_be_killed() {
    let tmpdir = PathBuf::from(std::env::var_os("IOSDK_TEST_DIR").unwrap());
    let mut driver = start(&tmpdir, "litter");
    driver.join();
    let (_, pid) = driver.worker();
    driver.until_printed(pid, "littered");
    println!("driver is ready");
    while driver.next().is_some() {}
}

#[test]
fn driver_killed_leaves_nothing() {
    // No socket has a path, so a path longer than any socket may have does no harm.
    let top = scratch("killed");
    let tmpdir = top.join("x".repeat(200));
    std::fs::create_dir(&tmpdir).unwrap();
    let mut driver = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "driver_to_be_killed", "--nocapture"])
        .env("IOSDK_TEST_DIR", &tmpdir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let ready =
        BufReader::new(driver.stdout.take().unwrap()).lines().any(|line| line.unwrap().contains("driver is ready"));
    assert!(ready);
    // Daemon, fork server, workers, and the two children of each.
    let running = processes_of(&tmpdir).len();
    assert!(running >= 5, "{running} processes");
    let began = Instant::now();
    driver.kill().unwrap();
    driver.wait().unwrap();
    assert_nothing_left(&tmpdir, began);
    std::fs::remove_dir(&top).unwrap();
}
