//! One file of the log: its header, and frames one behind the other.

use crate::Error;
use crate::format::{FRAME, Frame, FrameHeader, HEADER, Kind, VERSION, file_header, read_file_header};
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// How much of a file is searched at once for what lies behind a damaged place.
const SEARCH: usize = 1 << 20;

pub(crate) struct Segment {
    number: u64,
    path: PathBuf,
    file: File,
    seed: u32,
    /// Where the next frame goes.
    end: u64,
}

impl Segment {
    pub(crate) fn create(path: PathBuf, number: u64) -> Result<Self, Error> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .map_err(Error::io("making", &path))?;
        // A clock that stands wrong makes seeds alike, which only weakens a second line of defence.
        let made = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        let header = file_header(made);
        file.write_all_at(&header, 0).map_err(Error::io("writing", &path))?;
        let (_, seed) = read_file_header(&header).expect("just made");
        Ok(Self { number, path, file, seed, end: HEADER as u64 })
    }

    /// A file that is there; its end is not known before it was read.
    pub(crate) fn open(path: PathBuf, number: u64) -> Result<Self, Error> {
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(Error::io("opening", &path))?;
        let mut header = [0; HEADER];
        match file.read_exact_at(&mut header, 0) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                return Err(Error::lost(&path, 0, format!("it is shorter than the {HEADER} bytes of a header")));
            }
            read => read.map_err(Error::io("reading", &path))?,
        }
        match read_file_header(&header) {
            None => Err(Error::lost(&path, 0, "its header is not that of an event log")),
            Some((found, _)) if found > VERSION => Err(Error::Newer { path, found, known: VERSION }),
            Some((_, seed)) => Ok(Self { number, path, file, seed, end: HEADER as u64 }),
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn len(&self) -> Result<u64, Error> {
        self.file.metadata().map(|meta| meta.len()).map_err(Error::io("looking at", &self.path))
    }

    /// Writes a frame at the end and says where its payload lies. Not durable yet.
    pub(crate) fn write(&mut self, kind: Kind, frame: &mut Frame) -> Result<u64, Error> {
        let bytes = frame.seal(kind, self.seed, self.end);
        self.file.write_all_at(bytes, self.end).map_err(Error::io("writing", &self.path))?;
        let payload = self.end + FRAME as u64;
        self.end += bytes.len() as u64;
        Ok(payload)
    }

    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(Error::io("syncing", &self.path))
    }

    /// Takes away everything from `end` on, durably.
    pub(crate) fn cut(&mut self, end: u64) -> Result<(), Error> {
        self.file.set_len(end).map_err(Error::io("shortening", &self.path))?;
        self.end = end;
        self.sync()
    }

    pub(crate) fn rename(&mut self, path: PathBuf) -> Result<(), Error> {
        std::fs::rename(&self.path, &path).map_err(Error::io("renaming", &self.path))?;
        self.path = path;
        Ok(())
    }

    /// The frame at the end, which then moves behind it; its payload goes to `payload`. Nothing if what is there is no
    /// whole frame.
    pub(crate) fn read(&mut self, len: u64, payload: &mut Vec<u8>) -> Result<Option<Kind>, Error> {
        let left = len - self.end;
        if left < FRAME as u64 {
            return Ok(None);
        }
        let mut header = [0; FRAME];
        self.read_at(&mut header, self.end)?;
        let Some(header) = FrameHeader::read(self.seed, self.end, &header) else { return Ok(None) };
        if u64::from(header.len) > left - FRAME as u64 {
            return Ok(None);
        }
        payload.resize(header.len as usize, 0);
        self.read_at(payload, self.end + FRAME as u64)?;
        if crc32c::crc32c(payload) != header.crc {
            return Ok(None);
        }
        self.end += FRAME as u64 + u64::from(header.len);
        Ok(Some(header.kind))
    }

    /// The first place behind `from` at which somebody wrote a frame.
    pub(crate) fn frame_behind(&self, from: u64, len: u64) -> Result<Option<u64>, Error> {
        let mut chunk = vec![0; SEARCH];
        let mut at = from + 1;
        while at + FRAME as u64 <= len {
            let size = usize::try_from(len - at).unwrap_or(SEARCH).min(SEARCH);
            self.read_at(&mut chunk[..size], at)?;
            let found = (0_u64..)
                .zip(chunk[..size].windows(FRAME))
                .filter_map(|(offset, bytes)| Some((at + offset, bytes.first_chunk()?)))
                .find(|(offset, bytes)| FrameHeader::read(self.seed, *offset, bytes).is_some());
            if let Some((offset, _)) = found {
                return Ok(Some(offset));
            }
            at += (size + 1 - FRAME) as u64;
        }
        Ok(None)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), Error> {
        self.file.read_exact_at(bytes, offset).map_err(Error::io("reading", &self.path))
    }
}
