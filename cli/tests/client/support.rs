//! A fake head that can go away and come back, and commands that are run against it.

use crate::fake::{Fake, Scratch};
use iosdk_http::{JobStatus, serve_unix};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

pub(crate) struct Server {
    pub(crate) head: Fake,
    serving: Option<JoinHandle<std::io::Result<()>>>,
    runtime: Runtime,
    // Last: what is served lies in it.
    pub(crate) scratch: Scratch,
}

impl Server {
    pub(crate) fn start() -> Self {
        let scratch = Scratch::new();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut server = Self { head: Fake::new(scratch.path()), serving: None, runtime, scratch };
        server.come_back();
        server
    }

    pub(crate) fn come_back(&mut self) {
        let _context = self.runtime.enter();
        let listener = UnixListener::bind(self.dir().join("http.sock")).unwrap();
        self.serving = Some(self.runtime.spawn(serve_unix(listener, self.head.clone())));
    }

    /// As a head does that is killed.
    pub(crate) fn go_away(&mut self) {
        let serving = self.serving.take().unwrap();
        serving.abort();
        assert!(self.runtime.block_on(serving).unwrap_err().is_cancelled());
        std::fs::remove_file(self.dir().join("http.sock")).unwrap();
    }

    pub(crate) fn dir(&self) -> &Path {
        self.scratch.path()
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        command(self.dir(), words)
    }

    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        run(self.command(words))
    }

    /// A job whose log and end are the test's.
    pub(crate) fn submit(&self, id: &str) {
        self.run(&["job", "submit", "--no-wait", "--submission-id", id, "--", "true"]).ok();
    }

    pub(crate) fn prints(&self, id: &str, text: &str) {
        let mut log = OpenOptions::new().append(true).create(true).open(self.head.log(id)).unwrap();
        log.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn ends(&self, id: &str, status: JobStatus, code: Option<i32>) {
        let mut state = self.head.state();
        let job = state.jobs.iter_mut().find(|job| job.submission_id.as_deref() == Some(id)).unwrap();
        (job.status, job.driver_exit_code, job.message) = (status, code, Some("so it ended".to_owned()));
    }
}

/// With nothing of this process's environment but the way to programs.
pub(crate) fn command(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iosdk"));
    command.env_clear().env("HOME", dir).env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("TMPDIR", std::env::temp_dir()).env("IOSDK_ADDRESS", dir).args(words).stdin(Stdio::null());
    command
}

#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn run(mut command: Command) -> Ran {
    Ran::from(command.output().unwrap())
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().expect("an exit, not a signal");
        Self { code, out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Ran {
    /// What it printed.
    pub(crate) fn ok(&self) -> &str {
        assert_eq!(self.code, 0, "{self:?}");
        &self.out
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(self.ok()).unwrap()
    }

    pub(crate) fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(words.iter().all(|word| self.err.contains(word)), "{words:?} in {self:?}");
    }
}

/// A command that runs beside the test. Killed when the test gives up.
pub(crate) struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    err: BufReader<ChildStderr>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Self { child, out: BufReader::new(out), err: BufReader::new(err) }
    }

    pub(crate) fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// Waits for it.
    pub(crate) fn out_line(&mut self) -> String {
        line(&mut self.out)
    }

    pub(crate) fn err_line(&mut self) -> String {
        line(&mut self.err)
    }

    pub(crate) fn end(mut self) -> Ran {
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).unwrap();
        self.err.read_to_string(&mut err).unwrap();
        Ran { code: self.child.wait().unwrap().code().expect("an exit, not a signal"), out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _it_has_ended_already = self.child.kill();
        let _it_has_been_waited_for = self.child.wait();
    }
}

fn line(from: &mut impl BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    line
}
