//! The commands as processes, against a fake head behind the real HTTP server, and against the real head.

mod errors;
#[path = "../../../gcs/http/tests/api/fake.rs"]
#[allow(dead_code, reason = "the tests of the API use the rest")]
mod fake;
mod follow;
mod head;
mod jobs;
mod state;
mod support;
