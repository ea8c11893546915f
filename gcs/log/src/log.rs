//! An open log: what it does to the disk, and in which order.

use crate::blobs::{self, Blobs};
use crate::folder::Folder;
use crate::format::{Frame, Items, Kind, PAYLOAD_MAX, Place};
use crate::segment::Segment;
use crate::{Entry, Error, EventStore, base};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub(crate) struct Log {
    folder: Folder,
    active: Segment,
    blobs: Blobs,
    /// Files before the active one.
    older: BTreeMap<u64, PathBuf>,
    /// A failed append left bytes from here on that could not be taken away yet.
    torn: Option<u64>,
    /// The active file has its name, and the folder may not know it after a crash of the machine.
    unnamed: bool,
}

impl Log {
    /// A log that holds nothing, in a folder that holds none.
    pub(crate) fn start(folder: Folder) -> Result<Self, Error> {
        let nothing = (&Blobs::default(), &BTreeSet::new());
        let (mut active, blobs) = base::write(&folder, 1, None, nothing, |_| unreachable!("no blobs to move"))?;
        active.rename(folder.log(1))?;
        let mut log = Self { folder, active, blobs, older: BTreeMap::new(), torn: None, unnamed: true };
        log.settle()?;
        Ok(log)
    }

    /// Goes on with what was read. `needed` are the older files that the base of `active` names.
    pub(crate) fn resume(
        folder: Folder,
        active: Segment,
        blobs: Blobs,
        older: BTreeMap<u64, PathBuf>,
        needed: &BTreeSet<u64>,
    ) -> Result<Self, Error> {
        // What a killed process wrote may be in the page cache only; whoever is told of it must be able to rely on it.
        active.sync()?;
        let mut log = Self { folder, active, blobs, older, torn: None, unnamed: true };
        log.settle()?;
        log.retire(needed)?;
        Ok(log)
    }

    /// Finishes what an earlier call could not: nothing is written before this works.
    fn settle(&mut self) -> Result<(), Error> {
        if let Some(end) = self.torn {
            self.active.cut(end)?;
            self.torn = None;
        }
        if self.unnamed {
            self.folder.sync()?;
            self.unnamed = false;
        }
        Ok(())
    }

    /// Removes the older files nobody needs, and takes the others out of the way of whoever looks for the newest log.
    fn retire(&mut self, needed: &BTreeSet<u64>) -> Result<(), Error> {
        let numbers: Vec<u64> = self.older.keys().copied().collect();
        for number in numbers {
            let (path, kept) = (&self.older[&number], self.folder.blobs(number));
            if !needed.contains(&number) {
                std::fs::remove_file(path).map_err(Error::io("removing", path))?;
                self.older.remove(&number);
            } else if *path != kept {
                std::fs::rename(path, &kept).map_err(Error::io("renaming", path))?;
                self.older.insert(number, kept);
            }
        }
        Ok(())
    }

    fn path(&self, segment: u64) -> &Path {
        if segment == self.active.number() { self.active.path() } else { &self.older[&segment] }
    }

    fn len(&self, segment: u64) -> Result<u64, Error> {
        let path = self.path(segment);
        std::fs::metadata(path).map(|meta| meta.len()).map_err(Error::io("looking at", path))
    }

    fn read(&self, place: &Place) -> Result<Vec<u8>, Error> {
        blobs::read(self.path(place.segment), place)
    }

    /// Writes the next file and gives it its name; from then on it is the log.
    fn turn(&mut self, state: &[u8]) -> Result<(), Error> {
        let number = self.active.number() + 1;
        let stay = base::staying(&self.blobs, |segment| self.len(segment))?;
        let (mut next, blobs) =
            base::write(&self.folder, number, Some(state), (&self.blobs, &stay), |place| self.read(place))?;
        next.rename(self.folder.log(number))?;
        let before = std::mem::replace(&mut self.active, next);
        self.older.insert(before.number(), before.path().to_owned());
        self.blobs = blobs;
        self.unnamed = true;
        Ok(())
    }
}

impl EventStore for Log {
    fn append(&mut self, entries: &[Entry]) -> Result<(), Error> {
        if entries.is_empty() {
            return Ok(());
        }
        // A tag, two lengths and a checksum at most.
        let len = entries.iter().map(|entry| 13 + size(entry)).sum();
        if len > PAYLOAD_MAX {
            return Err(Error::TooLarge { what: "a group of entries", len, max: PAYLOAD_MAX });
        }
        self.settle()?;
        let mut frame = Frame::new();
        entries.iter().for_each(|entry| frame.entry(entry));
        let before = self.active.end();
        let written = self.active.write(Kind::Group, &mut frame);
        match written.and_then(|payload| self.active.sync().map(|()| payload)) {
            Ok(payload) => {
                for item in Items::new(frame.payload()) {
                    self.blobs.follow(&item.expect("just written"), self.active.number(), payload);
                }
                Ok(())
            }
            Err(error) => {
                // Whole or not, who was told of an error must not find these entries later.
                self.torn = Some(before);
                let _tried_again_before_the_next_write = self.settle();
                Err(error)
            }
        }
    }

    fn snapshot(&mut self, state: &[u8]) -> Result<(), Error> {
        self.settle()?;
        if let Err(error) = self.turn(state) {
            let unfinished = self.folder.unfinished(self.active.number() + 1);
            let _written_over_or_removed_later = std::fs::remove_file(unfinished);
            return Err(error);
        }
        self.settle()?;
        self.retire(&self.blobs.segments())
    }

    fn blob(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let Some(place) = self.blobs.place(key) else { return Ok(None) };
        let bytes = self.read(place)?;
        if crc32c::crc32c(&bytes) != place.crc {
            let what = format!("the {} bytes of blob {key:?} are not those that were written", place.len);
            return Err(Error::lost(self.path(place.segment), place.offset, what));
        }
        Ok(Some(bytes))
    }
}

fn size(entry: &Entry) -> u64 {
    match entry {
        Entry::Record(bytes) => bytes.len() as u64,
        Entry::PutBlob { key, bytes } => key.len() as u64 + bytes.len() as u64,
        Entry::DropBlob { key } => key.len() as u64,
    }
}
