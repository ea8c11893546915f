//! Lines in a daemon's log. `eprintln!` panics when the log cannot be written, and the log may be on the disk that is full.

use std::fmt::Arguments;
use std::io::Write;

pub fn line(text: Arguments<'_>) {
    // In one piece, so that lines of several threads stay apart.
    let _there_is_nowhere_else_to_say_it = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// As `eprintln!`, and goes on when nothing can be written.
#[macro_export]
macro_rules! complain {
    ($($text:tt)*) => { $crate::line(format_args!($($text)*)) };
}
