//! Which file of the folder is which segment.

use crate::Error;
use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

pub(crate) fn make(dir: &Path) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(Error::io("making the folder", dir)(error)),
        _ => Ok(()),
    }
}

pub(crate) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.tasks"))
}

/// The bytes of each segment, oldest first. Other files are somebody else's.
pub(crate) fn segments(dir: &Path) -> Result<BTreeMap<u64, u64>, Error> {
    let reading = "reading the folder";
    let mut segments = BTreeMap::new();
    for entry in std::fs::read_dir(dir).map_err(Error::io(reading, dir))? {
        let entry = entry.map_err(Error::io(reading, dir))?;
        let path = entry.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        let (Some(number), Some("tasks")) = (number, path.extension().and_then(|end| end.to_str())) else { continue };
        match entry.metadata() {
            Ok(meta) => drop(segments.insert(number, meta.len())),
            // The oldest one made room just now.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("looking at", &path)(error)),
        }
    }
    Ok(segments)
}
