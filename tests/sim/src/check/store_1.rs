//! STORE-1: extents handed out never overlap, never exceed the capacity, and never hold what somebody still reads.

use crate::check::{Verdict, broken};
use crate::memory::Arena;
use iosdk_types::Address;

const NAME: &str = "STORE-1";

#[derive(Default)]
pub struct Store1;

impl Store1 {
    /// The raylet gives `[offset, offset + bytes)` to `holder`.
    pub fn granted(&mut self, arena: &Arena, limit: u64, holder: Address, offset: u64, bytes: u64) -> Verdict {
        let end = offset + bytes;
        if let Some((at, extent)) = arena.granted.range(..end).find(|(at, extent)| **at + extent.bytes > offset) {
            let text = format!("{holder} is given {offset}..{end}, {} has {at}..{}", extent.holder, at + extent.bytes);
            return broken(NAME, text);
        }
        let used: u64 = arena.granted.values().map(|extent| extent.bytes).sum();
        if used + bytes > limit {
            return broken(NAME, format!("{holder} is given {bytes} more with {used} of {limit} handed out"));
        }
        Ok(())
    }

    /// An extent of a dead holder is nobody's any more: `reader` is somebody who still owns or reads something in it.
    pub fn reclaimed(&mut self, offset: u64, holder: Address, reader: Option<String>) -> Verdict {
        match reader {
            None => Ok(()),
            Some(reader) => broken(NAME, format!("extent {offset} of dead {holder} is reused while {reader}")),
        }
    }
}
