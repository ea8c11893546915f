//! The history of a standing node: the rings in which its processes say what ended, read when they call, at most every tenth of a
//! second while records come, and written down. A node that is one driver's own keeps none, and its processes have no ring.

use crate::config::Role;
use crate::gcs_link::GcsLink;
use crate::node::{Node, Timer};
use iosdk_complain::complain;
use iosdk_history::{Appender, Limits};
use iosdk_net::{HistoryReader, history};
use iosdk_types::Span;
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const PACE: Span = Span::from_millis(100);
/// How often in a row a ring is read into which its process writes meanwhile; then it waits for the next time.
const TRIES: u32 = 3;

pub(crate) struct History {
    appender: Appender,
    bell: OwnedFd,
    /// A timer says when to look again.
    due: bool,
    slots: Vec<u8>,
    /// What was wrong the last time, so that it is said once.
    complaint: Option<String>,
}

/// The ring of one process.
pub(crate) struct Ring {
    /// Until it was handed over.
    pub(crate) fd: Option<OwnedFd>,
    reader: HistoryReader,
}

/// What the wall clock is ahead of the monotonic one.
pub(crate) fn ahead() -> i64 {
    let nanos = |clock| {
        let at = clock_gettime(clock);
        at.tv_sec * 1_000_000_000 + at.tv_nsec
    };
    nanos(ClockId::Realtime) - nanos(ClockId::Monotonic)
}

impl History {
    /// A node whose history cannot be kept says so, and does its work all the same.
    pub(crate) fn open(role: &Role) -> io::Result<Option<Self>> {
        let Role::Standing(standing) = role else { return Ok(None) };
        let appender = match Appender::open(&standing.history(), Limits::default()) {
            Ok(appender) => appender,
            Err(error) => {
                complain!("raylet: no history is kept: {error}");
                return Ok(None);
            }
        };
        Ok(Some(Self { appender, bell: history::bell()?, due: false, slots: Vec::new(), complaint: None }))
    }

    pub(crate) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    pub(crate) fn make_ring(&self) -> io::Result<Ring> {
        let fd = history::create()?;
        let reader = HistoryReader::map(fd.as_fd())?;
        let rests = reader.sleep();
        debug_assert!(rests, "nobody has the new ring yet");
        Ok(Ring { fd: Some(fd), reader })
    }

    /// Writes down what is in the ring. True: there was something. An error: it is of no use any more.
    fn drain(&mut self, process: u32, ring: &mut Ring) -> Result<bool, iosdk_net::Poisoned> {
        self.slots.clear();
        let lost = ring.reader.drain(&mut self.slots)?;
        let complaint = self.appender.append(process, &self.slots, lost, ahead()).err().map(|error| error.to_string());
        if complaint != self.complaint {
            match &complaint {
                Some(complaint) => complain!("raylet: {complaint}; until that works, what ends is not written down"),
                None => complain!("raylet: the history goes on"),
            }
            self.complaint = complaint;
        }
        Ok(!self.slots.is_empty())
    }

    /// Drains the ring and rests. True: look again soon.
    fn visit(&mut self, process: u32, ring: &mut Ring) -> Result<bool, iosdk_net::Poisoned> {
        let mut came = false;
        for _ in 0..TRIES {
            came |= self.drain(process, ring)?;
            if if came { ring.reader.nap() } else { ring.reader.sleep() } {
                return Ok(came);
            }
        }
        Ok(true)
    }
}

impl<G: GcsLink> Node<G> {
    pub(crate) fn make_ring(&self) -> io::Result<Option<Ring>> {
        self.history.as_ref().map(History::make_ring).transpose()
    }

    /// Somebody rang.
    pub(crate) fn hear_history(&mut self) -> io::Result<()> {
        if let Some(history) = &self.history {
            match rustix::io::read(&history.bell, &mut [0; 8]) {
                Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.collect_history();
        Ok(())
    }

    pub(crate) fn history_due(&mut self) {
        if let Some(history) = &mut self.history {
            history.due = false;
        }
        self.collect_history();
    }

    /// Looks into every ring, and again after a while if there was something in one.
    pub(crate) fn collect_history(&mut self) {
        let Some(history) = &mut self.history else { return };
        let mut soon = false;
        for (number, process) in &mut self.processes {
            let Some(ring) = &mut process.history else { continue };
            match history.visit(*number, ring) {
                Ok(came) => soon |= came,
                Err(error) => {
                    complain!("raylet: the history of process {number} is not read any more: {error}");
                    process.history = None;
                }
            }
        }
        if soon && !std::mem::replace(&mut history.due, true) {
            self.after(PACE, Timer::History);
        }
    }

    /// The process is gone: what it wrote last is all there.
    pub(crate) fn end_of_history(&mut self, number: u32) {
        let Some(history) = &mut self.history else { return };
        let ring = self.processes.get_mut(&number).and_then(|process| process.history.take());
        if let Some(mut ring) = ring
            && let Err(error) = history.drain(number, &mut ring)
        {
            complain!("raylet: the last history of process {number} is not readable: {error}");
        }
        history.appender.forget(number);
    }
}
