//! Where things lie in a lane, and what a frame header says.
//!
//! | bytes | what |
//! | --- | --- |
//! | 0 | tail (u64, producer) |
//! | 128 | head (u64, consumer) |
//! | 256 | want_space (u32, both) |
//! | 512 | claim table, 512 x u32 |
//! | 2560 | the first ring, to the end of the page |
//! | 65536 | the larger rings, one at a time |
//!
//! Frame header, two little-endian words: payload length (u32), kind (u8), three bytes 0; then a word by kind.

/// Address space per lane; 64 KiB multiples suit every page size.
pub(crate) const STRIDE: u64 = 1 << 20;
pub(crate) const MAPPED: usize = GROWN + (256 << 10);

pub(crate) const TAIL: usize = 0;
pub(crate) const HEAD: usize = 128;
pub(crate) const WANT_SPACE: usize = 256;
pub(crate) const CLAIM_TABLE: usize = 512;
pub(crate) const CLAIMS: usize = 512;
const FIRST: usize = CLAIM_TABLE + CLAIMS * 4;
const GROWN: usize = 64 << 10;

pub(crate) const LINE: usize = 64;
pub(crate) const HEADER: usize = 16;

/// The longest message.
pub const MESSAGE_MAX: usize = 1 << 30;

/// One of the rings a lane can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ring {
    pub(crate) level: u8,
    /// Its first byte in the lane.
    pub(crate) start: usize,
    pub(crate) capacity: usize,
}

pub(crate) const LEVEL_MAX: u8 = 3;

impl Ring {
    pub(crate) const SMALLEST: Self = Self { level: 0, start: FIRST, capacity: 4096 - FIRST };

    pub(crate) fn at_level(level: u8) -> Option<Self> {
        match level {
            0 => Some(Self::SMALLEST),
            1 => Some(Self { level, start: GROWN, capacity: 16 << 10 }),
            2 => Some(Self { level, start: GROWN, capacity: 64 << 10 }),
            3 => Some(Self { level, start: GROWN, capacity: 256 << 10 }),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A message. Second word: 0.
    Whole = 1,
    /// The first part of a message. Second word: the message's length.
    First = 2,
    /// A further part. Second word: how much of the message came before it.
    More = 3,
    /// Nothing, up to the ring's end. Second word: 0.
    Pad = 4,
    /// The last frame of this ring. Second word: the level of the next one.
    Switch = 5,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) len: u32,
    pub(crate) second: u64,
}

impl Header {
    #[inline]
    pub(crate) fn first_word(self) -> u64 {
        u64::from(self.len) | (self.kind as u64) << 32
    }

    /// `None`: not a header anybody of ours wrote.
    #[inline]
    pub(crate) fn parse(first: u64, second: u64) -> Option<Self> {
        let kind = match first >> 32 {
            1 => Kind::Whole,
            2 => Kind::First,
            3 => Kind::More,
            4 => Kind::Pad,
            5 => Kind::Switch,
            _ => return None,
        };
        Some(Self { kind, len: first as u32, second })
    }
}

/// The bytes a frame with this payload takes.
#[inline]
pub(crate) fn frame_len(payload: usize) -> usize {
    (HEADER + payload).next_multiple_of(LINE)
}
