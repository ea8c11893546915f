//! The head's process: started away from this terminal, waited for until it is ready, and, for `--block`, until it ends.

use crate::client::block_on;
use crate::data_dir::DataDir;
use crate::failure::{Done, Failure, failed};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, PipeWriter, Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// The number of the head's end of the pipe.
const READY_FD: RawFd = 3;
/// It reads its log first, which may be long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Of the log of a head that did not start.
const TAIL: usize = 20;

pub(crate) struct Spawned {
    pub(crate) child: Child,
    pub(crate) url: String,
}

/// Returns once the head serves.
pub(crate) fn spawn(program: &[OsString], dir: &DataDir, config: &Value) -> Result<Spawned, Failure> {
    let log = dir.path().join("logs/node.log");
    let open = OpenOptions::new().append(true).create(true).mode(0o600).open(&log);
    let opened = open.and_then(|file| Ok((file.metadata()?.len(), file)));
    let (before, file) = opened.map_err(|error| failed(&log.display().to_string(), error))?;
    let (reader, writer) = io::pipe().map_err(|error| failed("making a pipe", error))?;
    let mut child = command(program, config, &file, writer)
        .and_then(|mut command| command.spawn())
        .map_err(|error| failed("starting the head", error))?;
    let (said, in_time) = first_line(reader).map_err(|error| failed("waiting for the head", error))?;
    if let Some(url) = said.strip_prefix("ready ") {
        return Ok(Spawned { child, url: url.to_owned() });
    }
    if !in_time {
        child.kill().map_err(|error| failed("ending the head", error))?;
    }
    let status = child.wait().map_err(|error| failed("waiting for the head's end", error))?;
    let text = match (said.strip_prefix("error "), in_time) {
        (Some(why), _) => format!("the head cannot start: {why}"),
        (None, true) => format!("the head ended before it was ready ({status})"),
        (None, false) => format!("the head was not ready within {} s and was killed", PATIENCE.as_secs()),
    };
    let tail = tail(&log, before).map_err(|error| failed(&log.display().to_string(), error))?;
    let tail = if tail.is_empty() { String::new() } else { format!(". The end of {}:\n{tail}", log.display()) };
    Err(Failure::Failed(text + &tail))
}

fn command(program: &[OsString], config: &Value, log: &File, ready: PipeWriter) -> io::Result<Command> {
    let (first, rest) = program.split_first().ok_or_else(|| io::Error::other("no program to run"))?;
    let mut command = Command::new(first);
    command.args(rest).arg("head").arg("--config").arg(config.to_string());
    command.arg("--ready-fd").arg(READY_FD.to_string());
    command.current_dir("/").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
    detach(&mut command, ready);
    Ok(command)
}

/// A session of its own, and of this process's descriptors only the pipe: whoever waits for the others to close need not wait
/// for the head.
#[allow(unsafe_code)]
fn detach(command: &mut Command, ready: PipeWriter) {
    let detached = move || {
        rustix::process::setsid()?;
        let end = ready.as_raw_fd();
        // SAFETY: system calls on numbers. Only this child is concerned, which runs nothing else before it becomes another
        // program; at the number that dup2 takes over it has nothing that it will need but what std keeps for a failed exec,
        // which lies elsewhere then: it is moved out of the way first.
        unsafe {
            if libc::close_range(READY_FD as u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC as i32) != 0 {
                return Err(io::Error::last_os_error());
            }
            // Without close-on-exec, which dup2 to itself would leave.
            let set = if end == READY_FD { libc::fcntl(end, libc::F_SETFD, 0) } else { libc::dup2(end, READY_FD) };
            if set < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
        }
    };
    // SAFETY: between fork and exec it makes system calls and nothing else; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(detached) };
}

/// Without its end. Shorter when the other side is closed first; false when it takes too long.
fn first_line(mut pipe: PipeReader) -> io::Result<(String, bool)> {
    let until = Instant::now() + PATIENCE;
    let mut line = Vec::new();
    let mut in_time = true;
    while !line.contains(&b'\n') {
        let left = until.saturating_duration_since(Instant::now());
        let left =
            Timespec { tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&left)) {
            Ok(0) => {
                in_time = false;
                break;
            }
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let mut piece = [0; 1024];
        match pipe.read(&mut piece)? {
            0 => break,
            length => line.extend_from_slice(&piece[..length]),
        }
    }
    let text = String::from_utf8_lossy(&line);
    Ok((text.lines().next().unwrap_or_default().to_owned(), in_time))
}

fn tail(log: &std::path::Path, from: u64) -> io::Result<String> {
    let mut file = File::open(log)?;
    file.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(TAIL)..].join("\n"))
}

/// Until the head ends, as which this process then ends. Signals to this process are passed on.
pub(crate) fn stay(spawned: Spawned) -> Done {
    let mut child = spawned.child;
    let process = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let process = process.ok_or_else(|| Failure::Failed("the head has no process".to_owned()))?;
    let process = pidfd_open(process, PidfdFlags::empty()).map_err(|error| failed("watching the head", error))?;
    let status = block_on(async {
        let taken = |kind| signal(kind).map_err(|error| failed("taking signals", error));
        let (mut terminate, mut interrupt, mut hang_up) =
            (taken(SignalKind::terminate())?, taken(SignalKind::interrupt())?, taken(SignalKind::hangup())?);
        let mut end = tokio::task::spawn_blocking(move || child.wait());
        loop {
            tokio::select! {
                ended = &mut end => {
                    let status = ended.map_err(|error| failed("waiting for the head", error))?;
                    return status.map_err(|error| failed("waiting for the head", error));
                }
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hang_up.recv() => {}
            }
            let _it_may_have_ended_already = pidfd_send_signal(&process, Signal::TERM);
        }
    })?;
    Ok(code(status))
}

fn code(status: ExitStatus) -> i32 {
    status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(crate::failure::FAILED)
}

#[cfg(test)]
#[path = "spawn_tests.rs"]
mod tests;
