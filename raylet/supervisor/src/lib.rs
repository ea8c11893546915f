//! One small process for each submitted job: runs its entrypoint, keeps its output, writes down how it ended. It outlives the
//! daemon that asked for it; what it knows lies in the job's directory, where the next daemon finds it.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `spec.json` | what to run, written before the supervisor is asked for |
//! | `lock` | a named pipe; open and locked (flock) while the supervisor lives or is just being forked |
//! | `supervisor.json` | its pid, and the mark that all processes of the job carry; written before anything runs |
//! | `stop` | an order to stop that came before there was a pid to send it to |
//! | `output.log` | what the entrypoint printed, stdout and stderr in their order |
//! | `work/` | the entrypoint's working directory |
//! | `started.json` | when the entrypoint began, and its pid |
//! | `report.json` | how it ended; the last file to be written |

mod archive;
mod descendants;
mod directory;
mod entrypoint;
mod kernel;
mod marked;
mod nursery;
mod orders;
mod output;
mod supervise;

pub use nursery::Nursery;
pub use orders::{State, look, prepare, stop, watch};
