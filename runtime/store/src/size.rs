//! How large the store is when nobody says: a share of the memory that this process may still use.

use std::path::{Path, PathBuf};

const LEAST: u64 = 75 << 20;
const MOST: u64 = 200 * 1_000_000_000;
const PERCENT: u64 = 30;
const CGROUPS: &str = "/sys/fs/cgroup";

/// Memory of the machine that is available, and what is left in the tightest of the cgroups around this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub available: u64,
    pub cgroup_left: Option<u64>,
}

/// 30 % of what is there, within bounds.
pub fn default_limit(memory: Memory) -> u64 {
    let usable = memory.available.min(memory.cgroup_left.unwrap_or(u64::MAX));
    let share = u64::try_from(u128::from(usable) * u128::from(PERCENT) / 100).unwrap_or(MOST);
    share.clamp(LEAST, MOST)
}

/// What this machine and this process's cgroups (version 1 or 2) say now.
pub fn read_memory() -> std::io::Result<Memory> {
    let meminfo = std::fs::read_to_string("/proc/meminfo")?;
    let available = available(&meminfo).ok_or_else(|| std::io::Error::other("/proc/meminfo names no MemAvailable"))?;
    // Without cgroups there is no such file, and no limit.
    let cgroups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    Ok(Memory { available, cgroup_left: cgroup_left(&cgroups, Path::new(CGROUPS)) })
}

fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The file names of one cgroup version.
struct Version {
    limit: &'static str,
    usage: &'static str,
    /// Of `memory.stat`: page cache that the kernel drops under pressure.
    cache: &'static str,
}

const V1: Version =
    Version { limit: "memory.limit_in_bytes", usage: "memory.usage_in_bytes", cache: "total_inactive_file" };
const V2: Version = Version { limit: "memory.max", usage: "memory.current", cache: "inactive_file" };

/// `cgroups` is /proc/self/cgroup: lines of `number:controllers:path`, version 2 with neither number nor controllers.
fn cgroup_left(cgroups: &str, root: &Path) -> Option<u64> {
    let levels = cgroups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        match controllers {
            "" => Some((root.to_path_buf(), path, V2)),
            _ if controllers.split(',').any(|name| name == "memory") => Some((root.join("memory"), path, V1)),
            _ => None,
        }
    });
    levels.flat_map(|(base, path, version)| left_along(&base, path, &version)).min()
}

/// Every cgroup from the process's own up to the root limits it. In a container the path may name a place outside, whose
/// files are not there; the root of what is mounted always is.
fn left_along(base: &Path, path: &str, version: &Version) -> Vec<u64> {
    let own: PathBuf = base.join(path.trim_start_matches('/'));
    own.ancestors().take_while(|dir| dir.starts_with(base)).filter_map(|dir| left_in(dir, version)).collect()
}

fn left_in(dir: &Path, version: &Version) -> Option<u64> {
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).ok();
    // "max" (version 2) is no number and no limit; version 1 says so with one larger than any memory.
    let limit: u64 = read(version.limit)?.trim().parse().ok()?;
    let usage: u64 = read(version.usage)?.trim().parse().ok()?;
    let stat = read("memory.stat").unwrap_or_default();
    let cache = stat.lines().find_map(|line| line.strip_prefix(version.cache)?.trim().parse().ok()).unwrap_or(0);
    Some(limit.saturating_sub(usage.saturating_sub(cache)))
}

#[cfg(test)]
#[path = "size_tests.rs"]
mod tests;
