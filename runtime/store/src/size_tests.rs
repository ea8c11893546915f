//! Tests of `size`.

use super::*;
use std::fs;

const GIB: u64 = 1 << 30;

#[test]
fn a_share_of_what_is_left_within_bounds() {
    let limit = |available, cgroup_left| default_limit(Memory { available, cgroup_left });
    assert_eq!(limit(100 * GIB, None), 30 * GIB);
    assert_eq!(limit(100 * GIB, Some(10 * GIB)), 3 * GIB);
    assert_eq!(limit(10 * GIB, Some(100 * GIB)), 3 * GIB);
    assert_eq!(limit(0, None), 75 << 20);
    assert_eq!(limit(GIB, Some(0)), 75 << 20);
    assert_eq!(limit(u64::MAX, None), 200_000_000_000);
}

#[test]
fn meminfo_is_understood() {
    assert_eq!(available("MemTotal:  100 kB\nMemFree: 5 kB\nMemAvailable:   2048 kB\n"), Some(2048 * 1024));
    assert_eq!(available("MemTotal:  100 kB\n"), None);
    assert_eq!(available("MemAvailable: many kB\n"), None);
}

/// A directory that is gone after the test.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("iosdk-size-{name}-{}", std::process::id()));
        fs::create_dir_all(&root).expect("temporary directory");
        Self(root)
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.0.join(file);
        fs::create_dir_all(path.parent().expect("inside")).expect("directory");
        fs::write(path, text).expect("written");
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("removed");
    }
}

#[test]
fn version_2_takes_the_tightest_level() {
    let tree = Tree::new("v2");
    tree.write("a/memory.max", "1000\n");
    tree.write("a/memory.current", "700\n");
    tree.write("a/memory.stat", "anon 500\ninactive_file 100\nactive_file 100\n");
    tree.write("a/b/memory.max", "max\n");
    tree.write("a/b/memory.current", "700\n");
    assert_eq!(cgroup_left("0::/a/b\n", &tree.0), Some(400));
    tree.write("a/b/memory.max", "750\n");
    assert_eq!(cgroup_left("0::/a/b\n", &tree.0), Some(50));
    assert_eq!(cgroup_left("0::/elsewhere\n", &tree.0), None);
}

#[test]
fn version_1_reads_the_memory_controller_only() {
    let tree = Tree::new("v1");
    tree.write("memory/memory.limit_in_bytes", "9223372036854771712\n");
    tree.write("memory/memory.usage_in_bytes", "300\n");
    tree.write("memory/box/memory.limit_in_bytes", "1000\n");
    tree.write("memory/box/memory.usage_in_bytes", "300\n");
    tree.write("memory/box/memory.stat", "inactive_file 1\ntotal_inactive_file 50\n");
    tree.write("memory/other/memory.limit_in_bytes", "5\n");
    tree.write("memory/other/memory.usage_in_bytes", "1\n");
    let cgroups = "5:devices:/other\n4:memory,hugetlb:/box\n0::/\n";
    assert_eq!(cgroup_left(cgroups, &tree.0), Some(750));
    // In a container the path may be the host's: only the root is there.
    assert_eq!(cgroup_left("4:memory:/host/path\n", &tree.0), Some(9_223_372_036_854_771_712 - 300));
}

#[test]
fn this_machine_answers() {
    let memory = read_memory().expect("/proc is mounted");
    assert!(memory.available > 0);
    assert!((LEAST..=MOST).contains(&default_limit(memory)));
}
