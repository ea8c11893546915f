//! Opening a log: reads the newest file, judges what is damaged in it, and goes on from there.

use crate::blobs::Blobs;
use crate::folder::{Files, Folder};
use crate::format::{Item, Items, Kind, Place};
use crate::log::Log;
use crate::segment::Segment;
use crate::{Error, Opened};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub(crate) fn open(dir: &Path) -> Result<Opened, Error> {
    let folder = Folder::lock(dir)?;
    let Files { mut logs, blobs, unfinished } = folder.files()?;
    for path in unfinished {
        std::fs::remove_file(&path).map_err(Error::io("removing", &path))?;
    }
    let newest = logs.pop_last();
    let last_retired = blobs.last_key_value();
    if let Some((_, path)) = last_retired.filter(|(old, _)| newest.as_ref().is_none_or(|(new, _)| new < *old)) {
        return Err(Error::Missing { missing: folder.dir().join("*.log"), needed_by: path.clone() });
    }
    let Some((number, path)) = newest else {
        let store = Box::new(Log::start(folder)?);
        return Ok(Opened { store, snapshot: None, records: Vec::new(), repairs: Vec::new() });
    };
    let mut segment = Segment::open(path, number)?;
    let mut replay = Replay::default();
    replay.run(&mut segment)?;
    let older = logs.into_iter().chain(blobs).collect();
    replay.check_kept(&folder, &segment, &older)?;
    let needed = replay.kept.iter().map(|place| place.segment).collect::<BTreeSet<u64>>();
    let store = Box::new(Log::resume(folder, segment, replay.blobs, older, &needed)?);
    Ok(Opened { store, snapshot: replay.snapshot, records: replay.records, repairs: replay.repairs })
}

#[derive(Default)]
struct Replay {
    has_base: bool,
    snapshot: Option<Vec<u8>>,
    records: Vec<Vec<u8>>,
    blobs: Blobs,
    /// What the base says of older files, also of blobs that were dropped since: a cut may bring them back.
    kept: Vec<Place>,
    repairs: Vec<String>,
}

impl Replay {
    fn run(&mut self, segment: &mut Segment) -> Result<(), Error> {
        let len = segment.len()?;
        let mut payload = Vec::new();
        while segment.end() < len || !self.has_base {
            let start = segment.end();
            match segment.read(len, &mut payload)? {
                Some(kind) => self.follow(segment, start, kind, &payload)?,
                None => return self.judge(segment, start, len),
            }
        }
        Ok(())
    }

    fn follow(&mut self, segment: &Segment, start: u64, kind: Kind, payload: &[u8]) -> Result<(), Error> {
        let at = segment.end() - payload.len() as u64;
        for item in Items::new(payload) {
            let item = item.map_err(|_malformed| unknown(segment, start))?;
            self.blobs.follow(&item, segment.number(), at);
            match item {
                Item::Record(bytes) => self.records.push(bytes.to_vec()),
                Item::State(bytes) => self.snapshot = Some(bytes.to_vec()),
                Item::Kept { place, .. } => self.kept.push(place),
                Item::Put { .. } | Item::Drop { .. } => {}
            }
        }
        self.has_base |= kind == Kind::Base;
        Ok(())
    }

    /// There is no whole frame at `start`. An append begins only when the one before it is durable. So nothing but the last
    /// frame can be unfinished: one behind it proves that this one was whole once, and others rely on it.
    fn judge(&mut self, segment: &mut Segment, start: u64, len: u64) -> Result<(), Error> {
        let path = segment.path().to_owned();
        if !self.has_base {
            return Err(Error::lost(&path, start, "the snapshot at its beginning is not whole"));
        }
        if let Some(behind) = segment.frame_behind(start, len)? {
            let what = format!("a group of entries is not whole, and another one is behind it at offset {behind}");
            let remedy = format!(
                "restore the folder from a copy, or give up everything from there on with `truncate -s {start} {}`",
                path.display()
            );
            return Err(Error::Damaged { path, offset: start, what, remedy });
        }
        segment.cut(start)?;
        self.repairs.push(format!(
            "{}: dropped {} bytes at offset {start}: the last group of entries was not whole; everything before it is",
            path.display(),
            len - start
        ));
        Ok(())
    }

    /// The older files must be there and long enough; what is in them is checked when a blob is read.
    fn check_kept(&self, folder: &Folder, segment: &Segment, older: &BTreeMap<u64, PathBuf>) -> Result<(), Error> {
        let mut ends = BTreeMap::<u64, u64>::new();
        for place in &self.kept {
            let end = ends.entry(place.segment).or_default();
            *end = (*end).max(place.offset + u64::from(place.len));
        }
        for (number, end) in ends {
            let Some(path) = older.get(&number) else {
                return Err(Error::Missing { missing: folder.blobs(number), needed_by: segment.path().to_owned() });
            };
            let len = std::fs::metadata(path).map_err(Error::io("looking at", path))?.len();
            if len < end {
                return Err(Error::lost(path, len, format!("it ends here, and blobs in it reach up to {end}")));
            }
        }
        Ok(())
    }
}

fn unknown(segment: &Segment, start: u64) -> Error {
    Error::lost(segment.path(), start, "the checksum of a group of entries is right, and its entries are not")
}
