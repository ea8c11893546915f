//! A raylet as far as the GCS goes: joins over `connect`, says what a node must say, and lets jobs begin and end as told.

use crate::process::PATIENCE;
use iosdk_gcs::{LinkEvent, LocalLink};
use iosdk_types::message::{GcsToRaylet, NodeRecord, RayletToGcs, VERSION};
use iosdk_types::{Address, Amount, Exit, JobCause, JobId, JobReport, JobSpec, NodeId, ResourceSet};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const NODE: u32 = 3;
/// After so long without a message the condition is looked at again: threads of the test may have made it true.
const GLANCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };

#[derive(Default)]
pub(crate) struct Job {
    pub(crate) spec: Option<JobSpec>,
    pub(crate) report: Option<JobReport>,
    pub(crate) noted: bool,
    /// What its one driver was given.
    pub(crate) driver: Option<JobId>,
}

pub(crate) struct Raylet {
    link: LocalLink,
    ends_at_once: bool,
    pub(crate) jobs: BTreeMap<u64, Job>,
    pub(crate) up: bool,
    pub(crate) ups: u32,
}

impl Raylet {
    /// `ends_at_once`: each job ends well as soon as it has begun.
    pub(crate) fn new(link: LocalLink, ends_at_once: bool) -> Self {
        Self { link, ends_at_once, jobs: BTreeMap::new(), up: false, ups: 0 }
    }

    /// Listens until the condition is true.
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let limit = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < limit, "not within {PATIENCE:?}: {what}");
            let _ready_or_not = poll(&mut [PollFd::new(&self.link.wake(), PollFlags::IN)], Some(&GLANCE)).unwrap();
            let _nothing_counted = rustix::io::read(self.link.wake(), &mut [0; 8]);
            while let Some(event) = self.link.try_recv() {
                self.hear(event);
            }
        }
    }

    pub(crate) fn say(&self, message: RayletToGcs) {
        self.link.send(message);
    }

    pub(crate) fn end(&mut self, number: u64, exit: Exit, cause: JobCause) {
        let report = JobReport { exit, ..JobReport::unseen(cause, 1_000, 2_000) };
        self.jobs.get_mut(&number).unwrap().report = Some(report.clone());
        self.say(RayletToGcs::JobEnded { number, report });
    }

    fn hear(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Up => {
                (self.up, self.ups) = (true, self.ups + 1);
                self.join();
            }
            LinkEvent::Down => self.up = false,
            LinkEvent::Message(GcsToRaylet::StartJob { number, spec, .. }) => {
                let job = self.jobs.entry(number).or_default();
                match &job.spec {
                    None => {
                        job.spec = Some(spec);
                        self.began(number);
                    }
                    Some(known) => assert_eq!(*known, spec, "job {number} has become another"),
                }
            }
            LinkEvent::Message(GcsToRaylet::StopJob { number, .. }) => {
                self.end(number, Exit::Signal(15), JobCause::Stopped);
            }
            LinkEvent::Message(GcsToRaylet::JobNoted { number }) => {
                let job = self.jobs.get_mut(&number).unwrap();
                assert!(job.report.is_some(), "the end of job {number} is noted before it ended");
                job.noted = true;
            }
            LinkEvent::Message(GcsToRaylet::DriverAccepted { process, job }) => {
                let known = self.jobs.get_mut(&u64::from(process.process)).unwrap().driver.replace(job);
                assert!(known.is_none_or(|known| known == job), "{process} was {known:?} and is {job}");
            }
            LinkEvent::Message(_) => {}
        }
    }

    fn join(&self) {
        let resources = ResourceSet::new().with("CPU", Amount::units(4));
        let (ip, hostname) = ("127.0.0.1".into(), "fake".into());
        let record = NodeRecord { node: NodeId([9; 28]), alive: true, ip, hostname, resources };
        self.say(RayletToGcs::Join { version: VERSION, node: NODE, epoch: 1, record });
        let here = || self.jobs.iter().filter(|(_, job)| !job.noted);
        for (number, job) in here() {
            self.driver(*number);
            match &job.report {
                None => self.say(RayletToGcs::JobStarted { number: *number, started_ms: 1_000 }),
                Some(report) => self.say(RayletToGcs::JobEnded { number: *number, report: report.clone() }),
            }
        }
        self.say(RayletToGcs::JobsHere { running: here().map(|(number, _)| *number).collect() });
    }

    fn began(&mut self, number: u64) {
        self.say(RayletToGcs::JobStarted { number, started_ms: 1_000 });
        self.driver(number);
        if self.ends_at_once {
            self.end(number, Exit::Code(0), JobCause::Own);
        }
    }

    /// Each job has one, which lives on for the test.
    fn driver(&self, number: u64) {
        let process = Address { node: NODE, epoch: 1, process: u32::try_from(number).unwrap() };
        let (namespace, job) = ("n".to_owned(), self.jobs[&number].driver);
        self.say(RayletToGcs::DriverJoined { process, namespace, job, submission: Some(number) });
    }
}

/// Says on stdout whether the link is up, line by line, until stdin ends.
pub(crate) fn report_the_link(socket: &str) {
    let link = iosdk_gcs::connect(socket.into()).unwrap();
    let stdin = rustix::stdio::stdin();
    loop {
        let mut sources = [PollFd::new(&stdin, PollFlags::IN), PollFd::from_borrowed_fd(link.wake(), PollFlags::IN)];
        poll(&mut sources, None).unwrap();
        if !sources[0].revents().is_empty() {
            return;
        }
        let _nothing_counted = rustix::io::read(link.wake(), &mut [0; 8]);
        while let Some(event) = link.try_recv() {
            println!("{event:?}");
        }
    }
}

pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
