//! Ways to break the machine on purpose, so that tests can see that the checkers notice. Without the feature every question
//! is answered "no" at compile time.

use crate::Gcs;

#[cfg_attr(not(feature = "planted"), allow(dead_code, unreachable_pub))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A repeated creation is sent to another node too.
    TwoNodesOneActor,
    /// Old reports replace newer ones.
    ViewGoesBack,
}

#[cfg(feature = "planted")]
impl Gcs {
    pub fn plant(&mut self, bug: Bug) {
        self.planted = Some(bug);
    }

    fn has(&self, bug: Bug) -> bool {
        self.planted == Some(bug)
    }
}

#[cfg(not(feature = "planted"))]
impl Gcs {
    #[allow(clippy::unused_self)]
    #[inline(always)]
    fn has(&self, _: Bug) -> bool {
        false
    }
}

impl Gcs {
    pub(crate) fn sends_twice(&self) -> bool {
        self.has(Bug::TwoNodesOneActor)
    }
    pub(crate) fn view_goes_back(&self) -> bool {
        self.has(Bug::ViewGoesBack)
    }
}
