//! The supervisor of one job, from its fork to its report. While the job is quiet it sleeps; nothing ticks.

use crate::descendants::signal_descendants;
use crate::directory::{Claim, JobDir, SPEC, Started, now_ms};
use crate::entrypoint::{Entrypoint, READY};
use crate::kernel::{Signals, close_all_but, cpu_ns_of_children, fork};
use crate::nursery::Inheritance;
use crate::output::Output;
use iosdk_complain::complain;
use iosdk_types::{Exit, JobCause, JobReport, JobSpec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, wait};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(3);
/// Between two rounds of SIGKILL. The first one gets all but what forked meanwhile.
const ROUND: Duration = Duration::from_millis(20);
/// Between two attempts to write the report to a full disk.
const DISK_RETRY: Duration = Duration::from_secs(1);
/// Bytes that a pipe holds.
const PIECE: usize = 64 << 10;
/// Pieces that are read before orders are heard.
const PIECES: usize = 16;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// The shell runs, and nobody asked for its end.
    Not,
    /// SIGTERM was sent.
    Asked {
        kill_at: Instant,
    },
    Forced,
}

struct Supervisor {
    dir: JobDir,
    signals: Signals,
    output: Output,
    /// What the entrypoint prints comes here. None: nobody can print any more.
    pipe: Option<OwnedFd>,
    /// Where the shell-to-be says how far it came. None: it has said it.
    word: Option<OwnedFd>,
    said: Vec<u8>,
    shell: Pid,
    exit: Option<Exit>,
    started_ms: u64,
    ending: Ending,
    /// The shell still ran when somebody asked.
    stopped: bool,
}

/// The supervisor's life.
pub(crate) fn run(inheritance: Inheritance) -> i32 {
    match supervise(inheritance) {
        Ok(()) => 0,
        Err(error) => {
            complain!("iosdk-job: {error}");
            1
        }
    }
}

fn supervise(Inheritance { dir, lock }: Inheritance) -> io::Result<()> {
    close_all_but(&[dir.as_fd(), lock.as_fd()])?;
    let signals = Signals::take_over()?;
    let claim = Claim::own();
    dir.write_claim(&claim)?;
    rustix::process::setsid()?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    rustix::thread::set_name(c"iosdk-job")?;
    let file = own_stdio(&dir)?;
    let early = |cause| dir.write_report(&never_started(cause));
    // Someone may have asked before there was a pid to send a signal to.
    if dir.stop_order()?.is_some() {
        return early(JobCause::Stopped);
    }
    let spec = match dir.spec() {
        Ok(spec) => spec,
        Err(error) => return early(JobCause::CannotStart(format!("reading {SPEC}: {error}"))),
    };
    let output = Output::new(file, spec.log_limit);
    let (shell, pipe, word) = match start(&spec, &dir, &claim.mark) {
        Ok(started) => started,
        Err(error) => return early(JobCause::CannotStart(format!("forking the entrypoint: {error}"))),
    };
    let mut supervisor = Supervisor {
        dir,
        signals,
        output,
        pipe: Some(pipe),
        word: Some(word),
        said: Vec::new(),
        shell,
        exit: None,
        started_ms: 0,
        ending: Ending::Not,
        stopped: false,
    };
    drop(spec);
    supervisor.until_nothing_is_left()?;
    supervisor.leave_report()
}

/// The daemon's go, so that nobody waits for their end. What the supervisor has to say itself goes to the job's output.
fn own_stdio(dir: &JobDir) -> io::Result<std::fs::File> {
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    let file = dir.output()?;
    rustix::stdio::dup2_stderr(&file)?;
    Ok(file)
}

fn start(spec: &JobSpec, dir: &JobDir, mark: &str) -> io::Result<(Pid, OwnedFd, OwnedFd)> {
    let (pipe, output) = pipe_with(PipeFlags::CLOEXEC)?;
    let (heard, word) = pipe_with(PipeFlags::CLOEXEC)?;
    // These ends only: the job's own must block.
    rustix::io::ioctl_fionbio(&pipe, true)?;
    rustix::io::ioctl_fionbio(&heard, true)?;
    let supervisor = rustix::process::getpid();
    let shell = fork(move || Entrypoint { spec, dir, mark, supervisor, output, word }.run())?;
    Ok((shell, pipe, heard))
}

fn never_started(cause: JobCause) -> JobReport {
    let exit = Exit::Unknown;
    JobReport { exit, cause, started_ms: 0, ended_ms: now_ms(), cpu_ns: 0, log_bytes: 0, log_dropped: 0 }
}

impl Supervisor {
    fn until_nothing_is_left(&mut self) -> io::Result<()> {
        let mut piece = vec![0; PIECE];
        loop {
            self.sleep()?;
            self.read_output(&mut piece);
            self.hear_word()?;
            let (mut asked, mut forced) = (false, false);
            while let Some(signal) = self.signals.next()? {
                asked |= signal == libc::SIGTERM;
                forced |= matches!(signal, libc::SIGINT | libc::SIGUSR1);
            }
            if !self.reap()? {
                break;
            }
            if asked || forced {
                self.stopped |= self.exit.is_none();
            }
            self.end(asked || self.exit.is_some(), forced)?;
        }
        // All who could print are gone, and what they printed is in the pipe.
        while self.read_output(&mut piece) {}
        self.hear_word()
    }

    fn sleep(&self) -> io::Result<()> {
        let limit = match self.ending {
            Ending::Not => None,
            Ending::Asked { kill_at } => Some(kill_at.saturating_duration_since(Instant::now())),
            Ending::Forced => Some(ROUND),
        };
        let limit = limit.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
        let mut polled = vec![PollFd::new(&self.signals, PollFlags::IN)];
        polled.extend([&self.pipe, &self.word].into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::IN)));
        match poll(&mut polled, limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// True: there may be more.
    fn read_output(&mut self, piece: &mut [u8]) -> bool {
        for _ in 0..PIECES {
            let Some(pipe) = &self.pipe else { return false };
            match rustix::io::read(pipe, &mut *piece) {
                Ok(0) => self.pipe = None,
                Ok(got) => self.output.take(&piece[..got]),
                Err(Errno::AGAIN) => return false,
                Err(Errno::INTR) => {}
                Err(error) => {
                    complain!("iosdk-job: reading the entrypoint's output: {error}");
                    self.pipe = None;
                }
            }
        }
        true
    }

    fn hear_word(&mut self) -> io::Result<()> {
        let mut bytes = [0; 512];
        while let Some(word) = &self.word {
            match rustix::io::read(word, &mut bytes) {
                Ok(0) => {
                    self.word = None;
                    if self.said == [READY] {
                        self.started_ms = now_ms();
                        let pid = self.shell.as_raw_nonzero().get();
                        // A full disk is no reason to end the job. Its report says the same, when there is room.
                        if let Err(error) = self.dir.write_started(&Started { started_ms: self.started_ms, pid }) {
                            complain!("iosdk-job: {error}");
                        }
                    }
                }
                Ok(got) => self.said.extend_from_slice(&bytes[..got]),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Takes the exit statuses of who ended. False: nobody is left.
    fn reap(&mut self) -> io::Result<bool> {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.shell => self.exit = Some(exit_of(status)),
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => return Ok(true),
                Err(Errno::CHILD) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Moves towards the end, where somebody asked for it or the shell has ended.
    fn end(&mut self, asked: bool, forced: bool) -> io::Result<()> {
        let late = matches!(self.ending, Ending::Asked { kill_at } if kill_at <= Instant::now());
        if forced || late || self.ending == Ending::Forced {
            self.ending = Ending::Forced;
            signal_descendants(Signal::KILL)
        } else if asked && self.ending == Ending::Not {
            self.ending = Ending::Asked { kill_at: Instant::now() + GRACE };
            signal_descendants(Signal::TERM)
        } else {
            Ok(())
        }
    }

    /// The job may have filled the disk itself: that passes, and how it ended should not be lost to it. An order ends the wait.
    fn leave_report(&self) -> io::Result<()> {
        let report = self.report()?;
        loop {
            match self.dir.write_report(&report) {
                Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
                    let retry = Timespec::try_from(DISK_RETRY).map_err(io::Error::other)?;
                    if poll(&mut [PollFd::new(&self.signals, PollFlags::IN)], Some(&retry))? > 0 {
                        return Err(error);
                    }
                }
                done => return done,
            }
        }
    }

    fn report(&self) -> io::Result<JobReport> {
        let exit = self.exit.unwrap_or(Exit::Unknown);
        let text = self.said.strip_prefix(&[READY]).unwrap_or(&self.said);
        let (exit, cause) = if !text.is_empty() {
            (Exit::Unknown, JobCause::CannotStart(String::from_utf8_lossy(text).into_owned()))
        } else if self.stopped {
            (exit, JobCause::Stopped)
        } else if self.said.is_empty() {
            (exit, JobCause::CannotStart(format!("the process that made it ready {exit}")))
        } else {
            (exit, JobCause::Own)
        };
        Ok(JobReport {
            exit,
            cause,
            started_ms: self.started_ms,
            ended_ms: now_ms(),
            cpu_ns: cpu_ns_of_children()?,
            log_bytes: self.output.kept(),
            log_dropped: self.output.dropped(),
        })
    }
}

fn exit_of(status: WaitStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Unknown,
    }
}
