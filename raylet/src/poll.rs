//! What the loop waits for, and how an event finds what it belongs to.

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Whose descriptor it is. Numbers are those of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Signals,
    Gcs,
    /// One of several: see `servers.rs`.
    ForkServer(u32),
    /// Drivers that want to join.
    Listener,
    /// A submitted job's supervisor.
    Job(u32),
    GcsProcess,
    History,
    Control(u32),
    Pidfd(u32),
    Stdout(u32),
    Stderr(u32),
}

impl Source {
    fn to_bits(self) -> u64 {
        let (kind, number) = match self {
            Self::Signals => (0, 0),
            Self::Gcs => (1, 0),
            Self::ForkServer(number) => (2, number),
            Self::Control(number) => (3, number),
            Self::Pidfd(number) => (4, number),
            Self::Stdout(number) => (5, number),
            Self::Stderr(number) => (6, number),
            Self::Listener => (7, 0),
            Self::Job(number) => (8, number),
            Self::GcsProcess => (9, 0),
            Self::History => (10, 0),
        };
        kind << 32 | u64::from(number)
    }

    fn from_bits(bits: u64) -> Self {
        let number = bits as u32;
        match bits >> 32 {
            0 => Self::Signals,
            1 => Self::Gcs,
            2 => Self::ForkServer(number),
            3 => Self::Control(number),
            4 => Self::Pidfd(number),
            5 => Self::Stdout(number),
            6 => Self::Stderr(number),
            7 => Self::Listener,
            8 => Self::Job(number),
            9 => Self::GcsProcess,
            _ => Self::History,
        }
    }
}

pub(crate) struct Poll {
    fd: OwnedFd,
    events: Vec<Event>,
}

const BATCH: usize = 128;

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { fd: epoll::create(CreateFlags::CLOEXEC)?, events: Vec::with_capacity(BATCH) })
    }

    pub(crate) fn add(&self, fd: impl AsFd, source: Source) -> io::Result<()> {
        Ok(epoll::add(&self.fd, fd, EventData::new_u64(source.to_bits()), EventFlags::IN)?)
    }

    /// Also says when the descriptor takes more, if `writable`.
    pub(crate) fn change(&self, fd: impl AsFd, source: Source, writable: bool) -> io::Result<()> {
        let flags = if writable { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
        Ok(epoll::modify(&self.fd, fd, EventData::new_u64(source.to_bits()), flags)?)
    }

    /// Others may hold the same open file, so closing a descriptor alone would not end its events.
    pub(crate) fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.fd, fd)?)
    }

    /// Waits for `nanos` at most (`None`: until something happens). The flag: it takes more (not only: it has something).
    pub(crate) fn wait(&mut self, nanos: Option<u64>, into: &mut Vec<(Source, bool)>) -> io::Result<()> {
        // In whole milliseconds, up: older kernels know no less, and waking early would only mean waiting again.
        let timeout = nanos.map(|nanos| {
            let millis = nanos.div_ceil(1_000_000).min(3_600_000);
            Timespec { tv_sec: (millis / 1_000) as i64, tv_nsec: (millis % 1_000 * 1_000_000) as i64 }
        });
        self.events.clear();
        match epoll::wait(&self.fd, rustix::buffer::spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &self.events {
            let flags = event.flags;
            into.push((Source::from_bits(event.data.u64()), flags.contains(EventFlags::OUT)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_survive_the_kernel() {
        let number = u32::MAX - 1;
        let named = [Source::Control(number), Source::Pidfd(number), Source::Stdout(number), Source::Stderr(number)];
        let single = [
            Source::Signals,
            Source::Gcs,
            Source::ForkServer(number),
            Source::Listener,
            Source::GcsProcess,
            Source::Job(7),
        ];
        for source in named.into_iter().chain(single) {
            assert_eq!(Source::from_bits(source.to_bits()), source);
        }
    }
}
