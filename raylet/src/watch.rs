//! Looks into shared memory for the machine: who is blocked, and who still views memory of the dead.

use crate::gcs_link::GcsLink;
use crate::node::{Node, Timer};
use crate::process::Life;
use iosdk_complain::complain;
use iosdk_net::doorbell::Activity;
use iosdk_net::mailbox::PeerMailbox;
use iosdk_raylet_core::Input;
use iosdk_store::Pins;
use iosdk_store::pins::ROWS;
use iosdk_types::Span;
use std::io;
use std::os::fd::AsFd;

const STATUS_EVERY: Span = Span::from_millis(1);
const PINS_EVERY: Span = Span::from_millis(10);
/// Shorter waits are not worth lending a CPU.
const BLOCKED_FOR: Span = Span::from_millis(1);
/// The daemon pins nothing, but taking a row wipes it: it takes the last. A process takes that of its number, modulo this.
const OWN_ROW: u32 = ROWS - 1;

#[derive(Default)]
pub(crate) struct Watch {
    status: bool,
    /// Mapped with the first question.
    pins: Option<Pins>,
    /// Offsets and lengths of extents of dead holders.
    extents: Vec<(u64, u64)>,
}

impl<G: GcsLink> Node<G> {
    pub(crate) fn watch_status(&mut self, on: bool) {
        if on && !self.watch.status {
            self.after(Span::default(), Timer::Status);
        }
        self.watch.status = on;
    }

    pub(crate) fn read_status(&mut self) {
        if !self.watch.status {
            return;
        }
        let now = self.now;
        let mut blocked = Vec::new();
        for process in self.processes.values_mut().filter(|process| process.life == Life::Alive) {
            if process.ringer.is_none() {
                let mapped = process.mailbox.as_ref().map(|fd| PeerMailbox::map(fd.as_fd()));
                match mapped {
                    Some(Ok(mailbox)) => process.ringer = Some(mailbox.ringer().clone()),
                    // Then it lends nothing.
                    Some(Err(error)) => complain!("raylet: cannot map the mailbox of {}: {error}", process.pid),
                    None => {}
                }
            }
            let Some(ringer) = &process.ringer else { continue };
            let status = ringer.status();
            let since = iosdk_types::Time(status.since_ns);
            if status.activity == Activity::Blocked && now - since >= BLOCKED_FOR {
                blocked.push(process.address);
            }
        }
        self.inputs.push_back(Input::Status { blocked });
        self.after(STATUS_EVERY, Timer::Status);
    }

    pub(crate) fn watch_pins(&mut self, offset: u64, bytes: u64) {
        if self.watch.extents.is_empty() {
            self.after(Span::default(), Timer::Pins);
        }
        self.watch.extents.push((offset, bytes));
    }

    pub(crate) fn look_at_pins(&mut self) -> io::Result<()> {
        let pins = match &mut self.watch.pins {
            Some(pins) => pins,
            none => none.insert(Pins::map(self.pin_table.try_clone()?, OWN_ROW).map_err(io::Error::other)?),
        };
        let mut live = vec![false; ROWS as usize];
        for (number, process) in &self.processes {
            live[(number % OWN_ROW) as usize] |= matches!(process.life, Life::Alive | Life::Gone);
        }
        let mut still = Vec::new();
        for (offset, bytes) in std::mem::take(&mut self.watch.extents) {
            if pins.is_pinned(offset, bytes, |row| live[row as usize]) {
                still.push((offset, bytes));
            } else {
                self.inputs.push_back(Input::Unpinned { offset });
            }
        }
        if !still.is_empty() {
            self.after(PINS_EVERY, Timer::Pins);
        }
        self.watch.extents = still;
        Ok(())
    }
}
