//! The writing end: one batch for what was drained from one process, behind the last one; a new segment when one is full;
//! the oldest segment goes when all together take too much.

use crate::format::{BATCH, BatchHeader, HEADER, file_header, read_file_header};
use crate::names::Names;
use crate::{Error, folder};
use iosdk_types::task_record::{Entries, Entry, SLOT};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes that the history may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub total: u64,
    /// A segment that has so many gets no more. What is dropped at a time, so a small part of the total.
    pub segment: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { total: 256 << 20, segment: 8 << 20 }
    }
}

struct Open {
    number: u64,
    path: PathBuf,
    file: File,
    seed: u32,
    end: u64,
}

pub struct Appender {
    dir: PathBuf,
    limits: Limits,
    /// Number and bytes of the segments that get no more, oldest first.
    full: VecDeque<(u64, u64)>,
    open: Option<Open>,
    next: u64,
    names: Names,
    /// Records that were lost and stand in no batch yet.
    lost: u64,
    /// The batch that is put together: names, records, and all of it as it is written.
    new_names: Vec<u8>,
    records: Vec<u8>,
    batch: Vec<u8>,
}

impl Appender {
    /// Goes on in this folder, which is made if it is not there. One at a time: its caller has a lock on a folder above. What
    /// is there is left as it is; the first batch starts a new segment, since a kill may have torn the last one.
    pub fn open(dir: &Path, limits: Limits) -> Result<Self, Error> {
        folder::make(dir)?;
        let full: VecDeque<_> = folder::segments(dir)?.into_iter().collect();
        Ok(Self {
            dir: dir.to_owned(),
            limits,
            next: full.back().map_or(1, |(number, _)| number + 1),
            full,
            open: None,
            names: Names::default(),
            lost: 0,
            new_names: Vec::new(),
            records: Vec::new(),
            batch: Vec::new(),
        })
    }

    /// Appends what one process wrote into its ring. `lost`: how many records found no room there. `ahead`: what the wall clock
    /// is ahead of the monotonic one now, in nanoseconds. After an error these records count as lost.
    pub fn append(&mut self, source: u32, slots: &[u8], lost: u64, ahead: i64) -> Result<(), Error> {
        self.lost = self.lost.saturating_add(lost);
        if slots.is_empty() && self.lost == 0 {
            return Ok(());
        }
        self.new_names.clear();
        self.records.clear();
        let opened = self.make_segment(slots.len() as u64);
        for entry in Entries::new(slots) {
            match entry {
                Entry::Task(mut record) => {
                    record.owner = source;
                    record.name = self.names.local(source, record.name, &mut self.new_names);
                    self.records.extend_from_slice(&record.to_bytes());
                }
                Entry::Name { number, text } => self.names.learn(source, number, text),
                Entry::Malformed => self.lost = self.lost.saturating_add(1),
            }
        }
        let written = opened.and_then(|()| self.write(ahead));
        match written {
            Ok(()) => self.lost = 0,
            Err(_) => {
                self.lost = self.lost.saturating_add((self.records.len() / SLOT) as u64);
                self.names.unwritten();
            }
        }
        written
    }

    /// The process is gone and its ring drained.
    pub fn forget(&mut self, source: u32) {
        self.names.forget(source);
    }

    /// A segment that takes about so many bytes.
    fn make_segment(&mut self, bytes: u64) -> Result<(), Error> {
        let is_full = |open: &Open| open.end > HEADER as u64 && open.end + bytes > self.limits.segment;
        if let Some(open) = self.open.take_if(|open| is_full(open)) {
            self.full.push_back((open.number, open.end));
        }
        if self.open.is_some() {
            return Ok(());
        }
        let number = self.next;
        self.next += 1;
        let path = folder::path(&self.dir, number);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(Error::io("making", &path))?;
        // A clock that stands wrong makes seeds alike, which only weakens a second line of defence.
        let made = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        let header = file_header(made);
        if let Err(error) = file.write_all_at(&header, 0) {
            let _a_file_without_a_header_says_nothing = std::fs::remove_file(&path);
            return Err(Error::io("writing", &path)(error));
        }
        let seed = read_file_header(&header).expect("just made");
        self.names.restart();
        self.open = Some(Open { number, path, file, seed, end: HEADER as u64 });
        Ok(())
    }

    fn write(&mut self, ahead: i64) -> Result<(), Error> {
        let Some(open) = &mut self.open else { return Ok(()) };
        self.batch.clear();
        self.batch.extend_from_slice(&[0; BATCH]);
        self.batch.extend_from_slice(&self.new_names);
        self.batch.extend_from_slice(&self.records);
        let header = BatchHeader {
            records: (self.records.len() / SLOT) as u32,
            names: self.new_names.len() as u32,
            crc: crc32c::crc32c(&self.batch[BATCH..]),
            ahead,
            lost: self.lost,
        };
        self.batch[..BATCH].copy_from_slice(&header.to_bytes(open.seed, open.end));
        let bytes = open.end + self.batch.len() as u64;
        Self::make_room(&self.dir, &mut self.full, self.limits.total.saturating_sub(bytes))?;
        if let Err(error) = open.file.write_all_at(&self.batch, open.end) {
            // The next batch is written over a part of this one that got there; whatever sticks out behind it says nothing.
            let _what_is_left_is_no_batch = open.file.set_len(open.end);
            return Err(Error::io("writing", &open.path)(error));
        }
        open.end = bytes;
        Ok(())
    }

    /// Removes full segments, the oldest first, until what they take is no more than `most`.
    fn make_room(dir: &Path, full: &mut VecDeque<(u64, u64)>, most: u64) -> Result<(), Error> {
        let mut used: u64 = full.iter().map(|(_, bytes)| bytes).sum();
        while used > most
            && let Some((number, bytes)) = full.front().copied()
        {
            let path = folder::path(dir, number);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::io("removing", &path)(error)),
                _ => {}
            }
            full.pop_front();
            used -= bytes;
        }
        Ok(())
    }
}
