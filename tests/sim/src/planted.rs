//! Bugs put back on purpose, one a run: the checkers must see each of them within a few seeds.

/// A bug of one of the machines, by the name that `--planted` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    #[cfg(feature = "planted")]
    Owner(iosdk_runtime_core::planted::Bug),
    #[cfg(feature = "planted")]
    Raylet(iosdk_raylet_core::Bug),
    #[cfg(feature = "planted")]
    Gcs(iosdk_gcs_core::Bug),
    #[cfg(feature = "planted")]
    Shell(ShellBug),
}

/// A bug of a shell of this world, for promises that a shell must keep too.
#[cfg(feature = "planted")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShellBug {
    /// The GCS tells what is not durable yet.
    AnswerBeforeDurable,
}

#[cfg(feature = "planted")]
mod kinds {
    use super::{Planted, ShellBug};
    use crate::world::World;
    use iosdk_gcs_core::Bug as GcsBug;
    use iosdk_raylet_core::Bug as RayletBug;
    use iosdk_runtime_core::Owner;
    use iosdk_runtime_core::planted::Bug as OwnerBug;

    const RAYLET: &[RayletBug] = &[
        RayletBug::GrantTwice,
        RayletBug::OvergrantOnUnblock,
        RayletBug::LeakLeaseOfDeadOwner,
        RayletBug::OverlapExtents,
        RayletBug::SkipDeadAck,
        RayletBug::ChargeLenders,
        RayletBug::RenumberUsage,
        RayletBug::OverlookFoundJobs,
        RayletBug::ForgetJobEnd,
    ];
    const GCS: &[GcsBug] = &[GcsBug::TwoNodesOneActor, GcsBug::ViewGoesBack];

    const SHELL: &[ShellBug] = &[ShellBug::AnswerBeforeDurable];

    impl Planted {
        pub fn all() -> Vec<Self> {
            let owner = OwnerBug::ALL.iter().copied().map(Self::Owner);
            let raylet = RAYLET.iter().copied().map(Self::Raylet);
            let gcs = GCS.iter().copied().map(Self::Gcs);
            owner.chain(raylet).chain(gcs).chain(SHELL.iter().copied().map(Self::Shell)).collect()
        }

        pub fn name(&self) -> String {
            match self {
                Self::Owner(bug) => format!("{bug:?}"),
                Self::Raylet(bug) => format!("{bug:?}"),
                Self::Gcs(bug) => format!("{bug:?}"),
                Self::Shell(bug) => format!("{bug:?}"),
            }
        }
    }

    impl World {
        pub(crate) fn plant_in_owner(&self, owner: &mut Owner) {
            if let Some(Planted::Owner(bug)) = self.planted {
                owner.plant(bug);
            }
        }

        pub(crate) fn plant_in_raylet(&self, raylet: &mut iosdk_raylet_core::Raylet) {
            if let Some(Planted::Raylet(bug)) = self.planted {
                raylet.plant(bug);
            }
        }

        pub(crate) fn plant_in_gcs(&mut self) {
            if let Some(Planted::Gcs(bug)) = self.planted {
                self.gcs.plant(bug);
            }
        }

        pub(crate) fn answers_before_durable(&self) -> bool {
            self.planted == Some(Planted::Shell(ShellBug::AnswerBeforeDurable))
        }
    }
}

#[cfg(not(feature = "planted"))]
mod kinds {
    use super::Planted;
    use crate::world::World;

    impl Planted {
        pub fn all() -> Vec<Self> {
            Vec::new()
        }

        pub fn name(&self) -> String {
            match *self {}
        }
    }

    impl World {
        pub(crate) fn plant_in_owner(&self, _: &mut iosdk_runtime_core::Owner) {}
        pub(crate) fn plant_in_raylet(&self, _: &mut iosdk_raylet_core::Raylet) {}
        pub(crate) fn plant_in_gcs(&mut self) {}
        pub(crate) fn answers_before_durable(&self) -> bool {
            false
        }
    }
}
