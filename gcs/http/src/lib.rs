//! The head's HTTP: the job API that Ray's client speaks, logs, packages, usage, health, metrics and the dashboard's page. It
//! decides nothing about jobs: what they are and do is behind the trait `Head`.

#[cfg(test)]
extern crate self as iosdk_http;

mod auth;
mod cluster;
mod dashboard;
mod errors;
#[cfg(test)]
#[path = "../tests/api/fake.rs"]
#[allow(dead_code, reason = "the tests from outside use the rest")]
mod fake;
mod fields;
#[cfg(test)]
mod fuzz_tests;
mod head;
mod health;
mod jobs;
mod logs;
mod metrics;
mod pace;
mod packages;
mod pass;
mod query;
mod routes;
mod secret;
mod serve;
#[cfg(test)]
mod serve_tests;
mod state;
mod submission;
mod tail;
mod token;
mod types;
mod usage;

pub use dashboard::DashboardPass;
pub use errors::ApiError;
pub use head::Head;
pub use packages::{package_path, sweep_uploads};
pub use secret::Secret;
pub use serve::{serve, serve_unix};
pub use state::{Explained, Filter, Listing, Row, StateKind, StatePage, Summary, SummaryLine};
pub use token::{COOKIE, Token};
pub use types::{
    ClusterInfo, Deleted, DriverInfo, JobInfo, JobQuery, JobStatus, JobType, LogFile, NodeInfo, Stopped, Stored,
    Submission, Submitted, UsageQuery, UsageRow, VersionInfo,
};
