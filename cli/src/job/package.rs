//! A working directory as a package: a zip archive whose name is the hash of its content, so that the same files are sent once.

use crate::failure::{Failure, failed};
use crate::payload::Payload;
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fs::{DirEntry, File, Metadata};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// Never sent: made again where they are needed, or of no use there.
const SKIPPED: [&str; 3] = [".git", "__pycache__", ".venv"];
/// Of the hash, in bytes. More names nothing better.
const NAME: usize = 16;

pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) files: u64,
    content: File,
}

impl Package {
    pub(crate) fn content(&self) -> Result<Payload, Failure> {
        let again = self.content.try_clone().and_then(|mut file| file.seek(SeekFrom::Start(0)).map(|_| file));
        again.map(|file| Payload::File(file, self.size)).map_err(|error| failed("reading the package", error))
    }
}

/// The archive lies in a file without a name, which goes when it is closed.
pub(crate) fn pack(dir: &Path) -> Result<Package, Failure> {
    let about = std::fs::metadata(dir).map_err(|error| failed(&format!("working_dir {}", dir.display()), error))?;
    if !about.is_dir() {
        return Err(Failure::Usage(format!("working_dir must be a directory, and {} is none", dir.display())));
    }
    let file = tempfile::tempfile().map_err(|error| failed("making a temporary file for the package", error))?;
    let mut packing = Packing { zip: ZipWriter::new(BufWriter::new(file)), files: 0 };
    packing.add_dir(dir, "", 0)?;
    let files = packing.files;
    let finished = packing.zip.finish().map_err(io::Error::from);
    let file = finished.and_then(|buffered| buffered.into_inner().map_err(io::IntoInnerError::into_error));
    let mut content = file.map_err(|error| failed("writing the package", error))?;
    let (name, size) = named(&mut content).map_err(|error| failed("reading the package", error))?;
    Ok(Package { name, size, files, content })
}

fn named(content: &mut File) -> io::Result<(String, u64)> {
    content.seek(SeekFrom::Start(0))?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; 64 << 10];
    let mut size = 0;
    loop {
        let length = content.read(&mut piece)?;
        if length == 0 {
            break;
        }
        hash.update(&piece[..length]);
        size += length as u64;
    }
    let hex: String = hash.finalize()[..NAME].iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((format!("_iosdk_pkg_{hex}.zip"), size))
}

struct Packing {
    zip: ZipWriter<BufWriter<File>>,
    files: u64,
}

impl Packing {
    /// In the order of names, and without times or owners: the same files make the same bytes.
    fn add_dir(&mut self, dir: &Path, prefix: &str, depth: usize) -> Result<(), Failure> {
        let unreadable = |error: io::Error| failed(&format!("working_dir: {}", dir.display()), error);
        let entries = std::fs::read_dir(dir).map_err(unreadable)?;
        let mut entries = entries.collect::<io::Result<Vec<DirEntry>>>().map_err(unreadable)?;
        entries.sort_by_key(DirEntry::file_name);
        for entry in entries.iter().filter(|entry| !SKIPPED.iter().any(|skipped| entry.file_name() == *skipped)) {
            let path = entry.path();
            let name = format!("{prefix}{}", utf8(entry.file_name(), &path)?);
            let about = entry.metadata().map_err(|error| failed(&format!("working_dir: {}", path.display()), error))?;
            let kind = about.file_type();
            if kind.is_symlink() {
                self.add_link(&path, name, depth)?;
            } else if kind.is_dir() {
                self.zip.add_directory(&name, options(0o755, 0)).map_err(|error| not_written(&path, error))?;
                self.add_dir(&path, &format!("{name}/"), depth + 1)?;
            } else if kind.is_file() {
                self.add_file(&path, name, &about)?;
            } else {
                eprintln!("iosdk: {} is neither file nor directory; it is left out", path.display());
            }
        }
        Ok(())
    }

    fn add_file(&mut self, path: &Path, name: String, about: &Metadata) -> Result<(), Failure> {
        let mode = if about.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
        let file = File::open(path).map_err(|error| failed(&format!("working_dir: {}", path.display()), error))?;
        self.zip.start_file(name, options(mode, about.len())).map_err(|error| not_written(path, error))?;
        let copied = io::copy(&mut BufReader::new(file), &mut self.zip);
        copied.map_err(|error| failed(&format!("packing {}", path.display()), error))?;
        self.files += 1;
        Ok(())
    }

    /// As a link. The head unpacks only links that stay inside.
    fn add_link(&mut self, path: &Path, name: String, depth: usize) -> Result<(), Failure> {
        let target = std::fs::read_link(path).map_err(|error| failed(&format!("{}", path.display()), error))?;
        if !stays_inside(&target, depth) {
            return Err(Failure::Failed(format!(
                "{} links to {}, which may lie outside of the working directory: replace the link by what it leads to, or \
                 make it a relative one with `..` at its beginning only",
                path.display(),
                target.display()
            )));
        }
        let target = utf8(target.into_os_string(), path)?;
        self.zip.add_symlink(name, target, options(0o777, 0)).map_err(|error| not_written(path, error))?;
        self.files += 1;
        Ok(())
    }
}

/// Whether a link that lies `depth` directories deep can only lead to something in the working directory.
fn stays_inside(target: &Path, depth: usize) -> bool {
    let bytes = target.as_os_str().as_bytes();
    let steps = bytes.split(|byte| *byte == b'/').filter(|step| !step.is_empty() && *step != b".");
    let mut down = false;
    let mut up = 0;
    for step in steps {
        match (step, down) {
            (b"..", false) => up += 1,
            (b"..", true) => return false,
            _ => down = true,
        }
    }
    !bytes.starts_with(b"/") && up <= depth
}

fn options(mode: u32, size: u64) -> SimpleFileOptions {
    // One that grows while it is read stays below what the short form can say, or fails.
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        .unix_permissions(mode)
        .large_file(size > u64::from(u32::MAX / 2))
}

fn utf8(name: OsString, path: &Path) -> Result<String, Failure> {
    name.into_string().map_err(|_| Failure::Failed(format!("working_dir: {path:?}: names must be UTF-8")))
}

fn not_written(path: &Path, error: zip::result::ZipError) -> Failure {
    failed(&format!("packing {}", path.display()), error)
}

#[cfg(test)]
#[path = "package_tests.rs"]
mod tests;
