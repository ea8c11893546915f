//! A job's directory as a test uses it, with named pipes by which the entrypoint and the test meet.

use crate::daemon::{Watched, await_readable};
use iosdk_supervisor::{State, look, prepare, watch};
use iosdk_types::{JobReport, JobSpec};
use rustix::fs::{CWD, FileType, Mode, inotify};
use rustix::process::Pid;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

static PLACES: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Place {
    root: PathBuf,
    pub(crate) dir: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::below("")
    }

    /// In a directory with this much of a path before it.
    pub(crate) fn below(path: &str) -> Self {
        let n = PLACES.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("iosdk-test-{}-{n}", std::process::id()));
        let above = root.join(path);
        std::fs::create_dir_all(&above).unwrap();
        Self { root, dir: above.join("1") }
    }

    pub(crate) fn with(entrypoint: &str) -> Self {
        let place = Self::new();
        place.prepare(&spec(entrypoint));
        place
    }

    pub(crate) fn prepare(&self, spec: &JobSpec) {
        prepare(&self.dir, spec).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn fifo(&self, name: &str) -> Fifo {
        rustix::fs::mknodat(CWD, self.path(name), FileType::Fifo, Mode::from(0o600), 0).unwrap();
        // For both, so that opening it waits for nobody.
        let file = File::options().read(true).write(true).open(self.path(name)).unwrap();
        Fifo(BufReader::new(file))
    }

    /// A job whose start waits for ever: its archive is a named pipe that nobody writes into.
    pub(crate) fn with_endless_start() -> Self {
        let place = Self::new();
        place.prepare(&JobSpec { working_dir: Some("archive".to_owned()), ..spec("true") });
        rustix::fs::mknodat(CWD, place.path("archive"), FileType::Fifo, Mode::from(0o600), 0).unwrap();
        place
    }

    pub(crate) fn look(&self) -> State {
        look(&self.dir).unwrap()
    }

    pub(crate) fn report(&self) -> JobReport {
        match self.look() {
            State::Ended(report) => report,
            other => panic!("{other:?}"),
        }
    }

    /// Until the supervisor is gone.
    pub(crate) fn wait(&self) {
        if let Some(supervisor) = watch(&self.dir).unwrap() {
            await_readable(&supervisor);
        }
    }

    /// The supervisor of a job that runs.
    pub(crate) fn supervisor(&self) -> Watched {
        match self.look() {
            State::Running { pid: Some(pid), .. } => Watched::new(Pid::from_raw(pid).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    /// Looks again whenever something in the directory changes.
    pub(crate) fn until(&self, condition: impl Fn(&Path) -> bool) {
        let changes = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC).unwrap();
        let what = inotify::WatchFlags::MODIFY | inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::CREATE;
        inotify::add_watch(&changes, &self.dir, what).unwrap();
        while !condition(&self.dir) {
            await_readable(&changes);
            let mut events = [0; 4_096];
            rustix::io::read(&changes, &mut events).unwrap();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.root).unwrap();
    }
}

pub(crate) struct Fifo(BufReader<File>);

impl Fifo {
    pub(crate) fn line(&mut self) -> String {
        if self.0.buffer().is_empty() {
            await_readable(self.0.get_ref());
        }
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The process that wrote its number.
    pub(crate) fn process(&mut self) -> Watched {
        Watched::new(Pid::from_raw(self.line().parse().unwrap()).unwrap())
    }

    pub(crate) fn write_line(&mut self) {
        self.0.get_mut().write_all(b"go\n").unwrap();
    }
}

pub(crate) fn spec(entrypoint: &str) -> JobSpec {
    JobSpec {
        submission_id: "job-1".to_owned(),
        entrypoint: entrypoint.to_owned(),
        env: Vec::new(),
        secrets_file: None,
        working_dir: None,
        log_limit: 1 << 20,
    }
}
