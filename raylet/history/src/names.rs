//! Names on their way in: each process numbers its own, each segment numbers those that its records use.

use crate::format::put_name;
use iosdk_types::task_record::NO_NAME;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The most names of one process; records of further ones have none.
const NAMES_MAX: u32 = 1 << 16;

#[derive(Clone, Default)]
struct Name {
    text: Option<Arc<str>>,
    /// The number in the segment, while this is the names' generation.
    local: u32,
    generation: u64,
}

#[derive(Default)]
pub(crate) struct Names {
    sources: BTreeMap<u32, Vec<Name>>,
    segment: HashMap<Arc<str>, u32>,
    /// Numbers of the segment that are used up.
    next: u32,
    generation: u64,
}

impl Names {
    pub(crate) fn learn(&mut self, source: u32, number: u32, text: &str) {
        if number >= NAMES_MAX {
            return;
        }
        let names = self.sources.entry(source).or_default();
        names.resize(names.len().max(number as usize + 1), Name::default());
        names[number as usize] = Name { text: Some(text.into()), ..Name::default() };
    }

    pub(crate) fn forget(&mut self, source: u32) {
        self.sources.remove(&source);
    }

    /// The segment's number for this name. The first time it is asked for, the name goes to `out` too.
    #[inline]
    pub(crate) fn local(&mut self, source: u32, number: u32, out: &mut Vec<u8>) -> u32 {
        let name = self.sources.get_mut(&source).and_then(|names| names.get_mut(number as usize));
        let Some(name) = name else { return NO_NAME };
        if name.generation != self.generation {
            let Some(text) = &name.text else { return NO_NAME };
            name.generation = self.generation;
            name.local = match self.segment.get(text) {
                Some(local) => *local,
                None => {
                    put_name(self.next, text, out);
                    self.segment.insert(Arc::clone(text), self.next);
                    self.next += 1;
                    self.next - 1
                }
            };
        }
        name.local
    }

    /// A new segment: no name is in it.
    pub(crate) fn restart(&mut self) {
        self.next = 0;
        self.unwritten();
    }

    /// What went out did not get into the segment: whatever is used is told again, under numbers that were never used.
    pub(crate) fn unwritten(&mut self) {
        self.segment.clear();
        self.generation += 1;
    }
}
