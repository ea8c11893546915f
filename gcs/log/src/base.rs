//! Starting the next file of the log: a state in place of all records before it, and the blobs that do not stay where
//! they are.

use crate::Error;
use crate::blobs::Blobs;
use crate::folder::Folder;
use crate::format::{Frame, Items, Kind, PAYLOAD_MAX, Place};
use crate::segment::Segment;
use std::collections::BTreeSet;

/// A file stays for its blobs if they are at least half of it, and this many bytes. So the disk holds at most about twice
/// what is alive, and the number of files follows the bytes of blobs, not the number of snapshots.
const STAY_MIN: u64 = 4 << 20;

/// About how many bytes of blobs are moved in one frame.
const MOVE: usize = 1 << 20;

/// Which files stay for their blobs, given the length of each.
pub(crate) fn staying(blobs: &Blobs, len: impl Fn(u64) -> Result<u64, Error>) -> Result<BTreeSet<u64>, Error> {
    let mut stay = BTreeSet::new();
    for (segment, alive) in blobs.sizes() {
        if alive >= STAY_MIN && alive >= len(segment)? / 2 {
            stay.insert(segment);
        }
    }
    Ok(stay)
}

/// Writes the file with everything up to and with its base, durably, under its unfinished name.
pub(crate) fn write(
    folder: &Folder,
    number: u64,
    state: Option<&[u8]>,
    (blobs, stay): (&Blobs, &BTreeSet<u64>),
    read: impl Fn(&Place) -> Result<Vec<u8>, Error>,
) -> Result<(Segment, Blobs), Error> {
    let mut segment = Segment::create(folder.unfinished(number), number)?;
    let mut placed = Blobs::default();
    let mut frame = Frame::new();
    let mut add = |kind, frame: &mut Frame| {
        let payload = segment.write(kind, frame)?;
        for item in Items::new(frame.payload()) {
            placed.follow(&item.expect("just written"), number, payload);
        }
        *frame = Frame::new();
        Ok(())
    };
    for (key, place) in blobs.iter().filter(|(_, place)| !stay.contains(&place.segment)) {
        // Its checksum moves with it: a blob that was damaged stays one that cannot be read.
        frame.put(key, place.crc, &read(place)?);
        if frame.payload().len() >= MOVE {
            add(Kind::Group, &mut frame)?;
        }
    }
    if !frame.payload().is_empty() {
        add(Kind::Group, &mut frame)?;
    }
    for (key, place) in blobs.iter().filter(|(_, place)| stay.contains(&place.segment)) {
        frame.kept(key, place);
    }
    let len = frame.payload().len() as u64 + state.map_or(0, |state| state.len() as u64 + 5);
    if len > PAYLOAD_MAX {
        return Err(Error::TooLarge { what: "a snapshot", len, max: PAYLOAD_MAX });
    }
    if let Some(state) = state {
        frame.state(state);
    }
    add(Kind::Base, &mut frame)?;
    segment.sync()?;
    Ok((segment, placed))
}
