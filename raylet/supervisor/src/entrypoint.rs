//! The process that becomes the entrypoint: it makes the working directory ready, reads the secrets, and then is the shell.

use crate::archive::unpack;
use crate::directory::{JobDir, WORK};
use crate::kernel::{close_all_but, unblock_signals};
use crate::marked::MARK;
use iosdk_types::JobSpec;
use rustix::process::{Pid, Signal};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// What a shell says when it cannot start a command.
const CANNOT_START: i32 = 127;

/// First byte of the word to the supervisor: all is ready. Nothing after it until the end: the shell runs.
pub(crate) const READY: u8 = b'R';

/// How this process, a fork of its supervisor, becomes the entrypoint.
pub(crate) struct Entrypoint<'a> {
    pub(crate) spec: &'a JobSpec,
    pub(crate) dir: &'a JobDir,
    pub(crate) mark: &'a str,
    pub(crate) supervisor: Pid,
    pub(crate) output: OwnedFd,
    pub(crate) word: OwnedFd,
}

impl Entrypoint<'_> {
    /// Returns only when it cannot.
    pub(crate) fn run(self) -> i32 {
        let Self { spec, dir, mark, supervisor, output, word } = self;
        let mut word = File::from(word);
        let Err(why) = leave_home(dir, supervisor, &output, &word)
            .and_then(|()| ready(spec, mark))
            .and_then(|command| become_shell(command, &mut word));
        let _a_supervisor_that_is_gone_has_no_use_for_it = word.write_all(why.as_bytes());
        CANNOT_START
    }
}

/// A session of its own, and nothing of the supervisor's but the pipes and the job's directory.
fn leave_home(dir: &JobDir, supervisor: Pid, output: &OwnedFd, word: &File) -> Result<(), String> {
    let left = || -> io::Result<()> {
        rustix::process::setsid()?;
        close_all_but(&[dir.as_fd(), output.as_fd(), word.as_fd()])?;
        // Nobody would keep its output or write its report.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        if rustix::process::getppid() != Some(supervisor) {
            return Err(io::Error::other("the supervisor is gone already"));
        }
        unblock_signals()?;
        rustix::process::fchdir(dir)?;
        rustix::stdio::dup2_stdout(output)?;
        rustix::stdio::dup2_stderr(output)?;
        Ok(())
    };
    left().map_err(|error| format!("leaving the supervisor's session: {error}"))
}

/// In the job's directory.
fn ready(spec: &JobSpec, mark: &str) -> Result<Command, String> {
    let work = Path::new(WORK);
    DirBuilder::new().mode(0o700).create(work).map_err(|error| format!("making {WORK}: {error}"))?;
    if let Some(archive) = &spec.working_dir {
        unpack(Path::new(archive), work)?;
    }
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(&spec.entrypoint);
    let secrets = spec.secrets_file.as_deref().map(read_secrets).transpose()?.unwrap_or_default();
    for (name, value) in spec.env.iter().map(|(name, value)| (name, value)).chain(&secrets) {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(format!("the environment: {name:?} is not a name; it must not be empty nor contain `=`"));
        }
        if value.contains('\0') {
            return Err(format!("the environment: the value of {name} contains a NUL byte"));
        }
        command.env(name, value);
    }
    command.env(MARK, mark);
    std::env::set_current_dir(work).map_err(|error| format!("entering {WORK}: {error}"))?;
    Ok(command)
}

/// No error of it holds anything of what the file contains.
fn read_secrets(path: &str) -> Result<BTreeMap<String, String>, String> {
    let about = |error: io::Error| format!("secrets_file {path}: {error}");
    let mut file = File::open(path).map_err(about)?;
    let mode = file.metadata().map_err(about)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!("secrets_file {path}: its mode is {mode:o}, so others can reach it; chmod it to 600"));
    }
    let mut text = Vec::new();
    file.read_to_end(&mut text).map_err(about)?;
    serde_json::from_slice(&text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format!("secrets_file {path}: not a JSON object of strings, from line {line}, column {column} on")
    })
}

fn become_shell(mut command: Command, word: &mut File) -> Result<Infallible, String> {
    word.write_all(&[READY]).map_err(|error| format!("telling the supervisor: {error}"))?;
    Err(format!("/bin/sh: {}", command.exec()))
}
