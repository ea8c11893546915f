//! How jobs end: by themselves, and because somebody asked.

use crate::daemon::Daemon;
use crate::place::{Place, spec};
use iosdk_supervisor::{State, stop};
use iosdk_types::{Exit, JobCause, JobReport, JobSpec};

/// What a supervisor gives between SIGTERM and SIGKILL.
const GRACE_MS: u64 = 3_000;

fn run(place: &Place) -> JobReport {
    let mut daemon = Daemon::start();
    daemon.spawn(&place.dir);
    place.wait();
    daemon.end();
    place.report()
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

pub(crate) fn exit_codes() {
    for code in [0, 3] {
        let before = now_ms();
        let place = Place::with(&format!("n=0; while [ $n -lt 20000 ]; do n=$((n + 1)); done; exit {code}"));
        assert_eq!(place.look(), State::NotStarted);
        let report = run(&place);
        assert_eq!((report.exit, &report.cause), (Exit::Code(code), &JobCause::Own));
        assert!(before <= report.started_ms && report.started_ms <= report.ended_ms && report.ended_ms <= now_ms());
        assert!(report.cpu_ns > 0);
        assert_eq!((report.log_bytes, report.log_dropped), (0, 0));
        assert!(place.text("started.json").contains(&format!("\"started_ms\":{}", report.started_ms)));
        assert!(!stop(&place.dir, true).unwrap(), "nothing runs");
    }
}

pub(crate) fn signals() {
    let report = run(&Place::with("kill -9 $$"));
    assert_eq!((report.exit, report.cause), (Exit::Signal(9), JobCause::Own));
    // Nothing of what the daemon had blocked or ignored is left.
    let report = run(&Place::with("kill -15 $$; exit 4"));
    assert_eq!((report.exit, report.cause), (Exit::Signal(15), JobCause::Own));
}

pub(crate) fn output_in_its_order_and_at_once() {
    let place = Place::with("printf a; printf b >&2; sh -c 'printf c'; printf d >&2; read x < ../go; printf '\\nlast'");
    let mut go = place.fifo("go");
    let mut daemon = Daemon::start();
    daemon.spawn(&place.dir);
    // While it runs, and without the end of a line.
    place.until(|dir| std::fs::read(dir.join("output.log")).is_ok_and(|text| text == b"abcd"));
    go.write_line();
    place.wait();
    daemon.end();
    assert_eq!(place.text("output.log"), "abcd\nlast");
    assert_eq!(place.report().log_bytes, 9);
}

pub(crate) fn output_past_the_limit() {
    let place = Place::new();
    place.prepare(&JobSpec { log_limit: 1_000, ..spec("head -c 300000 /dev/zero | tr '\\0' x; echo end >&2") });
    let report = run(&place);
    assert_eq!((report.exit, report.log_bytes, report.log_dropped), (Exit::Code(0), 1_000, 299_004));
    let expected = "x".repeat(1_000) + "\n[iosdk: further output is dropped: the limit is 1000 bytes]\n";
    assert_eq!(place.text("output.log"), expected);
}

/// The shell ends; a process in another session that it no longer knows of does not.
fn with_grandchild(first: &str) -> u64 {
    let script = format!("(setsid sh -c '{first} echo $$ > ../pid; exec sleep 1000' &) ; read x < ../go; exit 6");
    let place = Place::with(&script);
    let (mut pid, mut go) = (place.fifo("pid"), place.fifo("go"));
    let mut daemon = Daemon::start();
    daemon.spawn(&place.dir);
    let grandchild = pid.process();
    let before = now_ms();
    go.write_line();
    place.wait();
    daemon.end();
    assert!(grandchild.has_ended());
    let report = place.report();
    assert_eq!((report.exit, report.cause), (Exit::Code(6), JobCause::Own));
    report.ended_ms - before
}

pub(crate) fn a_daemonised_grandchild() {
    with_grandchild("");
}

pub(crate) fn a_grandchild_that_ignores_sigterm() {
    assert!(with_grandchild("trap \"\" TERM;") >= GRACE_MS);
}

/// Stops it once it has said that it is ready. Also how many milliseconds that took.
fn stop_when_ready(place: &Place, force: bool) -> (JobReport, u64) {
    let mut ready = place.fifo("ready");
    let mut daemon = Daemon::start();
    daemon.spawn(&place.dir);
    ready.line();
    let before = now_ms();
    assert!(stop(&place.dir, force).unwrap());
    place.wait();
    daemon.end();
    let report = place.report();
    let took = report.ended_ms - before;
    (report, took)
}

pub(crate) fn stopped() {
    let place = Place::with("trap 'echo bye; exit 7' TERM; sleep 1000 & echo > ../ready; wait");
    let (report, _) = stop_when_ready(&place, false);
    assert_eq!((report.exit, report.cause), (Exit::Code(7), JobCause::Stopped));
    assert_eq!(place.text("output.log"), "bye\n");
}

pub(crate) fn stopped_and_ignoring_it() {
    let place = Place::with("trap '' TERM; echo > ../ready; sleep 1000; true");
    let (report, took) = stop_when_ready(&place, false);
    assert_eq!((report.exit, report.cause), (Exit::Signal(9), JobCause::Stopped));
    assert!(took >= GRACE_MS, "it had {took} ms");
}

pub(crate) fn stopped_by_force() {
    let place = Place::with("trap 'echo no' TERM; setsid sleep 1000 & echo > ../ready; wait; wait; sleep 1000");
    let (report, _) = stop_when_ready(&place, true);
    assert_eq!((report.exit, report.cause), (Exit::Signal(9), JobCause::Stopped));
    assert_eq!(place.text("output.log"), "");
}
