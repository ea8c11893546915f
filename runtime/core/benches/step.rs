//! Nanoseconds per submit, finish and release of a plain task.
fn main() {}
