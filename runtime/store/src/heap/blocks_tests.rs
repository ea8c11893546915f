//! The block table checked against itself.

use super::*;

impl Blocks {
    /// Every slab is tiled by its blocks, no two free ones touch, lists and index name exactly what they should.
    pub(in crate::heap) fn check(&self) {
        let (mut held, mut free) = (0, 0);
        for (index, slab) in self.slabs.iter().enumerate() {
            let Some(slab) = slab else { continue };
            let (mut at, mut before, mut bytes, mut live) = (slab.first, NONE, 0, 0);
            let start = self.table[at as usize].offset;
            while let Some(block) = self.table.get(at as usize) {
                assert_eq!((block.slab as usize, block.before, block.offset), (index, before, start + bytes));
                assert!(block.bytes > 0 && block.bytes.is_multiple_of(UNIT));
                match block.held {
                    Some(inside) => {
                        assert!(inside.len + HEADER <= block.bytes);
                        assert_eq!(self.index.get(&block.offset), Some(&at));
                        live += 1;
                    }
                    None => {
                        assert!(self.is_listed(at), "a free block is in no list");
                        assert!(self.table.get(before as usize).is_none_or(|b| b.held.is_some()), "free neighbours");
                        free += 1;
                    }
                }
                bytes += block.bytes;
                (before, at) = (at, block.after);
            }
            assert_eq!((bytes, live), (slab.bytes, slab.live));
            held += live as usize;
        }
        assert_eq!(held, self.index.len());
        assert_eq!(free, (0..CLASSES).map(|class| self.listed(class).count()).sum::<usize>());
        for class in 0..CLASSES {
            let filled = self.filled[class / 64] >> (class % 64) & 1 == 1;
            assert_eq!(filled, self.lists[class] != NONE);
        }
        assert_eq!(self.bytes, self.slabs.iter().flatten().map(|slab| slab.bytes).sum::<u64>());
    }

    fn listed(&self, class: usize) -> impl Iterator<Item = u32> {
        let next = |at: u32| self.table.get(at as usize).map(|_| at);
        std::iter::successors(next(self.lists[class]), move |&at| next(self.table[at as usize].right))
    }

    fn is_listed(&self, at: u32) -> bool {
        self.listed(class_of(self.table[at as usize].bytes / UNIT)).any(|listed| listed == at)
    }
}

#[test]
fn classes_grow_with_size_and_waste_at_most_an_eighth() {
    let mut last = 0;
    let mut floor = 1;
    for units in 1..100_000_u64 {
        let class = class_of(units);
        assert!(class == last || class == last + 1, "{units}");
        if class != last {
            (last, floor) = (class, units);
        }
        assert!((units - floor) * 8 <= units, "{units} shares a class with {floor}");
    }
    assert!(class_of(u64::from(u32::MAX)) < CLASSES);
}
