//! The API from outside: every route over real sockets, with a fake head behind it.

mod auth;
mod client;
mod dashboard;
mod fake;
mod jobs;
mod logs;
mod packages;
mod rest;
mod state;
