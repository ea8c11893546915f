//! iosdk-sim.
