//! Which CPU this thread is on, and how many the process may use at once.
#![allow(unsafe_code)]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// What a process that has not said where it runs is taken for.
pub const UNKNOWN: u32 = u32::MAX;

/// Two nanoseconds where the C library uses rseq.
#[inline]
pub fn current() -> u32 {
    // SAFETY: no arguments, no memory.
    let cpu = unsafe { libc::sched_getcpu() };
    u32::try_from(cpu).unwrap_or(UNKNOWN)
}

/// CPUs this process may use at once, by affinity and control group; read once.
pub fn usable() -> u32 {
    static USABLE: OnceLock<u32> = OnceLock::new();
    *USABLE.get_or_init(|| {
        let allowed = rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count());
        let quota =
            quota(Path::new("/sys/fs/cgroup"), &std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default());
        // A quota of 1.5 CPUs lets two run at once only some of the time: rounding down keeps waiters from burning it.
        quota.map_or(allowed, |cpus| allowed.min((cpus.floor() as u32).max(1)))
    })
}

/// The tightest quota on the way from the process's control group to the root, in CPUs. `None`: unlimited.
fn quota(root: &Path, membership: &str) -> Option<f64> {
    let mut tightest: Option<f64> = None;
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let hierarchies: Vec<PathBuf> = if controllers.is_empty() {
            vec![root.to_path_buf(), root.join("unified")]
        } else if controllers.split(',').any(|name| name == "cpu") {
            vec![root.join("cpu"), root.join(controllers)]
        } else {
            continue;
        };
        for hierarchy in hierarchies {
            let mut group = Some(Path::new(path.trim_start_matches('/')));
            while let Some(below) = group {
                if let Some(cpus) = group_quota(&hierarchy.join(below)) {
                    tightest = Some(tightest.map_or(cpus, |least| least.min(cpus)));
                }
                group = below.parent();
            }
        }
    }
    tightest
}

fn group_quota(group: &Path) -> Option<f64> {
    let read = |name: &str| std::fs::read_to_string(group.join(name)).ok();
    let (quota, period) = match read("cpu.max") {
        Some(text) => {
            let mut words = text.split_whitespace().map(str::to_owned);
            (words.next()?, words.next()?)
        }
        None => (read("cpu.cfs_quota_us")?, read("cpu.cfs_period_us")?),
    };
    let (quota, period): (f64, f64) = (quota.trim().parse().ok()?, period.trim().parse().ok()?);
    (quota > 0.0 && period > 0.0).then_some(quota / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_quota_counts() {
        let root = std::env::temp_dir().join(format!("iosdk-quota-{}", std::process::id()));
        let inner = root.join("outer/inner");
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::write(inner.join("cpu.max"), "max 100000\n").unwrap();
        assert_eq!(quota(&root, "0::/outer/inner\n"), None);
        std::fs::write(root.join("outer/cpu.max"), "150000 100000\n").unwrap();
        assert_eq!(quota(&root, "0::/outer/inner\n"), Some(1.5));
        std::fs::create_dir_all(root.join("cpu,cpuacct/a")).unwrap();
        std::fs::write(root.join("cpu,cpuacct/a/cpu.cfs_quota_us"), "50000\n").unwrap();
        std::fs::write(root.join("cpu,cpuacct/a/cpu.cfs_period_us"), "100000\n").unwrap();
        assert_eq!(quota(&root, "0::/outer/inner\n4:cpu,cpuacct:/a\n"), Some(0.5));
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn this_machine_has_a_cpu() {
        assert!(usable() >= 1);
        assert_ne!(current(), UNKNOWN);
    }
}
