//! The bytes of a segment file, version 1. All integers are little-endian, all checksums CRC32C.
//!
//!     file    = header, batch...
//!     header  = "iosdk tasks\n", version u32, made u64 (nanoseconds since 1970), crc u32 (of the bytes before)
//!     batch   = mark "batc", records u32, names u32 (bytes), crc u32 (of what follows the batch's header),
//!               ahead i64 (wall clock minus monotonic clock, nanoseconds), lost u64 (records before these),
//!               crc u32 (seed of the file, offset of the batch, its header so far), name..., record...
//!     name    = number u32, length u8, text
//!     record  = a slot of `iosdk_types::task_record`; its name is one of this file's, in this batch or before it
//!
//! The seed is the crc of the file's header, so that bytes of another file never pass for a batch of this one.

use crc32c::{crc32c, crc32c_append};
use iosdk_types::task_record::SLOT;

pub(crate) const VERSION: u32 = 1;
pub(crate) const HEADER: usize = 28;
pub(crate) const BATCH: usize = 36;

const MAGIC: &[u8; 12] = b"iosdk tasks\n";
const MARK: &[u8; 4] = b"batc";

pub(crate) fn file_header(made: u64) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..12].copy_from_slice(MAGIC);
    bytes[12..16].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&made.to_le_bytes());
    let crc = crc32c(&bytes[..24]);
    bytes[24..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The seed, if these bytes start a file of this version.
pub(crate) fn read_file_header(bytes: &[u8]) -> Option<u32> {
    let bytes = bytes.first_chunk::<HEADER>()?;
    let seed = crc32c(&bytes[..24]);
    (bytes.starts_with(MAGIC) && u32_at(bytes, 12) == VERSION && u32_at(bytes, 24) == seed).then_some(seed)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) records: u32,
    pub(crate) names: u32,
    pub(crate) crc: u32,
    pub(crate) ahead: i64,
    pub(crate) lost: u64,
}

impl BatchHeader {
    pub(crate) fn to_bytes(self, seed: u32, offset: u64) -> [u8; BATCH] {
        let mut bytes = [0; BATCH];
        bytes[..4].copy_from_slice(MARK);
        bytes[4..8].copy_from_slice(&self.records.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.names.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.crc.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.ahead.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.lost.to_le_bytes());
        let crc = header_crc(seed, offset, &bytes);
        bytes[32..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None`: nobody wrote the header of a batch at this place.
    pub(crate) fn read(seed: u32, offset: u64, bytes: &[u8; BATCH]) -> Option<Self> {
        let good = bytes.starts_with(MARK) && header_crc(seed, offset, bytes) == u32_at(bytes, 32);
        good.then(|| Self {
            records: u32_at(bytes, 4),
            names: u32_at(bytes, 8),
            crc: u32_at(bytes, 12),
            ahead: u64_at(bytes, 16).cast_signed(),
            lost: u64_at(bytes, 24),
        })
    }

    /// The bytes behind the header.
    pub(crate) fn payload(&self) -> u64 {
        u64::from(self.names) + u64::from(self.records) * SLOT as u64
    }
}

fn header_crc(seed: u32, offset: u64, bytes: &[u8; BATCH]) -> u32 {
    crc32c_append(crc32c_append(seed, &offset.to_le_bytes()), &bytes[..32])
}

/// The caller holds texts below 256 bytes.
pub(crate) fn put_name(number: u32, text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&number.to_le_bytes());
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

/// The first name and the bytes behind it.
pub(crate) fn take_name(bytes: &[u8]) -> Option<(u32, &str, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    let (len, rest) = rest.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*len))?;
    Some((u32::from_le_bytes(*number), std::str::from_utf8(text).ok()?, rest))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("four bytes"))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("eight bytes"))
}
