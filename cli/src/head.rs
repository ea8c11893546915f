//! `iosdk head`: the node of a head, which starts the GCS: as a process of its own, or in this one.

use crate::config::{self, HeadConfig};
use crate::daemon::{Link, redirect};
use crate::data_dir::private;
use iosdk_gcs::Config;
use iosdk_raylet::{GcsProcess, Role, Session, SignalsTaken, Standing, Start};
use iosdk_supervisor::Nursery;
use rustix::pipe::{PipeFlags, pipe_with};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

/// Locked (flock) by the node for as long as it lives.
const NODE_LOCK: &str = "node.lock";

/// Whoever started it reads one line from `ready_fd`: `ready URL` or `error WHY`.
pub(crate) fn run(ready_fd: i32, config: &str) -> i32 {
    let mut ready = match claim(ready_fd) {
        Ok(fd) => File::from(fd),
        Err(error) => {
            eprintln!("iosdk head: --ready-fd {ready_fd}: {error}");
            return 2;
        }
    };
    let told = match ready.try_clone() {
        Ok(ready) => config::head(config).map_err(io::Error::other).and_then(|config| serve(config, ready)),
        Err(error) => Err(error),
    };
    match told {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("iosdk head: {error}");
            let line = error.to_string().replace('\n', " ");
            // Once it was ready nobody listens any more.
            let _nobody = writeln!(ready, "error {line}");
            1
        }
    }
}

#[allow(unsafe_code)]
fn claim(fd: i32) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: the number was given to this process for this purpose; `F_GETFD` says whether it is open at all.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    match rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC) {
        Ok(()) => Ok(fd),
        Err(error) => {
            // It was never open: nothing may close it.
            std::mem::forget(fd);
            Err(error.into())
        }
    }
}

fn serve(config: HeadConfig, mut ready: File) -> io::Result<()> {
    let HeadConfig { node, data, program, port, slots, jobs_kept, one_process } = config;
    // Before there is any thread, and before orphans become this process's children.
    let nursery = Nursery::start()?;
    let _already_leader = rustix::process::setsid();
    rustix::thread::set_name(c"iosdk-node")?;
    let signals = SignalsTaken::take()?;
    private(&data)?;
    let logs = data.join("logs");
    private(&logs)?;
    let _held_while_it_lives = lock(&data)?;
    redirect(&logs.join("node.log"))?;
    let epoch = next_epoch(&data)?;
    let machine = Config { infeasible_waits: node.infeasible_waits, slots, jobs_kept };
    let session = Session::create(&node.tmpdir)?;
    let (link, url, gcs) = if one_process {
        let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
        let config = iosdk_gcs::HeadConfig { data: data.clone(), port, machine, ready: theirs };
        let link = iosdk_gcs::start_head(config)?;
        (link, first_line(ours)?, None)
    } else {
        let (gcs, url) = start_gcs(&data, program, (port, machine), logs.join("gcs.log"))?;
        (iosdk_gcs::connect(data.join("gcs.sock"))?, url, Some(gcs))
    };
    let note = Note { data: data.clone(), url: url.clone() };
    let announce = Box::new(move || {
        note.write()?;
        // Whoever started this may have gone: it runs all the same.
        let _nobody = writeln!(ready, "ready {url}");
        Ok(())
    });
    let role = Role::Standing(Standing { data: data.clone(), nursery, gcs });
    let served =
        iosdk_raylet::run(signals, Start { config: node, session, role, epoch, gcs: Link(link), ready: announce });
    for name in ["head.json", "node.sock"] {
        // What is left of it says nothing: the lock says who runs.
        let _gone = fs::remove_file(data.join(name));
    }
    served
}

/// Starts the GCS and waits until it listens. Its standard output is the pipe that says so; started again by the node, it is
/// the log.
fn start_gcs(
    data: &Path,
    program: Vec<OsString>,
    (port, machine): (u16, Config),
    log: PathBuf,
) -> io::Result<(GcsProcess, String)> {
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
    let mut words = program;
    words.extend(
        ["gcs".to_owned(), "--parent".to_owned(), std::process::id().to_string(), "--data-dir".to_owned()]
            .map(OsString::from),
    );
    words.push(data.as_os_str().to_owned());
    let numbers = [("--port", port.into()), ("--slots", machine.slots), ("--jobs-kept", machine.jobs_kept)];
    for (name, number) in numbers {
        words.extend([name.into(), number.to_string().into()]);
    }
    if machine.infeasible_waits {
        words.push("--infeasible-waits".into());
    }
    let errors = fs::OpenOptions::new().append(true).create(true).open(&log)?;
    fs::set_permissions(&log, fs::Permissions::from_mode(0o600))?;
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::from(theirs)).stderr(errors);
    let child = command.spawn()?;
    drop(command);
    let url = first_line(ours)?;
    // The port that was chosen is the head's from now on, also for a GCS that is started again.
    let port_at = words.iter().position(|word| word == "--port").map(|at| at + 1);
    if let (Some(at), Some(chosen)) = (port_at, url.rsplit(':').next()) {
        words[at] = chosen.into();
    }
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    Ok((GcsProcess { command: words, pid, log }, url))
}

fn first_line(pipe: OwnedFd) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(File::from(pipe)).read_line(&mut line)?;
    match line.trim_end().split_once(' ') {
        Some(("ready", url)) => Ok(url.to_owned()),
        Some(("error", why)) => Err(io::Error::other(why.to_owned())),
        _ => Err(io::Error::other("the gcs ended before it listened; its log is logs/gcs.log of the data directory")),
    }
}

/// One node a data directory. The file names the holder for whoever comes second.
fn lock(data: &Path) -> io::Result<File> {
    let path = data.join(NODE_LOCK);
    let mut options = fs::OpenOptions::new();
    let mut file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let holder = fs::read_to_string(&path)?;
            let text = format!(
                "a head runs on {} already (process {}): stop it with `iosdk stop`, or choose another --data-dir",
                data.display(),
                holder.trim()
            );
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        Err(error) => return Err(io::Error::new(error.kind(), format!("locking {}: {error}", path.display()))),
    }
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())?;
    Ok(file)
}

/// Each start of the node is an incarnation of its own: what lived in an earlier one is gone.
fn next_epoch(data: &Path) -> io::Result<u32> {
    let path = data.join("epoch");
    let last: u32 = match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    replace(&path, &format!("{}\n", last + 1))?;
    Ok(last + 1)
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension("tmp");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)
}

/// What the command line reads of a running head, and where `auto` finds it.
struct Note {
    data: PathBuf,
    url: String,
}

impl Note {
    fn write(&self) -> io::Result<()> {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let note = serde_json::json!({
            "pid": std::process::id(),
            "url": self.url,
            "version": env!("CARGO_PKG_VERSION"),
            "started_ms": u64::try_from(started).unwrap_or(u64::MAX),
        });
        replace(&self.data.join("head.json"), &format!("{note}\n"))?;
        let state = state_dir();
        private(&state)?;
        replace(&state.join("current"), &format!("{}\n", self.data.display()))
    }
}

/// The folder in which heads of this user are noted; `python/iosdk/_attach.py` looks there too.
pub(crate) fn state_dir() -> PathBuf {
    state_dir_of(|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
}

fn state_dir_of(set: impl Fn(&'static str) -> Option<PathBuf>) -> PathBuf {
    // Relative paths in XDG variables do not count, says the specification.
    let base = set("XDG_STATE_HOME").filter(|dir| dir.is_absolute());
    match base.or_else(|| set("HOME").map(|home| home.join(".local/state"))) {
        Some(base) => base.join("iosdk"),
        None => {
            let tmp = set("TMPDIR").unwrap_or_else(|| PathBuf::from("/tmp"));
            tmp.join(format!("iosdk-{}", rustix::process::getuid().as_raw()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_user_is_its_own() {
        let dir = |given: &[(&str, &str)]| {
            state_dir_of(|name| given.iter().find(|(own, _)| *own == name).map(|(_, value)| PathBuf::from(value)))
        };
        let own = format!("iosdk-{}", rustix::process::getuid().as_raw());
        assert_eq!(dir(&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")]), Path::new("/s/iosdk"));
        assert_eq!(dir(&[("XDG_STATE_HOME", "s"), ("HOME", "/h")]), Path::new("/h/.local/state/iosdk"));
        assert_eq!(dir(&[("TMPDIR", "/t")]), Path::new("/t").join(&own));
        assert_eq!(dir(&[]), Path::new("/tmp").join(&own));
    }
}
