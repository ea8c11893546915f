//! Tests of the raylet machine, in the words of a node: drivers, workers, demands, grants, deaths, extents.

mod actors;
mod deaths;
mod leases;
mod metering;
mod store;
mod views;
mod walk;
mod world;
