//! What workers print: cut into lines, named, kept in one bounded file per worker, the last lines remembered for its death.

use crate::log_file::LogFile;
use iosdk_types::message::raylet_to_process::LogLine;
use std::collections::VecDeque;
use std::path::PathBuf;

/// A longer line is cut; nothing is lost.
const LINE_LIMIT: usize = 64 << 10;
const LAST_LINES: usize = 20;
/// Of each of the last lines, in characters: they end up in error messages.
const LAST_LINE_LIMIT: usize = 400;

/// Starts a name mark: what follows on its line names the task or actor that prints from here on.
const MARK: u8 = 0x1e;
const MARK_WORD: &[u8] = b"iosdk-name:";

/// One of the two streams of a worker.
#[derive(Default)]
struct Stream {
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    name: String,
}

/// Both streams of one worker.
pub(crate) struct Output {
    pid: i32,
    streams: [Stream; 2],
    last: VecDeque<String>,
    file: LogFile,
}

impl Output {
    pub(crate) fn new(pid: i32, file: PathBuf) -> Self {
        Self { pid, streams: Default::default(), last: VecDeque::new(), file: LogFile::new(file) }
    }

    /// Takes what was read from a pipe; whole lines are added to `lines`.
    pub(crate) fn take(&mut self, stderr: bool, mut bytes: &[u8], lines: &mut Vec<LogLine>) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.add(stderr, &bytes[..end], lines);
            self.end_line(stderr, lines);
            bytes = &bytes[end + 1..];
        }
        self.add(stderr, bytes, lines);
    }

    /// The stream ended: what has no line end is a line too.
    pub(crate) fn finish(&mut self, stderr: bool, lines: &mut Vec<LogLine>) {
        if !self.streams[usize::from(stderr)].partial.is_empty() {
            self.end_line(stderr, lines);
        }
    }

    /// Oldest first.
    pub(crate) fn last_lines(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }

    fn add(&mut self, stderr: bool, mut bytes: &[u8], lines: &mut Vec<LogLine>) {
        loop {
            let partial = &mut self.streams[usize::from(stderr)].partial;
            let room = LINE_LIMIT - partial.len();
            if bytes.len() <= room {
                partial.extend_from_slice(bytes);
                return;
            }
            partial.extend_from_slice(&bytes[..room]);
            bytes = &bytes[room..];
            self.end_line(stderr, lines);
        }
    }

    fn end_line(&mut self, stderr: bool, lines: &mut Vec<LogLine>) {
        let mut line = std::mem::take(&mut self.streams[usize::from(stderr)].partial);
        let mark = line.iter().rposition(|byte| *byte == MARK).filter(|at| line[at + 1..].starts_with(MARK_WORD));
        match mark {
            Some(at) => {
                let name = String::from_utf8_lossy(&line[at + 1 + MARK_WORD.len()..]).into_owned();
                line.truncate(at);
                // Printed without a line end before the name changed: a line of the one before.
                if !line.is_empty() {
                    self.keep(stderr, &line, lines);
                }
                self.streams[usize::from(stderr)].name = name;
            }
            None => self.keep(stderr, &line, lines),
        }
        line.clear();
        self.streams[usize::from(stderr)].partial = line;
    }

    fn keep(&mut self, stderr: bool, line: &[u8], lines: &mut Vec<LogLine>) {
        self.file.write_line(line);
        let text = String::from_utf8_lossy(line).into_owned();
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
        }
        self.last.push_back(text.chars().take(LAST_LINE_LIMIT).collect());
        let name = self.streams[usize::from(stderr)].name.clone();
        lines.push(LogLine { name, pid: self.pid, stderr, text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(name: &str) -> (Output, PathBuf) {
        let path = std::env::temp_dir().join(format!("iosdk-test-{}-{name}.log", std::process::id()));
        (Output::new(7, path.clone()), path)
    }

    fn texts(lines: &[LogLine]) -> Vec<(&str, &str)> {
        lines.iter().map(|line| (line.name.as_str(), line.text.as_str())).collect()
    }

    #[test]
    fn lines_are_cut_wherever_reads_end() {
        let (whole, path) = (b"one\ntwo\n\nthr\xffee".as_slice(), output("cut").1);
        for cut in 0..whole.len() {
            let (mut output, mut lines) = (output("cut").0, Vec::new());
            output.take(false, &whole[..cut], &mut lines);
            output.take(false, &whole[cut..], &mut lines);
            output.finish(false, &mut lines);
            output.finish(false, &mut lines);
            assert_eq!(texts(&lines), [("", "one"), ("", "two"), ("", ""), ("", "thr\u{fffd}ee")], "cut at {cut}");
            assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n\nthr\xffee\n");
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_mark_names_what_follows_on_its_stream_only() {
        let (mut output, path) = output("mark");
        let mut lines = Vec::new();
        output.take(false, b"a\n\x1eiosdk-name:f\nb\nhalf\x1eiosdk-name:Counter\nc\n", &mut lines);
        output.take(true, b"x\n", &mut lines);
        output.take(false, b"not \x1e a mark\n", &mut lines);
        let expected =
            [("", "a"), ("f", "b"), ("f", "half"), ("Counter", "c"), ("", "x"), ("Counter", "not \u{1e} a mark")];
        assert_eq!(texts(&lines), expected);
        assert!(lines[4].stderr && !lines[3].stderr);
        assert!(!std::fs::read_to_string(&path).unwrap().contains("iosdk-name"));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn the_last_lines_are_bounded() {
        let (mut output, path) = output("last");
        let mut lines = Vec::new();
        for n in 0..50 {
            output.take(n % 2 == 0, format!("{n} {}\n", "y".repeat(1_000)).as_bytes(), &mut lines);
        }
        let last = output.last_lines();
        assert_eq!(last.len(), LAST_LINES);
        assert!(last[0].starts_with("30 y") && last[19].starts_with("49 y"));
        assert!(last.iter().all(|line| line.len() == LAST_LINE_LIMIT));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_line_without_end_is_cut_and_whole() {
        let (mut output, path) = output("long");
        let mut lines = Vec::new();
        let long = vec![b'z'; 3 * LINE_LIMIT + 5];
        output.take(false, &long, &mut lines);
        output.finish(false, &mut lines);
        assert_eq!(
            lines.iter().map(|line| line.text.len()).collect::<Vec<_>>(),
            [LINE_LIMIT, LINE_LIMIT, LINE_LIMIT, 5]
        );
        std::fs::remove_file(&path).unwrap();
    }
}
