//! What this machine has, within the limits of the containers around the daemon.

use std::io;

/// CPUs the daemon's processes may use at once.
pub fn cpus() -> u32 {
    iosdk_net::cpu::usable()
}

/// Bytes of memory that may still be used.
pub fn memory() -> io::Result<u64> {
    let memory = iosdk_store::size::read_memory()?;
    Ok(memory.available.min(memory.cgroup_left.unwrap_or(u64::MAX)))
}

/// Bytes of the arena when nobody says.
pub fn default_arena_limit() -> io::Result<u64> {
    Ok(iosdk_store::size::default_limit(iosdk_store::size::read_memory()?))
}

pub(crate) fn hostname() -> String {
    match std::fs::read_to_string("/proc/sys/kernel/hostname") {
        Ok(name) => name.trim().to_owned(),
        Err(_not_linux_enough) => "localhost".to_owned(),
    }
}
