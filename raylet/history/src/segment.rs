//! One segment file as it is read: whole batches only, each with the checksum it was written with.

use crate::filter::ended_at;
use crate::format::{BATCH, BatchHeader, HEADER, read_file_header, take_name};
use crate::{Error, folder};
use iosdk_types::task_record::SLOT;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;

/// Names of one segment beyond this are nobody's: no writer numbers so far.
const NAMES_MAX: usize = 1 << 20;

pub(crate) struct Batch {
    names: Range<usize>,
    records: Range<usize>,
    pub(crate) ahead: i64,
    lost: u64,
}

pub(crate) struct Segment {
    bytes: Vec<u8>,
    pub(crate) batches: Vec<Batch>,
    /// Bytes in no whole batch.
    damaged: u64,
}

/// What is worth remembering of a segment that was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// The file's length then: a segment grows, and does not change otherwise.
    pub(crate) len: u64,
    pub(crate) records: u64,
    pub(crate) lost: u64,
    pub(crate) damaged: u64,
    /// The first and the last end of a task, in nanoseconds since 1970.
    pub(crate) ended: Option<(u64, u64)>,
}

impl Segment {
    /// `None`: it had to make room meanwhile.
    pub(crate) fn read(dir: &Path, number: u64) -> Result<Option<Self>, Error> {
        let path = folder::path(dir, number);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(Self::parse(bytes))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("reading", &path)(error)),
        }
    }

    /// Stops at the first place at which nobody wrote a batch; passes over one whose bytes are not those that were written.
    fn parse(bytes: Vec<u8>) -> Self {
        let mut segment = Self { batches: Vec::new(), damaged: bytes.len() as u64, bytes };
        let Some(seed) = read_file_header(&segment.bytes) else { return segment };
        segment.damaged -= HEADER as u64;
        let mut at = HEADER;
        while let Some(header) = segment.bytes[at..].first_chunk::<BATCH>() {
            let Some(header) = BatchHeader::read(seed, at as u64, header) else { break };
            let start = at + BATCH;
            if header.payload() > (segment.bytes.len() - start) as u64 {
                break;
            }
            let end = start + header.payload() as usize;
            if crc32c::crc32c(&segment.bytes[start..end]) == header.crc {
                let names = start..start + header.names as usize;
                let records = names.end..end;
                segment.batches.push(Batch { names, records, ahead: header.ahead, lost: header.lost });
                segment.damaged -= (end - at) as u64;
            }
            at = end;
        }
        segment
    }

    pub(crate) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(crate) fn facts(&self) -> Facts {
        let mut facts = Facts {
            len: self.len(),
            records: 0,
            lost: self.batches.iter().fold(0, |lost, batch| batch.lost.saturating_add(lost)),
            damaged: self.damaged,
            ended: None,
        };
        for batch in &self.batches {
            let slots = self.slots(batch);
            facts.records += slots.len() as u64;
            let ends = slots.iter().map(|slot| ended_at(slot, batch.ahead));
            facts.ended = ends.fold(facts.ended, |ended, at| {
                let (first, last) = ended.unwrap_or((at, at));
                Some((first.min(at), last.max(at)))
            });
        }
        facts
    }

    pub(crate) fn slots(&self, batch: &Batch) -> &[[u8; SLOT]] {
        self.bytes[batch.records.clone()].as_chunks().0
    }

    /// The segment's names by their numbers; those of batches that are damaged are missing.
    pub(crate) fn names(&self) -> Vec<Option<&str>> {
        let mut names = Vec::new();
        for batch in &self.batches {
            let mut rest = &self.bytes[batch.names.clone()];
            while let Some((number, text, behind)) = take_name(rest) {
                rest = behind;
                let number = number as usize;
                if number < NAMES_MAX {
                    names.resize(names.len().max(number + 1), None);
                    names[number] = Some(text);
                }
            }
        }
        names
    }
}
