//! Bugs on purpose, behind the `planted` feature: each breaks one promise, and the simulation must notice every one of them.

use crate::Owner;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A borrower that hands a reference on keeps no hold of its own until the receiver is registered (OWN-1).
    DropLoanOnForward,
    /// Loans do not keep an object alive (OWN-1).
    FreeWhileBorrowed,
    /// A queued call that was taken back is thrown away without settling the references in it (OWN-2).
    LeakOnRetract,
    /// A borrower never tells the owner that it is done (OWN-2).
    ForgetReturn,
    /// Cancelling a running task ends it at once, and the reply ends it again (TASK-1).
    DoubleFinish,
    /// A retraction that was lost counts as won, so the call runs here and elsewhere (TASK-1).
    RunTwice,
    /// A call that waits for its arguments lets later calls to its actor pass (ACT-1).
    ReorderActorCalls,
    /// What was pushed to a process that died is forgotten (TASK-1, SCHED-3).
    ForgetOnDeath,
}

impl Bug {
    pub const ALL: &'static [Bug] = &[
        Bug::DropLoanOnForward,
        Bug::FreeWhileBorrowed,
        Bug::LeakOnRetract,
        Bug::ForgetReturn,
        Bug::DoubleFinish,
        Bug::RunTwice,
        Bug::ReorderActorCalls,
        Bug::ForgetOnDeath,
    ];
}

impl Owner {
    #[cfg(feature = "planted")]
    pub fn plant(&mut self, bug: Bug) {
        self.planted = Some(bug);
    }

    #[cfg(feature = "planted")]
    pub(crate) fn has_bug(&self, bug: Bug) -> bool {
        self.planted == Some(bug)
    }

    #[cfg(not(feature = "planted"))]
    #[inline(always)]
    pub(crate) fn has_bug(&self, _bug: Bug) -> bool {
        false
    }
}
