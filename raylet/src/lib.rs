//! The node daemon: one thread that drives the raylet machine and acts for it. It owns the processes of its node, their
//! mailboxes and output, and the arena; it never reads what users send each other.

mod children;
mod closing;
mod config;
mod connection;
mod cpu;
mod deaths;
mod driver_log;
mod effects;
mod family;
mod fork_server;
mod gcs_link;
mod gcs_process;
pub mod hardware;
mod history;
mod inherited;
mod jobs_here;
mod log_file;
mod node;
mod output;
mod poll;
mod process;
mod servers;
mod session;
mod signals;
mod state;
mod submitted;
mod watch;

pub use config::{Config, Environment, GcsProcess, Private, Role, Standing};
pub use gcs_link::{GcsEvent, GcsLink};
pub use inherited::control_socket;
pub use node::{SignalsTaken, Start, run};
pub use session::Session;
pub use signals::unblock_signals;
