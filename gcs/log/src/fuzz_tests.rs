//! Files of any content: the log opens or says why not, and what it opens once it opens again, unrepaired and the same. How to
//! look for longer than a test does: `docs/fuzzing.md`.

use crate::format::{Frame, HEADER, Kind, file_header, read_file_header};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("iosdk-log-fuzz-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&dir).expect("a new folder");
        Self(dir)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).expect("removed");
    }
}

type Content = (Option<Vec<u8>>, Vec<Vec<u8>>);

fn content(dir: &Path) -> Result<(Content, Vec<String>), crate::Error> {
    crate::open(dir).map(|opened| ((opened.snapshot, opened.records), opened.repairs))
}

fn opens_the_same_twice(file: &[u8]) {
    let folder = Folder::new();
    std::fs::write(folder.0.join("0000000001.log"), file).expect("written");
    let Ok((first, _)) = content(&folder.0) else { return };
    let (second, repairs) = content(&folder.0).expect("what opened once opens again");
    assert_eq!((first, Vec::new()), (second, repairs));
}

/// A file whose checksums are right, so that the items inside are read. Each part of `payloads` is a frame.
fn sealed(payloads: &[u8]) -> Vec<u8> {
    let header = file_header(1);
    let (_, seed) = read_file_header(&header).expect("a header of our own");
    let mut file = header.to_vec();
    for (nth, payload) in payloads.split(|byte| *byte == 0xff).enumerate() {
        let kind = if nth == 0 { Kind::Base } else { Kind::Group };
        let offset = file.len() as u64;
        file.extend_from_slice(Frame::holding(payload).seal(kind, seed, offset));
    }
    file
}

/// A good file with some bytes changed: three bytes say where and to what.
fn edited(bytes: &[u8]) -> Vec<u8> {
    let mut file = include_bytes!("../tests/golden/fresh.log").to_vec();
    for [low, high, value] in bytes.as_chunks::<3>().0 {
        let at = usize::from(u16::from_le_bytes([*low, *high])) % file.len();
        file[at] = *value;
    }
    file
}

#[test]
fn files() {
    bolero::check!().for_each(|bytes: &[u8]| {
        opens_the_same_twice(&edited(bytes));
        opens_the_same_twice(bytes);
        opens_the_same_twice(&[&file_header(1)[..HEADER], bytes].concat());
        opens_the_same_twice(&sealed(bytes));
    });
}
