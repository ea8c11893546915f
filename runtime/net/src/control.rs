//! Messages between a process and its raylet, over the Unix stream socket between them: a little-endian word with the
//! length (low 28 bits) and the number of descriptors that come with it (top 4), then MessagePack with field names.
//! Descriptors ride on the first byte of their message.

mod reader;
mod writer;

pub use reader::{ControlReader, ReadError, Received};
pub use writer::ControlWriter;

/// The longest message.
pub const MESSAGE_MAX: usize = 64 << 20;
/// The most descriptors one message can bring.
pub const DESCRIPTORS_MAX: usize = 15;

const PREFIX: usize = 4;
const LENGTH_BITS: u32 = 28;
