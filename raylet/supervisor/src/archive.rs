//! Unpacks a zip archive into the working directory, and nowhere else.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use zip::ZipArchive;
use zip::read::ZipFile;

/// The kernel takes no longer target of a symbolic link.
const TARGET_MAX: u64 = 4_095;

/// A link to make when all else is there: nothing is written through one.
struct Link {
    entry: String,
    path: PathBuf,
    target: Vec<u8>,
}

/// `root` is empty. Errors name the entry.
pub(crate) fn unpack(archive: &Path, root: &Path) -> Result<(), String> {
    let in_archive = |error: String| format!("working_dir {}: {error}", archive.display());
    let file = File::open(archive).map_err(|error| in_archive(error.to_string()))?;
    unpack_entries(file, root).map_err(in_archive)
}

fn unpack_entries(file: File, root: &Path) -> Result<(), String> {
    let mut zip = ZipArchive::new(BufReader::new(file)).map_err(|error| error.to_string())?;
    let mut links = Vec::new();
    for at in 0..zip.len() {
        let name = zip
            .name_for_index(at)
            .and_then(Result::ok)
            .map_or_else(|| format!("number {at}"), |name| name.into_owned());
        let about = |error: String| format!("entry {name:?}: {error}");
        let mut entry = zip.by_index(at).map_err(|error| about(error.to_string()))?;
        links.extend(unpack_entry(&name, &mut entry, root).map_err(about)?);
    }
    for Link { entry, path, target } in links {
        let target = std::ffi::OsStr::from_bytes(&target);
        symlink(target, root.join(path)).map_err(|error| format!("entry {entry:?}: {error}"))?;
    }
    Ok(())
}

fn unpack_entry<R: Read>(name: &str, entry: &mut ZipFile<'_, R>, root: &Path) -> Result<Option<Link>, String> {
    let io = |error: std::io::Error| error.to_string();
    let path = inside(name).ok_or("its name leads out of the working directory")?;
    let mode = entry.unix_mode().unwrap_or_default();
    let whole = root.join(&path);
    if entry.is_dir() {
        return DirBuilder::new().recursive(true).create(whole).map(|()| None).map_err(io);
    }
    if let Some(parent) = whole.parent() {
        DirBuilder::new().recursive(true).create(parent).map_err(io)?;
    }
    match mode & libc::S_IFMT {
        libc::S_IFLNK => {
            let mut target = Vec::new();
            entry.take(TARGET_MAX + 1).read_to_end(&mut target).map_err(io)?;
            let depth = path.components().count().saturating_sub(1);
            if target.len() as u64 > TARGET_MAX || !stays_inside(depth, &target) {
                let target = String::from_utf8_lossy(&target).into_owned();
                return Err(format!(
                    "it links to {target:?}, which may lie outside of the working directory; allowed are relative \
                     targets with `..` at their beginning only"
                ));
            }
            Ok(Some(Link { entry: name.to_owned(), path, target }))
        }
        // Archives made elsewhere say nothing about the kind.
        0 | libc::S_IFREG => {
            let mode = if mode & 0o111 == 0 { 0o666 } else { 0o777 };
            let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(whole).map_err(io)?;
            std::io::copy(entry, &mut file).map(|_| None).map_err(io)
        }
        kind => Err(format!("it is neither file, directory nor symbolic link, its type is {kind:o} (octal)")),
    }
}

/// The path of an entry, if it is one that leads nowhere else.
fn inside(name: &str) -> Option<PathBuf> {
    let bad = name.starts_with('/') || name.contains('\0') || name.split('/').any(|part| part == "..");
    (!bad).then(|| name.split('/').filter(|part| !part.is_empty() && *part != ".").collect())
}

/// Whether a link that lies `depth` directories deep leads to something inside. Its own directory is a real one. After that it
/// may pass through other links, which stay inside too; only going up from where they lead could leave.
fn stays_inside(depth: usize, target: &[u8]) -> bool {
    let parts: Vec<&[u8]> =
        target.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    let up = parts.iter().take_while(|part| **part == b"..").count();
    let relative = !target.is_empty() && !target.starts_with(b"/") && !target.contains(&0);
    relative && up <= depth && !parts[up..].contains(&b"..".as_slice())
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
