//! The heap against a list of what is allocated, over random calls, and its rules one by one.

use super::*;
use proptest::prelude::*;

const ME: Address = Address { node: 0, epoch: 1, process: 1 };
const OTHER: Address = Address { node: 0, epoch: 1, process: 2 };
const MIB: u64 = 1 << 20;

/// A raylet that never refuses: fresh offsets for each extent, and a record of what is out.
#[derive(Default)]
struct Granter {
    next: u64,
    out: Map<u64, (u64, Purpose)>,
}

impl Granter {
    fn grant(&mut self, heap: &mut Heap, needs: Needs) {
        assert!(needs.bytes.is_multiple_of(EXTENT) && needs.bytes > 0);
        self.out.insert(self.next, (needs.bytes, needs.purpose));
        heap.add_extent(self.next, needs.bytes, needs.purpose);
        self.next += needs.bytes;
    }

    fn take_back(&mut self, extents: Vec<u64>) {
        extents.iter().for_each(|extent| assert!(self.out.remove(extent).is_some(), "{extent} was not out"));
    }

    fn alloc(&mut self, heap: &mut Heap, len: u64, owner: Address) -> Allocation {
        heap.alloc(len, owner).unwrap_or_else(|needs| {
            self.grant(heap, needs);
            heap.alloc(len, owner).expect("what was asked for is enough")
        })
    }

    /// The extent that holds all of this, header included.
    fn around(&self, allocation: &Allocation) -> Option<(u64, Purpose)> {
        let (&start, &(bytes, purpose)) = self.out.range(..allocation.offset).next_back()?;
        let (from, to) = (allocation.offset - HEADER, allocation.offset + allocation.len);
        (start <= from && to <= start + bytes).then_some((start, purpose))
    }
}

#[derive(Clone, Debug)]
enum Step {
    Alloc(u64, bool),
    Free(usize),
    FreeWrong(u64, u32),
    OwnerDies { pinned_every: u64 },
    Unpinned,
    Trim(u64),
    Drain,
}

fn step() -> impl Strategy<Value = Step> {
    let len = prop_oneof![
        4 => 0..2_000_u64,
        4 => 60_000..LARGE,
        1 => (LARGE - 200)..(LARGE + 200),
        2 => LARGE..(40 * MIB),
    ];
    prop_oneof![
        12 => (len, any::<bool>()).prop_map(|(len, mine)| Step::Alloc(len, mine)),
        10 => any::<usize>().prop_map(Step::Free),
        1 => (0..(64 * MIB), 0..50_u32).prop_map(|(offset, generation)| Step::FreeWrong(offset, generation)),
        1 => (2..5_u64).prop_map(|pinned_every| Step::OwnerDies { pinned_every }),
        1 => Just(Step::Unpinned),
        2 => (0..8_000_000_000_u64).prop_map(Step::Trim),
        1 => Just(Step::Drain),
    ]
}

/// Live allocations by offset.
type Live = Map<u64, Allocation>;

fn check_new(live: &Live, granter: &Granter, new: &Allocation) {
    let (_, purpose) = granter.around(new).expect("inside a granted extent");
    let large = new.len >= LARGE;
    assert_eq!(purpose, if large { Purpose::Large } else { Purpose::Slab });
    assert!(new.offset.is_multiple_of(if large { 4096 } else { 64 }));
    let before = live.range(..new.offset).next_back();
    assert!(before.is_none_or(|(_, other)| other.offset + other.len <= new.offset - HEADER), "over the one before");
    let after = live.range(new.offset..).next();
    assert!(after.is_none_or(|(_, other)| new.offset + new.len <= other.offset - HEADER), "over the one after");
}

fn run(steps: Vec<Step>) {
    let (mut heap, mut granter, mut live, mut now) = (Heap::new(), Granter::default(), Live::new(), Time(0));
    let mut generations = std::collections::BTreeSet::new();
    let mut freed: Vec<Allocation> = Vec::new();
    for step in steps {
        match step {
            Step::Alloc(len, mine) => {
                let new = granter.alloc(&mut heap, len, if mine { ME } else { OTHER });
                assert_eq!(new.len, len);
                check_new(&live, &granter, &new);
                assert!(generations.insert(new.generation), "a generation came twice");
                live.insert(new.offset, new);
            }
            Step::Free(which) if !live.is_empty() => {
                let (_, gone) = live.pop_first_after(which);
                granter.take_back(heap.free(gone.offset, gone.generation).expect("live"));
                freed.push(gone);
            }
            Step::Free(_) => {}
            Step::FreeWrong(offset, generation) => {
                if live.get(&offset).is_none_or(|there| there.generation != generation) {
                    assert_eq!(heap.free(offset, generation), Err(BadFree { offset, generation }));
                }
                if let Some(stale) = freed.last() {
                    assert!(heap.free(stale.offset, stale.generation).is_err(), "freed twice");
                }
            }
            Step::OwnerDies { pinned_every } => {
                let pinned = |allocation: &Allocation| u64::from(allocation.generation).is_multiple_of(pinned_every);
                granter.take_back(heap.free_owned_by(OTHER, pinned));
                live.retain(|_, allocation| allocation.owner != OTHER || pinned(allocation));
                // A pinned one is freed later; until then it is as good as live.
            }
            Step::Unpinned => {
                let mut asked = Vec::new();
                granter.take_back(heap.free_condemned(|allocation| {
                    asked.push(*allocation);
                    false
                }));
                for allocation in asked {
                    assert_eq!(live.remove(&allocation.offset), Some(allocation));
                }
            }
            Step::Trim(later) => {
                now = now + Span(later);
                granter.take_back(heap.trim(now));
            }
            Step::Drain => granter.take_back(heap.drain_all()),
        }
        heap.blocks.check();
        assert_eq!(heap.usage().allocations, live.len());
        let usage = heap.usage();
        assert_eq!(usage.live + usage.kept, granter.out.values().map(|(bytes, _)| bytes).sum::<u64>());
        live.values().for_each(|one| assert_eq!(heap.find(one.offset, one.generation), Some(*one)));
    }
    for gone in live.into_values() {
        granter.take_back(heap.free(gone.offset, gone.generation).expect("live"));
    }
    granter.take_back(heap.drain_all());
    assert!(granter.out.is_empty(), "extents leaked: {:?}", granter.out);
    assert_eq!(heap.usage(), Usage::default());
}

trait PopAfter {
    fn pop_first_after(&mut self, which: usize) -> (u64, Allocation);
}

impl PopAfter for Live {
    fn pop_first_after(&mut self, which: usize) -> (u64, Allocation) {
        let offset = *self.keys().nth(which % self.len()).expect("not empty");
        (offset, self.remove(&offset).expect("there"))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn never_overlaps_never_leaks_never_believes(steps in proptest::collection::vec(step(), 1..200)) {
        run(steps);
    }
}

#[test]
fn a_put_loop_asks_for_memory_once() {
    let (mut heap, mut granter) = (Heap::new(), Granter::default());
    for len in [100 * MIB, 3 * 1024 * MIB] {
        let first = granter.alloc(&mut heap, len, ME);
        heap.free(first.offset, first.generation).expect("live");
        let grants = granter.out.len();
        for _ in 0..100 {
            let again = heap.alloc(len, ME).expect("the extent that was freed just now");
            assert_eq!(again.offset, first.offset);
            assert_ne!(again.generation, first.generation);
            assert_eq!(heap.free(again.offset, again.generation), Ok(Vec::new()));
        }
        assert_eq!(granter.out.len(), grants);
    }
}

#[test]
fn more_than_the_recent_peak_is_not_kept() {
    let (mut heap, mut granter) = (Heap::new(), Granter::default());
    // A peak of 1000 MiB in ten objects; then it is over for two windows, and the objects go one by one.
    let all: Vec<_> = (0..10).map(|_| granter.alloc(&mut heap, 99 * MIB, ME)).collect();
    for second in 1..=25 {
        assert_eq!(heap.trim(Time(second * 1_000_000_000)), Vec::new());
    }
    for gone in &all {
        assert_eq!(heap.free(gone.offset, gone.generation), Ok(Vec::new()), "all of it was live just now");
    }
    assert_eq!(heap.usage(), Usage { live: 0, kept: 1000 * MIB, allocations: 0 });
    // One small put later the peak is old, and freeing returns the oldest until 512 MiB are left.
    let one = granter.alloc(&mut heap, 2 * MIB, ME);
    heap.window_ends = Time(0);
    heap.peak = [0; 2];
    let back = heap.free(one.offset, one.generation).expect("live");
    granter.take_back(back);
    assert!(heap.usage().kept <= KEEP && heap.usage().kept > KEEP - 100 * MIB, "{:?}", heap.usage());
}

#[test]
fn what_is_idle_for_ten_seconds_goes_back() {
    let (mut heap, mut granter) = (Heap::new(), Granter::default());
    let large = granter.alloc(&mut heap, 5 * MIB, ME);
    let small = granter.alloc(&mut heap, 100_000, ME);
    let stays = granter.alloc(&mut heap, 100_000, ME);
    heap.trim(Time(1_000_000_000));
    heap.free(large.offset, large.generation).expect("live");
    heap.free(small.offset, small.generation).expect("live");
    assert_eq!(heap.trim(Time(10_900_000_000)), Vec::new());
    assert_eq!(heap.trim(Time(11_000_000_000)), vec![large.offset - LARGE_PAYLOAD]);
    heap.free(stays.offset, stays.generation).expect("live");
    assert_eq!(heap.trim(Time(20_900_000_000)), Vec::new());
    assert_eq!(heap.trim(Time(21_000_000_000)), vec![small.offset - HEADER]);
    assert_eq!(heap.usage(), Usage::default());
}

#[test]
fn a_kept_extent_serves_only_what_nearly_fills_it() {
    let (mut heap, mut granter) = (Heap::new(), Granter::default());
    let wide = granter.alloc(&mut heap, 99 * MIB, ME);
    heap.free(wide.offset, wide.generation).expect("live");
    assert_eq!(heap.alloc(50 * MIB, ME), Err(Needs { bytes: 52 * MIB, purpose: Purpose::Large }));
    assert_eq!(heap.alloc(90 * MIB, ME).map(|a| a.offset), Ok(wide.offset));
}

#[test]
fn sizes_that_no_memory_has_are_refused_not_wrapped() {
    let mut heap = Heap::new();
    assert_eq!(heap.alloc(u64::MAX, ME), Err(Needs { bytes: u64::MAX, purpose: Purpose::Large }));
    assert_eq!(heap.alloc(u64::MAX - 5000, ME), Err(Needs { bytes: u64::MAX, purpose: Purpose::Large }));
}

#[test]
fn what_is_pinned_outlives_its_owner() {
    let (mut heap, mut granter) = (Heap::new(), Granter::default());
    let theirs = [100, 200_000, 3 * MIB].map(|len| granter.alloc(&mut heap, len, OTHER));
    let mine = granter.alloc(&mut heap, 100, ME);
    assert_eq!(heap.owned_by(OTHER), theirs.to_vec());
    heap.free_owned_by(OTHER, |allocation| allocation.len != 200_000);
    assert_eq!(heap.owned_by(OTHER), vec![theirs[0], theirs[2]]);
    heap.free_condemned(|allocation| allocation.len == 100);
    assert_eq!(heap.owned_by(OTHER), vec![theirs[0]]);
    heap.free_condemned(|_| false);
    assert_eq!(heap.owned_by(OTHER), Vec::new());
    assert_eq!(heap.find(mine.offset, mine.generation), Some(mine));
}

#[test]
fn small_objects_fill_their_slabs() {
    let (mut heap, mut granter) = (Heap::new(), Granter::default());
    // Half the objects of mixed sizes leave, at random places; the next ones fit where they were.
    let mut sizes = (0..).scan(1_u64, |state, _: u32| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some(65_536 + (*state >> 33) % 300_000)
    });
    let mut live: Vec<_> = (0..1000).map(|_| granter.alloc(&mut heap, sizes.next().expect("endless"), ME)).collect();
    for round in 0..20_000 {
        let gone = live.swap_remove((round * 7919) % live.len());
        heap.free(gone.offset, gone.generation).expect("live");
        live.push(granter.alloc(&mut heap, sizes.next().expect("endless"), ME));
    }
    let payload: u64 = live.iter().map(|allocation| allocation.len).sum();
    assert!(payload * 4 > heap.usage().live * 3, "{payload} bytes of payload in {:?}", heap.usage());
}
