//! The fork servers: one for each interpreter that some driver uses, kept for a while after its last job, so that the next one
//! finds it warm.

use crate::config::Environment;
use crate::fork_server::ForkServer;
use iosdk_types::Span;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};

/// How long one without a job is kept.
pub(crate) const KEEP: Span = Span::from_secs(60);

pub(crate) struct Server {
    pub(crate) environment: Environment,
    /// None: it ended; the next request starts another.
    pub(crate) process: Option<ForkServer>,
    /// Requests not sent yet, and those that are on their way.
    pub(crate) waiting: VecDeque<u32>,
    pub(crate) asked: BTreeSet<u32>,
    /// Why the last one could not start, and what of that the drivers were told.
    pub(crate) complaint: Option<String>,
    pub(crate) told: Option<String>,
    /// Jobs that use it.
    pub(crate) jobs: usize,
}

pub(crate) struct Servers {
    pub(crate) all: BTreeMap<u32, Server>,
    next: u32,
    pub(crate) log: PathBuf,
    /// The limit on open files that user processes shall have. The daemon's own is as high as it may be: it holds several
    /// for each process.
    pub(crate) files: Rlimit,
}

impl Servers {
    pub(crate) fn new(logs: &Path) -> io::Result<Self> {
        let files = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum })?;
        Ok(Self { all: BTreeMap::new(), next: 0, log: logs.join("forkserver.log"), files })
    }

    /// The server of this environment, started if there is none. The flag: it was.
    pub(crate) fn of(&mut self, environment: &Environment) -> io::Result<(u32, bool)> {
        if let Some((number, _)) = self.all.iter().find(|(_, server)| server.environment == *environment) {
            return Ok((*number, false));
        }
        let process = Some(ForkServer::start(environment, &self.log, self.files)?);
        let number = self.next;
        self.next += 1;
        let server = Server {
            environment: environment.clone(),
            process,
            waiting: VecDeque::new(),
            asked: BTreeSet::new(),
            complaint: None,
            told: None,
            jobs: 0,
        };
        self.all.insert(number, server);
        Ok((number, true))
    }
}
