//! Kills at every stage: of the daemon, of the nursery, of the supervisor.

use crate::daemon::{Daemon, await_readable};
use crate::place::Place;
use iosdk_supervisor::{State, stop, watch};
use iosdk_types::{Exit, JobCause};
use rustix::process::Signal;

pub(crate) fn the_daemon_is_killed() {
    let place = Place::with("echo before; echo > ../ready; read x < ../go; echo after; exit 5");
    let (mut ready, mut go) = (place.fifo("ready"), place.fifo("go"));
    let mut daemon = Daemon::start();
    let nursery = daemon.nursery();
    daemon.spawn(&place.dir);
    ready.line();
    place.until(|dir| dir.join("started.json").exists());
    daemon.kill();
    nursery.await_end();

    // What the next daemon finds.
    let State::Running { pid: Some(_), started_ms: Some(started_ms) } = place.look() else { panic!() };
    let supervisor = watch(&place.dir).unwrap().unwrap();
    let mut next = Daemon::start();
    assert!(next.try_spawn(&place.dir).starts_with("ResourceBusy: "));
    go.write_line();
    await_readable(&supervisor);
    let report = place.report();
    assert_eq!((report.exit, report.cause, report.started_ms), (Exit::Code(5), JobCause::Own, started_ms));
    assert_eq!(place.text("output.log"), "before\nafter\n");
    assert!(watch(&place.dir).unwrap().is_none());
    assert!(next.try_spawn(&place.dir).starts_with("AlreadyExists: "));
    next.end();
}

pub(crate) fn the_supervisor_is_killed() {
    let script =
        "echo text; (setsid sh -c 'echo $$ > ../other; exec sleep 1000' &); sleep 1000 & echo $$ > ../shell; wait";
    let place = Place::with(script);
    let (mut shell, mut other) = (place.fifo("shell"), place.fifo("other"));
    let mut daemon = Daemon::start();
    daemon.spawn(&place.dir);
    let (shell, other) = (shell.process(), other.process());
    place.until(|dir| {
        let printed = dir.join("output.log").metadata().is_ok_and(|file| file.len() == 5);
        printed && dir.join("started.json").exists()
    });
    place.supervisor().signal(Signal::KILL);
    place.wait();
    // The shell goes with it, whether or not anybody looks.
    shell.await_end();
    let report = place.report();
    assert_eq!((report.exit, &report.cause), (Exit::Unknown, &JobCause::SupervisorDied));
    assert!(report.started_ms > 0 && report.started_ms <= report.ended_ms);
    assert_eq!(report.log_bytes, 5);
    assert!(other.has_ended());
    assert_eq!(place.report(), report, "it is said once");
    assert!(!stop(&place.dir, false).unwrap());
    assert!(watch(&place.dir).unwrap().is_none());
    assert!(daemon.try_spawn(&place.dir).starts_with("AlreadyExists: "));
    daemon.end();
}

pub(crate) fn the_supervisor_is_killed_before_the_start() {
    let place = Place::with_endless_start();
    let mut daemon = Daemon::start();
    daemon.spawn(&place.dir);
    place.until(|dir| dir.join("work").exists());
    assert!(matches!(place.look(), State::Running { pid: Some(_), started_ms: None }));
    place.supervisor().signal(Signal::KILL);
    place.wait();
    let report = place.report();
    assert_eq!((report.exit, report.cause, report.started_ms), (Exit::Unknown, JobCause::SupervisorDied, 0));
    daemon.end();
}

/// Asked for, and not forked yet.
fn between(place: &Place) -> Daemon {
    let mut daemon = Daemon::start();
    daemon.nursery().signal(Signal::STOP);
    daemon.spawn(&place.dir);
    assert_eq!(place.look(), State::Running { pid: None, started_ms: None });
    daemon
}

pub(crate) fn the_nursery_is_killed_before_it_forks() {
    let place = Place::with("exit 2");
    let mut daemon = between(&place);
    daemon.nursery().signal(Signal::KILL);
    place.wait();
    assert_eq!(place.look(), State::NotStarted);
    assert!(watch(&place.dir).unwrap().is_none());
    assert!(daemon.try_spawn(&place.dir).starts_with("BrokenPipe: "));
    daemon.end();
    let mut next = Daemon::start();
    next.spawn(&place.dir);
    place.wait();
    assert_eq!(place.report().exit, Exit::Code(2));
    next.end();
}

pub(crate) fn the_daemon_is_killed_before_the_nursery_forks() {
    let place = Place::with("exit 2");
    let daemon = between(&place);
    let nursery = daemon.nursery();
    daemon.kill();
    assert_eq!(place.look(), State::Running { pid: None, started_ms: None });
    nursery.signal(Signal::CONT);
    place.wait();
    assert_eq!(place.report().exit, Exit::Code(2));
}

pub(crate) fn stopped_before_the_nursery_forks() {
    let place = Place::with("exit 2");
    let daemon = between(&place);
    assert!(stop(&place.dir, false).unwrap());
    daemon.nursery().signal(Signal::CONT);
    place.wait();
    let report = place.report();
    assert_eq!((report.exit, report.cause, report.started_ms), (Exit::Unknown, JobCause::Stopped, 0));
    assert!(!place.path("work").exists());
    daemon.end();
}

pub(crate) fn stopped_before_the_start() {
    let place = Place::with_endless_start();
    let mut daemon = Daemon::start();
    daemon.spawn(&place.dir);
    place.until(|dir| dir.join("work").exists());
    assert!(stop(&place.dir, false).unwrap());
    place.wait();
    let report = place.report();
    assert_eq!((report.exit, report.cause, report.started_ms), (Exit::Signal(15), JobCause::Stopped, 0));
    daemon.end();
}

pub(crate) fn more_requests_than_fit() {
    let mut daemon = Daemon::start();
    daemon.nursery().signal(Signal::STOP);
    let mut places = Vec::new();
    let refused = loop {
        let place = Place::with("exit 2");
        match daemon.try_spawn(&place.dir) {
            answer if answer == "spawned" => places.push(place),
            answer => {
                assert!(answer.starts_with("WouldBlock: "), "{answer}");
                break place;
            }
        }
    };
    println!("    {} requests fit", places.len());
    assert_eq!(refused.look(), State::NotStarted);
    daemon.nursery().signal(Signal::CONT);
    for place in &places {
        place.wait();
        assert_eq!(place.report().exit, Exit::Code(2));
    }
    daemon.spawn(&refused.dir);
    refused.wait();
    assert_eq!(refused.report().exit, Exit::Code(2));
    daemon.end();
}
