//! The bytes of a file of the log, version 1. All integers are little-endian, all checksums CRC32C.
//!
//!     file   = header, frame...      frames up to the base come from one snapshot, each one after it is one append
//!     header = "iosdk gcslog", version u32, made u64 (nanoseconds since 1970), crc u32 (of the bytes before)
//!     frame  = mark "base" or "grp\n", len u32, crc u32 (of the payload), crc u32 (see `FrameHeader`), payload
//!     payload = item...
//!     item   = 1 bytes | 2 key crc bytes | 3 key | 4 bytes | 5 key segment u64, offset u64, len u32, crc
//!              a key or bytes is a length u32 and that many bytes
//!
//! The header stays as it is in every version, so that any version can tell that a file is too new for it.

use crate::Entry;
use crc32c::{crc32c, crc32c_append};

pub(crate) const VERSION: u32 = 1;
pub(crate) const HEADER: usize = 28;
pub(crate) const FRAME: usize = 16;
/// The most that one frame carries.
pub(crate) const PAYLOAD_MAX: u64 = 1 << 30;

const MAGIC: &[u8; 12] = b"iosdk gcslog";
const RECORD: u8 = 1;
const PUT: u8 = 2;
const DROP: u8 = 3;
const STATE: u8 = 4;
const KEPT: u8 = 5;

/// Where the bytes of a blob lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub segment: u64,
    pub offset: u64,
    pub len: u32,
    pub crc: u32,
}

pub(crate) fn file_header(made: u64) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..12].copy_from_slice(MAGIC);
    bytes[12..16].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&made.to_le_bytes());
    let crc = crc32c(&bytes[..24]);
    bytes[24..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// `(version, seed)`, if these bytes start a file of any version. The seed goes into the checksums of the file's frames:
/// bytes of another file, say of a deleted one whose blocks the file system used again, never pass for frames of this one.
pub(crate) fn read_file_header(bytes: &[u8; HEADER]) -> Option<(u32, u32)> {
    let seed = crc32c(&bytes[..24]);
    (bytes.starts_with(MAGIC) && u32_at(bytes, 24) == seed).then(|| (u32_at(bytes, 12), seed))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Base,
    Group,
}

impl Kind {
    fn mark(self) -> &'static [u8; 4] {
        match self {
            Kind::Base => b"base",
            Kind::Group => b"grp\n",
        }
    }
}

/// Checked on its own, with the file's seed and the frame's offset: a good header proves that somebody wrote a frame at
/// this very place, whatever became of its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub kind: Kind,
    pub len: u32,
    pub crc: u32,
}

impl FrameHeader {
    pub(crate) fn read(seed: u32, offset: u64, bytes: &[u8; FRAME]) -> Option<Self> {
        let kind = [Kind::Base, Kind::Group].into_iter().find(|kind| bytes.starts_with(kind.mark()))?;
        let good = header_crc(seed, offset, bytes) == u32_at(bytes, 12);
        good.then(|| Self { kind, len: u32_at(bytes, 4), crc: u32_at(bytes, 8) })
    }
}

fn header_crc(seed: u32, offset: u64, bytes: &[u8; FRAME]) -> u32 {
    crc32c_append(crc32c_append(seed, &offset.to_le_bytes()), &bytes[..12])
}

/// A frame while it is put together: room for its header, and the payload so far.
pub(crate) struct Frame {
    bytes: Vec<u8>,
}

impl Frame {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; FRAME] }
    }

    #[cfg(test)]
    pub(crate) fn holding(payload: &[u8]) -> Self {
        let mut frame = Self::new();
        frame.bytes.extend_from_slice(payload);
        frame
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.bytes[FRAME..]
    }

    pub(crate) fn entry(&mut self, entry: &Entry) {
        match entry {
            Entry::Record(bytes) => {
                self.bytes.push(RECORD);
                self.counted(bytes);
            }
            Entry::PutBlob { key, bytes } => self.put(key, crc32c(bytes), bytes),
            Entry::DropBlob { key } => {
                self.bytes.push(DROP);
                self.counted(key.as_bytes());
            }
        }
    }

    pub(crate) fn put(&mut self, key: &str, crc: u32, bytes: &[u8]) {
        self.bytes.push(PUT);
        self.counted(key.as_bytes());
        self.bytes.extend_from_slice(&crc.to_le_bytes());
        self.counted(bytes);
    }

    pub(crate) fn state(&mut self, state: &[u8]) {
        self.bytes.push(STATE);
        self.counted(state);
    }

    pub(crate) fn kept(&mut self, key: &str, place: &Place) {
        self.bytes.push(KEPT);
        self.counted(key.as_bytes());
        self.bytes.extend_from_slice(&place.segment.to_le_bytes());
        self.bytes.extend_from_slice(&place.offset.to_le_bytes());
        self.bytes.extend_from_slice(&place.len.to_le_bytes());
        self.bytes.extend_from_slice(&place.crc.to_le_bytes());
    }

    /// The caller has held everything below `PAYLOAD_MAX`, so lengths fit.
    fn counted(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(bytes);
    }

    /// The whole frame as it is written at `offset` of the file with this seed.
    pub(crate) fn seal(&mut self, kind: Kind, seed: u32, offset: u64) -> &[u8] {
        let (len, crc) = (self.payload().len() as u32, crc32c(self.payload()));
        let header = self.bytes.first_chunk_mut::<FRAME>().expect("room was left");
        header[..4].copy_from_slice(kind.mark());
        header[4..8].copy_from_slice(&len.to_le_bytes());
        header[8..12].copy_from_slice(&crc.to_le_bytes());
        let crc = header_crc(seed, offset, header);
        header[12..].copy_from_slice(&crc.to_le_bytes());
        &self.bytes
    }
}

/// What a payload says. `at` is the place of the blob's bytes within the payload.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    Record(&'a [u8]),
    Put { key: &'a str, at: usize, len: u32, crc: u32 },
    Drop { key: &'a str },
    State(&'a [u8]),
    Kept { key: &'a str, place: Place },
}

/// Reads the items of one payload, one after the other.
pub(crate) struct Items<'a> {
    payload: &'a [u8],
    at: usize,
}

impl<'a> Items<'a> {
    pub(crate) fn new(payload: &'a [u8]) -> Self {
        Self { payload, at: 0 }
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.payload.get(self.at..self.at.checked_add(len)?)?;
        self.at += len;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4).map(|bytes| u32_at(bytes, 0))
    }

    fn counted(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()?;
        self.take(len as usize)
    }

    fn key(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.counted()?).ok()
    }

    fn item(&mut self) -> Option<Item<'a>> {
        match self.take(1)?[0] {
            RECORD => self.counted().map(Item::Record),
            PUT => {
                let (key, crc) = (self.key()?, self.u32()?);
                let bytes = self.counted()?;
                Some(Item::Put { key, at: self.at - bytes.len(), len: bytes.len() as u32, crc })
            }
            DROP => self.key().map(|key| Item::Drop { key }),
            STATE => self.counted().map(Item::State),
            KEPT => {
                let key = self.key()?;
                let (segment, offset) = (u64_at(self.take(8)?), u64_at(self.take(8)?));
                Some(Item::Kept { key, place: Place { segment, offset, len: self.u32()?, crc: self.u32()? } })
            }
            _ => None,
        }
    }
}

/// A payload whose checksum is right and whose items are not.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        (self.at < self.payload.len()).then(|| self.item().ok_or(Malformed))
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("four bytes"))
}

fn u64_at(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(*bytes.first_chunk().expect("eight bytes"))
}
