//! One bounded file: it is made with the first line, and when it has grown to half the bound it becomes the older half.

use iosdk_complain::complain;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// Bytes of the file and of its older half, each.
const HALF: u64 = 8 << 20;

pub(crate) struct LogFile {
    path: PathBuf,
    half: u64,
    file: Option<File>,
    written: u64,
    /// The disk is full or gone. Said once; the lines still reach the driver.
    broken: bool,
}

impl LogFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, half: HALF, file: None, written: 0, broken: false }
    }

    pub(crate) fn write_line(&mut self, line: &[u8]) {
        if self.broken {
            return;
        }
        if let Err(error) = self.try_write(line) {
            complain!("raylet: {} is not written any more: {error}", self.path.display());
            self.broken = true;
        }
    }

    fn try_write(&mut self, line: &[u8]) -> io::Result<()> {
        let len = line.len() as u64 + 1;
        if self.written > 0 && self.written + len > self.half {
            self.file = None;
            self.written = 0;
            let mut older = self.path.clone().into_os_string();
            older.push(".1");
            std::fs::rename(&self.path, older)?;
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?),
        };
        // One write: a reader of the file never sees half a line at its end.
        let mut whole = Vec::with_capacity(line.len() + 1);
        whole.extend_from_slice(line);
        whole.push(b'\n');
        file.write_all(&whole)?;
        self.written += len;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_the_newest_within_the_bound() {
        let path = std::env::temp_dir().join(format!("iosdk-test-{}-bound.log", std::process::id()));
        let older = path.with_extension("log.1");
        let mut log = LogFile { half: 1_000, ..LogFile::new(path.clone()) };
        for n in 0..1_000 {
            log.write_line(format!("line {n}").as_bytes());
        }
        let (new, old) = (std::fs::read_to_string(&path).unwrap(), std::fs::read_to_string(&older).unwrap());
        assert!(new.len() <= 1_000 && old.len() <= 1_000);
        let kept: Vec<_> = old.lines().chain(new.lines()).collect();
        let expected: Vec<_> = (1_000 - kept.len()..1_000).map(|n| format!("line {n}")).collect();
        assert_eq!(kept, expected);
        std::fs::remove_file(path).unwrap();
        std::fs::remove_file(older).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_written_is_given_up() {
        let mut log = LogFile::new(PathBuf::from("/proc/nowhere/x.log"));
        log.write_line(b"lost");
        assert!(log.broken);
    }
}
