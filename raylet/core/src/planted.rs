//! Ways to break the machine on purpose, so that tests can see that the checkers notice. Without the feature every question
//! is answered "no" at compile time.

use crate::Raylet;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "planted"), allow(dead_code, unreachable_pub))]
pub enum Bug {
    /// A granted worker stays in the pool.
    GrantTwice,
    /// A worker that runs again does not take its CPU back.
    OvergrantOnUnblock,
    /// The leases of a dead owner go on.
    LeakLeaseOfDeadOwner,
    /// Bytes handed out stay free.
    OverlapExtents,
    /// A process is declared dead before its peers have drained.
    SkipDeadAck,
    /// Who lends its CPU pays for it as well.
    ChargeLenders,
    /// Lines of the account that may have been lost are sent as new ones.
    RenumberUsage,
    /// A daemon that was restarted does not see the submitted jobs that live on.
    OverlookFoundJobs,
    /// The end of a submitted job is said once.
    ForgetJobEnd,
}

#[cfg(feature = "planted")]
impl Raylet {
    pub fn plant(&mut self, bug: Bug) {
        self.planted = Some(bug);
        self.arena.overlaps = bug == Bug::OverlapExtents;
    }

    fn has(&self, bug: Bug) -> bool {
        self.planted == Some(bug)
    }
}

#[cfg(not(feature = "planted"))]
impl Raylet {
    #[allow(clippy::unused_self)]
    #[inline(always)]
    fn has(&self, _: Bug) -> bool {
        false
    }
}

impl Raylet {
    pub(crate) fn grants_twice(&self) -> bool {
        self.has(Bug::GrantTwice)
    }
    pub(crate) fn overgrants_on_unblock(&self) -> bool {
        self.has(Bug::OvergrantOnUnblock)
    }
    pub(crate) fn leaks_leases(&self) -> bool {
        self.has(Bug::LeakLeaseOfDeadOwner)
    }
    pub(crate) fn charges_lenders(&self) -> bool {
        self.has(Bug::ChargeLenders)
    }
    pub(crate) fn renumbers_usage(&self) -> bool {
        self.has(Bug::RenumberUsage)
    }
    pub(crate) fn overlooks_found_jobs(&self) -> bool {
        self.has(Bug::OverlookFoundJobs)
    }
    pub(crate) fn forgets_job_ends(&self) -> bool {
        self.has(Bug::ForgetJobEnd)
    }
    pub(crate) fn skips_dead_acks(&self) -> bool {
        self.has(Bug::SkipDeadAck)
    }
}
