//! Copying into the arena: interruptible, and by two threads when long. The C library's copy knows when to go past the caches;
//! streaming stores of our own were 1.5 times as fast in one hour of a shared machine and several times slower in the next.
#![allow(unsafe_code)]

use crate::StoreError;
use crate::shares::share_out;

/// A destination that two threads fill at different places.
#[derive(Clone, Copy)]
struct Target(*mut u8);
// SAFETY: it is only a number; whoever writes there answers for it.
unsafe impl Send for Target {}
// SAFETY: as above.
unsafe impl Sync for Target {}

impl Target {
    fn at(self, offset: usize) -> *mut u8 {
        self.0.wrapping_add(offset)
    }
}

/// Interrupted if `go_on` said no, with an unknown part copied.
///
/// # Safety
/// `to` must be writable for the length of `from`, not overlap it, and be written by nobody else.
pub(crate) unsafe fn copy(to: *mut u8, from: &[u8], go_on: &mut dyn FnMut() -> bool) -> Result<(), StoreError> {
    let target = Target(to);
    let work = |part: std::ops::Range<usize>| {
        // SAFETY: a part of the range that the caller vouches for, and each part is done once.
        unsafe { std::ptr::copy_nonoverlapping(from[part.clone()].as_ptr(), target.at(part.start), part.len()) };
        Ok(())
    };
    share_out(from.len(), work, go_on)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shares::WHOLE;

    fn data(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at ^ at >> 13) as u8).collect()
    }

    fn copied(way: impl Fn(*mut u8, &[u8]), at: usize, from: &[u8]) {
        let mut into = vec![0xEE; from.len() + at + 1];
        way(into.as_mut_ptr().wrapping_add(at), from);
        assert!(into[at..at + from.len()] == *from, "{} bytes at {at}", from.len());
        assert!(into[..at].iter().all(|&byte| byte == 0xEE) && into[at + from.len()] == 0xEE, "wrote beyond");
    }

    #[test]
    fn every_byte_is_copied_and_no_other() {
        let data = data(2 * WHOLE + 17);
        for (at, from) in [(0, &data[..]), (3, &data[1..]), (64, &data[..WHOLE]), (1, &data[..5]), (0, &data[..0])] {
            // SAFETY: `copied` makes room for it.
            copied(|to, from| unsafe { copy(to, from, &mut || true) }.expect("not interrupted"), at, from);
        }
    }
}
