//! Lines of workers on their way to the driver: in batches, bounded when the driver does not read.

use iosdk_types::message::raylet_to_process::LogLine;

/// Bytes held for a driver that is behind. Beyond that lines stay in the workers' files only.
const HELD: usize = 64 << 20;

#[derive(Default)]
pub(crate) struct DriverLog {
    lines: Vec<LogLine>,
    bytes: usize,
    left_out: u64,
}

impl DriverLog {
    pub(crate) fn add(&mut self, lines: &mut Vec<LogLine>) {
        for line in lines.drain(..) {
            let size = size_of::<LogLine>() + line.text.len() + line.name.len();
            if self.bytes + size > HELD {
                self.left_out += 1;
            } else {
                self.bytes += size;
                self.lines.push(line);
            }
        }
    }

    /// A line of the daemon's own.
    pub(crate) fn say(&mut self, text: String) {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        for text in text.lines() {
            self.add(&mut vec![LogLine { name: "iosdk".to_owned(), pid, stderr: true, text: text.to_owned() }]);
        }
    }

    /// What is to be sent now.
    pub(crate) fn take(&mut self, logs: &std::path::Path) -> Vec<LogLine> {
        self.bytes = 0;
        let mut lines = std::mem::take(&mut self.lines);
        let left_out = std::mem::take(&mut self.left_out);
        if left_out > 0 {
            self.say(format!(
                "{left_out} lines are not shown because they came faster than they were read; see {}",
                logs.display()
            ));
            lines.append(&mut self.lines);
            self.bytes = 0;
        }
        lines
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_reader_costs_bounded_memory_and_is_told() {
        let mut log = DriverLog::default();
        let line = LogLine { name: "f".into(), pid: 1, stderr: false, text: "x".repeat(1 << 20) };
        for _ in 0..70 {
            log.add(&mut vec![line.clone()]);
        }
        let lines = log.take(std::path::Path::new("/logs"));
        // The lines that fit, and one that tells of the others.
        assert_eq!(lines.len(), 64);
        assert!(lines[63].text.starts_with("7 lines are not shown") && lines[63].text.ends_with("/logs"));
        assert!(log.is_empty() && log.take(std::path::Path::new("/logs")).is_empty());
    }
}
