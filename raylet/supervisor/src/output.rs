//! What the entrypoint prints: kept up to a limit, counted past it.

use std::fs::File;
use std::io::{self, ErrorKind, Write};

pub(crate) struct Output {
    file: File,
    limit: u64,
    kept: u64,
    dropped: u64,
    /// The file ends where a line ends.
    at_line_start: bool,
    /// The last line is written. What comes later is dropped, so that the file is whole up to a point.
    closed: bool,
}

impl Output {
    pub(crate) fn new(file: File, limit: u64) -> Self {
        Self { file, limit, kept: 0, dropped: 0, at_line_start: true, closed: false }
    }

    pub(crate) fn kept(&self) -> u64 {
        self.kept
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Never fails: a full disk must not stop the job.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        let room = if self.closed { 0 } else { self.limit - self.kept };
        let fits = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        let before = self.kept;
        let kept = self.keep(&bytes[..fits]);
        let dropped = bytes.len() as u64 - (self.kept - before);
        self.dropped += dropped;
        if dropped > 0 && !self.closed {
            self.closed = true;
            let why =
                kept.err().map_or_else(|| format!("the limit is {} bytes", self.limit), |error| error.to_string());
            let start = if self.at_line_start { "" } else { "\n" };
            let line = format!("{start}[iosdk: further output is dropped: {why}]\n");
            let _a_full_disk_has_no_room_for_it = self.file.write_all(line.as_bytes());
        }
    }

    fn keep(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(written) => {
                    self.kept += written as u64;
                    self.at_line_start = bytes[..written].ends_with(b"\n");
                    bytes = &bytes[written..];
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek};

    fn printed(limit: u64, pieces: &[&str]) -> (String, u64, u64) {
        let mut file = rustix::fs::memfd_create("output", rustix::fs::MemfdFlags::CLOEXEC).map(File::from).unwrap();
        let mut output = Output::new(file.try_clone().unwrap(), limit);
        pieces.iter().for_each(|piece| output.take(piece.as_bytes()));
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        (text, output.kept(), output.dropped())
    }

    #[test]
    fn whole_up_to_the_limit_and_counted_past_it() {
        let last = |limit| format!("[iosdk: further output is dropped: the limit is {limit} bytes]\n");
        assert_eq!(printed(6, &["ab\n", "cd\n"]), ("ab\ncd\n".to_owned(), 6, 0));
        assert_eq!(printed(6, &["ab\n", "cd\n", "e", "f"]), (format!("ab\ncd\n{}", last(6)), 6, 2));
        assert_eq!(printed(4, &["ab\ncd\n", "e"]), (format!("ab\nc\n{}", last(4)), 4, 3));
        assert_eq!(printed(0, &["ab"]), (last(0), 0, 2));
    }

    #[test]
    fn a_full_disk_drops_and_counts() {
        let mut output = Output::new(File::options().write(true).open("/dev/full").unwrap(), 100);
        output.take(b"abc");
        output.take(b"de");
        assert_eq!((output.kept(), output.dropped()), (0, 5));
    }
}
