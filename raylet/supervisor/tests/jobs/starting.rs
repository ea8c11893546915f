//! What a job is started with, and what keeps it from starting.

use crate::daemon::{Daemon, FROM_DAEMON};
use crate::place::{Place, spec};
use iosdk_types::{Exit, JobCause, JobReport, JobSpec};
use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use zip::write::SimpleFileOptions;

const SECRET: &str = "a value that nobody may see";

fn run(daemon: &mut Daemon, place: &Place) -> JobReport {
    daemon.spawn(&place.dir);
    place.wait();
    place.report()
}

/// The reason that was given.
fn cannot_start(daemon: &mut Daemon, place: &Place) -> String {
    let report = run(daemon, place);
    assert_eq!((report.exit, report.started_ms), (Exit::Unknown, 0));
    assert!(!place.path("started.json").exists());
    match report.cause {
        JobCause::CannotStart(why) => why,
        other => panic!("{other:?}"),
    }
}

fn write(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn files_with(dir: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_with(&path, text));
        } else if entry.file_type().unwrap().is_file()
            && std::fs::read(&path).unwrap().windows(text.len()).any(|bytes| bytes == text.as_bytes())
        {
            found.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    found
}

pub(crate) fn environment_and_secrets() {
    let mut daemon = Daemon::start();
    let place = Place::new();
    let script = format!(
        "test \"$TOKEN\" = '{}' && echo \"$PLAIN $IOSDK_TEST_OF_DAEMON\"; pwd; ls -l /proc/self/fd | wc -l; cat",
        // Not the value itself: the script lies in the directory.
        SECRET.replace("nobody", "no''body")
    );
    let env = vec![("PLAIN".to_owned(), "plain".to_owned())];
    place.prepare(&JobSpec { env, secrets_file: Some("secrets".to_owned()), ..spec(&script) });
    write(&place.path("secrets"), &format!("{{\"TOKEN\": \"{SECRET}\"}}"), 0o600);
    assert_eq!(run(&mut daemon, &place).exit, Exit::Code(0));
    // A line of `ls` says the total; it has its three and the directory that it reads.
    let expected = format!("plain {}\n{}\n5\n", FROM_DAEMON.1, place.path("work").display());
    assert_eq!(place.text("output.log"), expected);
    assert_eq!(files_with(&place.dir, SECRET), ["secrets"]);
    for name in ["spec.json", "lock", "supervisor.json", "output.log", "started.json", "report.json"] {
        let mode = place.path(name).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
    for directory in ["", "work"] {
        assert_eq!(place.path(directory).metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }
    daemon.end();
}

fn archive(path: &Path, entries: &[(&str, u32, &str)]) {
    let mut zip = zip::ZipWriter::new(File::create(path).unwrap());
    for (name, mode, content) in entries {
        zip.start_file(*name, SimpleFileOptions::default().unix_permissions(*mode)).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
}

pub(crate) fn a_working_directory_from_an_archive() {
    let mut daemon = Daemon::start();
    let place = Place::new();
    place.prepare(&JobSpec { working_dir: Some("code.zip".to_owned()), ..spec("bin/run && cat data/text") });
    let entries = [("bin/run", 0o755, "#!/bin/sh\necho it runs\n"), ("data/text", 0o644, "data\n")];
    archive(&place.path("code.zip"), &entries);
    assert_eq!(run(&mut daemon, &place).exit, Exit::Code(0));
    assert_eq!(place.text("output.log"), "it runs\ndata\n");

    let place = Place::new();
    let path = place.dir.with_extension("zip");
    place.prepare(&JobSpec { working_dir: Some(path.to_str().unwrap().to_owned()), ..spec("true") });
    archive(&path, &[("fine", 0o644, ""), ("../x", 0o644, "out")]);
    let why = cannot_start(&mut daemon, &place);
    assert!(why.contains(path.to_str().unwrap()) && why.contains("entry \"../x\": "), "{why}");
    assert!(!place.path("x").exists());
    daemon.end();
}

pub(crate) fn what_cannot_start() {
    let mut daemon = Daemon::start();
    let place = Place::with("true");
    std::fs::remove_file(place.path("spec.json")).unwrap();
    assert_eq!(cannot_start(&mut daemon, &place), "reading spec.json: spec.json is not there");

    let place = Place::with("true");
    write(&place.path("spec.json"), "{\"submission_id\": 3}", 0o600);
    let why = cannot_start(&mut daemon, &place);
    assert!(why.starts_with("reading spec.json: spec.json: invalid type"), "{why}");

    let place = Place::new();
    place.prepare(&JobSpec { working_dir: Some("nowhere.zip".to_owned()), ..spec("true") });
    let why = cannot_start(&mut daemon, &place);
    assert!(why.starts_with("working_dir nowhere.zip: No such file"), "{why}");

    let place = Place::new();
    place.prepare(&JobSpec { env: vec![("A=B".to_owned(), "1".to_owned())], ..spec("true") });
    let why = cannot_start(&mut daemon, &place);
    assert!(why.contains("\"A=B\" is not a name"), "{why}");

    // A command line longer than the kernel takes: the last step of all.
    let place = Place::with(&"x".repeat(300_000));
    let why = cannot_start(&mut daemon, &place);
    assert!(why.starts_with("/bin/sh: Argument list too long"), "{why}");

    for (text, mode, expected) in [
        (format!("{{\"TOKEN\": \"{SECRET}\"}}"), 0o640, "its mode is 640"),
        (format!("\"{SECRET}\""), 0o600, "not a JSON object of strings, from line 1"),
        (format!("{{\"TOKEN\": \"{SECRET}\\u0000\"}}"), 0o600, "the value of TOKEN contains a NUL"),
    ] {
        let place = Place::new();
        place.prepare(&JobSpec { secrets_file: Some("secrets".to_owned()), ..spec("true") });
        write(&place.path("secrets"), &text, mode);
        let why = cannot_start(&mut daemon, &place);
        assert!(why.contains(expected), "{why}");
        assert_eq!(files_with(&place.dir, SECRET), ["secrets"]);
    }
    daemon.end();
}

pub(crate) fn long_paths() {
    let mut daemon = Daemon::start();
    for pieces in [2, 15] {
        let place = Place::below(&vec!["d".repeat(250); pieces].join("/"));
        assert!(place.dir.as_os_str().len() > pieces * 250);
        place.prepare(&spec("echo text; exit 9"));
        assert_eq!(run(&mut daemon, &place).exit, Exit::Code(9));
        assert_eq!(place.text("output.log"), "text\n");
    }
    let error = daemon.try_spawn(Path::new("/nowhere/1"));
    assert!(error.starts_with("NotFound: starting the supervisor of /nowhere/1: "), "{error}");
    daemon.end();
}

/// Kilobytes of a line of the kernel's summary of a process's memory.
fn kilobytes(rollup: &str, names: &[&str]) -> u64 {
    let lines = rollup.lines().filter_map(|line| line.split_once(':')).filter(|(name, _)| names.contains(name));
    lines.map(|(_, rest)| rest.trim().trim_end_matches(" kB").parse::<u64>().unwrap()).sum()
}

pub(crate) fn a_quiet_supervisor_is_small() {
    let place = Place::with("echo text; echo > ../ready; read x < ../go");
    let (mut ready, mut go) = (place.fifo("ready"), place.fifo("go"));
    let mut daemon = Daemon::start();
    daemon.spawn(&place.dir);
    ready.line();
    place.until(|dir| dir.join("started.json").exists());
    let iosdk_supervisor::State::Running { pid: Some(pid), .. } = place.look() else { panic!() };
    assert_eq!(std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap(), "iosdk-job\n");
    let memory = |pid: i32| {
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let private = kilobytes(&rollup, &["Private_Clean", "Private_Dirty"]);
        (private, kilobytes(&rollup, &["Pss"]))
    };
    let (private, proportional) = memory(pid);
    println!("    private {private} KiB, proportional {proportional} KiB");
    // Alone, it owns what it shared with the nursery.
    let nursery = daemon.nursery();
    daemon.kill();
    nursery.await_end();
    let (alone, proportional) = memory(pid);
    println!("    without daemon and nursery: private {alone} KiB, proportional {proportional} KiB");
    assert!(private <= 1_024, "{private} KiB");
    go.write_line();
    place.wait();
    assert_eq!(place.report().exit, Exit::Code(0));
}
