//! The lanes that had been rung when the doorbell was looked at.

use super::protocol::WORDS;

/// Yields lane indices in ascending order.
#[derive(Clone, Debug)]
pub struct Rung {
    summary: u64,
    words: [u64; WORDS],
}

impl Rung {
    /// What `take_word` gives for each word that `summary` names.
    pub(super) fn collect(mut summary: u64, take_word: impl Fn(usize) -> u64) -> Self {
        let mut rung = Self { summary: 0, words: [0; WORDS] };
        while summary != 0 {
            let index = summary.trailing_zeros() as usize;
            summary &= summary - 1;
            let word = take_word(index);
            rung.words[index] = word;
            if word != 0 {
                rung.summary |= 1 << index;
            }
        }
        rung
    }

    pub fn is_empty(&self) -> bool {
        self.summary == 0
    }
}

impl Iterator for Rung {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        if self.summary == 0 {
            return None;
        }
        let index = self.summary.trailing_zeros() as usize;
        let word = &mut self.words[index];
        let lane = index as u32 * 64 + word.trailing_zeros();
        *word &= *word - 1;
        if *word == 0 {
            self.summary &= self.summary - 1;
        }
        Some(lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_come_in_order_and_once() {
        let mut words = [0u64; WORDS];
        words[0] = 1 | 1 << 63;
        words[5] = 1 << 2;
        // A summary bit without bits behind it (another thread was quicker) is skipped.
        let rung = Rung::collect(1 | 1 << 5 | 1 << 9, |index| words[index]);
        assert_eq!(rung.collect::<Vec<_>>(), [0, 63, 322]);
        assert!(Rung::collect(0, |_| unreachable!()).is_empty());
    }
}
