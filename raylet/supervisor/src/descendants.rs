//! Who descends from this process. It is a child subreaper, so whatever a job leaves behind becomes its child, whatever
//! session it has put itself in.

use iosdk_complain::complain;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

/// A line of the process table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    pid: i32,
    parent: i32,
    group: i32,
    zombie: bool,
}

/// `pid (name) state parent group ...`; the name may hold anything, so the last parenthesis counts.
fn parse(stat: &str) -> Option<Row> {
    let (pid, rest) = stat.split_once(" (")?;
    let mut fields = rest[rest.rfind(')')? + 1..].split_ascii_whitespace();
    let zombie = matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    Some(Row { pid: pid.parse().ok()?, parent, group, zombie })
}

/// The numbers of all processes there are.
pub(crate) fn all_pids() -> io::Result<Vec<i32>> {
    let mut pids = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        pids.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    Ok(pids)
}

fn table() -> io::Result<Vec<Row>> {
    let stat = |pid: i32| std::fs::read(Path::new("/proc").join(pid.to_string()).join("stat"));
    // A process that ended while the table was read is not in it.
    let texts = all_pids()?.into_iter().filter_map(|pid| stat(pid).ok());
    Ok(texts.filter_map(|text| parse(&String::from_utf8_lossy(&text))).collect())
}

fn below(rows: &[Row], root: i32) -> Vec<Row> {
    let (mut found, mut next) = (Vec::new(), vec![root]);
    while let Some(parent) = next.pop() {
        for row in rows.iter().filter(|row| row.parent == parent) {
            next.push(row.pid);
            found.push(*row);
        }
    }
    found
}

/// To the groups of all descendants: who forks right now does not slip through.
pub(crate) fn signal_descendants(signal: Signal) -> io::Result<()> {
    let own = rustix::process::getpid();
    let mut groups = BTreeSet::new();
    for row in below(&table()?, own.as_raw_nonzero().get()).into_iter().filter(|row| !row.zombie) {
        if row.group == rustix::process::getpgrp().as_raw_nonzero().get() {
            // Between its fork and the first thing it does, which is to leave this group.
            tell(kill_process, row.pid, signal);
        } else {
            groups.insert(row.group);
        }
    }
    groups.into_iter().for_each(|group| tell(kill_process_group, group, signal));
    Ok(())
}

fn tell(how: fn(Pid, Signal) -> rustix::io::Result<()>, number: i32, signal: Signal) {
    if let Some(number) = Pid::from_raw(number)
        && let Err(error) = how(number, signal)
        && error != Errno::SRCH
    {
        complain!("iosdk-job: cannot signal {}: {error}", number.as_raw_nonzero());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_parentheses_do_not_confuse() {
        let row = parse("42 (a) b (c) S 7 41 40 0 -1 4194304 1 2").unwrap();
        assert_eq!(row, Row { pid: 42, parent: 7, group: 41, zombie: false });
        assert!(parse("43 (x) Z 7 41 40 0").unwrap().zombie);
        assert_eq!(parse("44 (x"), None);
    }

    #[test]
    fn all_generations() {
        let row = |pid, parent| Row { pid, parent, group: 1, zombie: pid == 4 };
        let rows = [row(2, 1), row(3, 2), row(4, 2), row(5, 4), row(6, 9), row(7, 5)];
        let mut found: Vec<i32> = below(&rows, 2).into_iter().map(|row| row.pid).collect();
        found.sort_unstable();
        assert_eq!(found, [3, 4, 5, 7]);
    }

    #[test]
    fn this_process_is_in_the_table() {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        assert!(table().unwrap().iter().any(|row| row.pid == own && !row.zombie));
    }
}
