//! Ending processes with everything they started. The daemon is a child subreaper, so whatever a worker leaves behind becomes
//! a child of the daemon, whatever session it has put itself in.

use iosdk_complain::complain;
use iosdk_types::Exit;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};

/// Walks over the process table for the sessions of dead workers, at most.
const SWEEPS: usize = 3;

/// A line of the process table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    pid: i32,
    parent: i32,
    session: i32,
    zombie: bool,
}

/// `pid (name) state parent group session ...`; the name may hold anything, so the last parenthesis counts.
fn parse(stat: &str) -> Option<Row> {
    let (pid, rest) = stat.split_once(" (")?;
    let mut fields = rest[rest.rfind(')')? + 1..].split_ascii_whitespace();
    let zombie = matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    Some(Row { pid: pid.parse().ok()?, parent, session, zombie })
}

fn table() -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        if !name.as_encoded_bytes().first().is_some_and(u8::is_ascii_digit) {
            continue;
        }
        // A process that ended while the table was read is not in it.
        if let Ok(stat) = std::fs::read(std::path::Path::new("/proc").join(name).join("stat")) {
            rows.extend(parse(&String::from_utf8_lossy(&stat)));
        }
    }
    Ok(rows)
}

fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        // Gone already is as good. Nothing else can go wrong with processes of our own user but set-uid ones.
        if let Err(error) = kill_process(pid, Signal::KILL)
            && error != Errno::SRCH
        {
            complain!("raylet: cannot kill process {}: {error}", pid.as_raw_nonzero());
        }
    }
}

/// Kills what is left in the sessions of dead workers.
pub(crate) fn kill_sessions(sessions: &BTreeSet<i32>) -> io::Result<()> {
    // Again while there is anybody: a process may fork between being listed and being killed.
    for _ in 0..SWEEPS {
        let rows = table()?.into_iter();
        let left: Vec<Row> = rows.filter(|row| !row.zombie && sessions.contains(&row.session)).collect();
        if left.is_empty() {
            break;
        }
        left.iter().for_each(|row| kill(row.pid));
    }
    Ok(())
}

/// Takes the exit statuses of children that ended: the fork server's, and of processes that lost their parent.
/// Returns false when there is no child at all.
pub(crate) fn reap(mut ended: impl FnMut(i32, Exit)) -> bool {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                let exit = match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => Exit::Code(code),
                    (None, Some(signal)) => Exit::Signal(signal),
                    (None, None) => Exit::Unknown,
                };
                ended(pid.as_raw_nonzero().get(), exit);
            }
            Ok(None) => return true,
            Err(Errno::INTR) => {}
            Err(_no_child) => return false,
        }
    }
}

/// Kills every descendant of this process until none is left. True when that succeeded in time.
pub(crate) fn end_descendants(limit: Duration, mut wait: impl FnMut(Duration)) -> io::Result<bool> {
    let began = Instant::now();
    loop {
        for pid in descendants(&table()?, own_pid()) {
            kill(pid);
        }
        if !reap(|_, _| {}) {
            return Ok(true);
        }
        if began.elapsed() > limit {
            return Ok(false);
        }
        wait(Duration::from_millis(5));
    }
}

fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

fn descendants(rows: &[Row], root: i32) -> Vec<i32> {
    let mut children = BTreeMap::<i32, Vec<&Row>>::new();
    for row in rows {
        children.entry(row.parent).or_default().push(row);
    }
    let (mut found, mut next) = (Vec::new(), vec![root]);
    while let Some(parent) = next.pop() {
        for row in children.remove(&parent).unwrap_or_default() {
            next.push(row.pid);
            if !row.zombie {
                found.push(row.pid);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_parentheses_do_not_confuse() {
        let row = parse("42 (a) b (c) S 7 41 40 0 -1 4194304 1 2").unwrap();
        assert_eq!(row, Row { pid: 42, parent: 7, session: 40, zombie: false });
        assert!(parse("43 (x) Z 7 41 40 0").unwrap().zombie);
        assert_eq!(parse("44 (x"), None);
    }

    #[test]
    fn descendants_of_all_generations() {
        let row = |pid, parent| Row { pid, parent, session: 1, zombie: pid == 4 };
        let rows = [row(2, 1), row(3, 2), row(4, 2), row(5, 4), row(6, 9), row(7, 5)];
        let mut found = descendants(&rows, 2);
        found.sort_unstable();
        assert_eq!(found, [3, 5, 7]);
    }

    #[test]
    fn this_process_is_in_the_table() {
        let rows = table().unwrap();
        assert!(rows.iter().any(|row| row.pid == own_pid() && !row.zombie));
    }
}
