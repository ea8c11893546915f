//! What happened, as a hash (the same seed must give the same one) and, for a failure, as the last lines.

use crate::random::mix;
use iosdk_types::Time;
use std::collections::VecDeque;
use std::fmt;

const KEPT: usize = 60;

#[derive(Default)]
pub struct Trace {
    hash: u64,
    pub events: u64,
    lines: VecDeque<String>,
    /// Print each line as it happens.
    pub verbose: bool,
    /// Keep lines at all: formatting costs more than most steps.
    pub keep: bool,
}

/// Hashes what is formatted into it, without a string in between.
struct Folded(u64);

impl fmt::Write for Folded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for chunk in text.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = mix(self.0 ^ u64::from_le_bytes(word));
        }
        Ok(())
    }
}

impl Trace {
    pub fn new(verbose: bool, keep: bool) -> Self {
        Self { verbose, keep, ..Self::default() }
    }

    pub fn note(&mut self, now: Time, what: fmt::Arguments<'_>) {
        self.events += 1;
        let mut folded = Folded(self.hash ^ now.0);
        // Writing into a hash cannot fail.
        let _ = fmt::Write::write_fmt(&mut folded, what);
        self.hash = folded.0;
        if self.keep || self.verbose {
            let line = format!("{:>12} {what}", now.0);
            if self.verbose {
                println!("{line}");
            }
            if self.lines.len() == KEPT {
                self.lines.pop_front();
            }
            self.lines.push_back(line);
        }
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    pub fn tail(&self) -> String {
        self.lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}
