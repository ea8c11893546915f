//! Where the blobs lie. Their bytes stay on the disk: one costs the memory of its key and its place.

use crate::Error;
use crate::format::{Item, Place};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;

#[derive(Default)]
pub(crate) struct Blobs {
    places: BTreeMap<String, Place>,
}

impl Blobs {
    /// Follows an item that was read from, or written to, a payload at `payload` of file `segment`.
    pub(crate) fn follow(&mut self, item: &Item<'_>, segment: u64, payload: u64) {
        match *item {
            Item::Put { key, at, len, crc } => {
                let place = Place { segment, offset: payload + at as u64, len, crc };
                self.places.insert(key.to_owned(), place);
            }
            Item::Kept { key, place } => drop(self.places.insert(key.to_owned(), place)),
            Item::Drop { key } => drop(self.places.remove(key)),
            Item::Record(_) | Item::State(_) => {}
        }
    }

    pub(crate) fn place(&self, key: &str) -> Option<&Place> {
        self.places.get(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Place)> {
        self.places.iter().map(|(key, place)| (key.as_str(), place))
    }

    pub(crate) fn segments(&self) -> BTreeSet<u64> {
        self.places.values().map(|place| place.segment).collect()
    }

    /// How many bytes of blobs each file holds.
    pub(crate) fn sizes(&self) -> BTreeMap<u64, u64> {
        let mut sizes = BTreeMap::new();
        for place in self.places.values() {
            *sizes.entry(place.segment).or_default() += u64::from(place.len);
        }
        sizes
    }
}

/// The bytes at a place of the file at `path`, unchecked.
pub(crate) fn read(path: &Path, place: &Place) -> Result<Vec<u8>, Error> {
    // Opened for each read: how many older files there are depends on the blobs, how many may be open on the system.
    let file = File::open(path).map_err(Error::io("opening", path))?;
    let mut bytes = vec![0; place.len as usize];
    match file.read_exact_at(&mut bytes, place.offset) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            let what = format!("it ends before the {} bytes of a blob", place.len);
            Err(Error::lost(path, place.offset, what))
        }
        read => read.map(|()| bytes).map_err(Error::io("reading", path)),
    }
}
