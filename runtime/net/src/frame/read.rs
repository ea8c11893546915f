//! A cursor that never reads beyond its bytes.

use super::decode::BadFrame;

pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], BadFrame> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(BadFrame::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    pub(super) fn slice(&mut self, len: u64) -> Result<&'a [u8], BadFrame> {
        let len = usize::try_from(len).map_err(|_| BadFrame::Short)?;
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(BadFrame::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Result<u8, BadFrame> {
        Ok(self.array::<1>()?[0])
    }

    #[inline]
    pub(super) fn u16(&mut self) -> Result<u16, BadFrame> {
        Ok(u16::from_le_bytes(*self.array()?))
    }

    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32, BadFrame> {
        Ok(u32::from_le_bytes(*self.array()?))
    }

    #[inline]
    pub(super) fn u64(&mut self) -> Result<u64, BadFrame> {
        Ok(u64::from_le_bytes(*self.array()?))
    }

    #[inline]
    pub(super) fn flag(&mut self) -> Result<bool, BadFrame> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(BadFrame::Unknown("flag")),
        }
    }

    /// `N` bytes that must be zero.
    #[inline]
    pub(super) fn zeros<const N: usize>(&mut self) -> Result<(), BadFrame> {
        if *self.array::<N>()? == [0; N] { Ok(()) } else { Err(BadFrame::Reserved) }
    }

    /// A count of things of at least `width` bytes each, if that many can be there at all: before memory is reserved.
    #[inline]
    pub(super) fn can_hold(&self, count: u32, width: usize) -> Result<usize, BadFrame> {
        let count = count as usize;
        if count <= self.rest.len() / width { Ok(count) } else { Err(BadFrame::Short) }
    }

    pub(super) fn end(self) -> Result<(), BadFrame> {
        if self.rest.is_empty() { Ok(()) } else { Err(BadFrame::Long) }
    }
}
