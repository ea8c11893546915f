//! The history of tasks that ended on a node: appended in batches to segment files, read newest first. It is history, not a
//! promise: nothing is synced, the oldest segment goes when the space is used up, and what was lost is counted.
//!
//! A reader needs the folder alone, so it may be another thread than the one that appends, or another process.

mod appender;
mod error;
mod filter;
mod folder;
mod format;
mod names;
mod reader;
mod segment;
mod summary;

pub use appender::{Appender, Limits};
pub use error::Error;
pub use filter::Filter;
pub use reader::{Cursor, Losses, Page, Reader, TaskRow};
pub use summary::{NameSummary, Summary};
