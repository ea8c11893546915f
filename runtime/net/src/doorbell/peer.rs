//! The ringing side: a peer's doorbell.

use super::page::{ControlPage, Status};
use super::protocol::{self, Urgency};

#[derive(Clone)]
pub struct Ringer {
    page: ControlPage,
}

impl Ringer {
    pub(crate) fn new(page: ControlPage) -> Self {
        Self { page }
    }

    /// Something was pushed on this lane.
    #[inline]
    pub fn ring(&self, lane: u32, urgency: Urgency) {
        protocol::ring(&self.page, lane, urgency);
    }

    /// Wakes the owner without naming a lane; if it does not sleep yet, its next sleep ends at once.
    pub fn nudge(&self) {
        protocol::nudge(&self.page);
    }

    /// Where the owner was when it last said so; `cpu::UNKNOWN` before.
    #[inline]
    pub fn cpu(&self) -> u32 {
        self.page.cpu()
    }

    pub fn status(&self) -> Status {
        self.page.status()
    }
}
