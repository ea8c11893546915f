//! The promises the machines keep, by name. Checkers in the simulation, assertions and docs cite these names.

/// `(name, what it says)`.
pub const INVARIANTS: &[(&str, &str)] = &[
    ("OWN-1", "nothing reachable is freed"),
    ("OWN-2", "everything unreachable is freed once the cluster is quiet"),
    ("TASK-1", "each submitted task ends exactly once at its owner"),
    ("SCHED-1", "no slot of a node is granted beyond its capacity"),
    ("SCHED-2", "a lease is granted at most once"),
    ("SCHED-3", "a feasible task ends once faults stop"),
    ("ACT-1", "calls of one caller to one actor run in the order they were made"),
    ("ACT-2", "an actor has at most one live process"),
    ("STORE-1", "extents handed out never overlap and never exceed the capacity"),
    ("GCS-1", "versions of the cluster view never go back"),
    ("JOB-1", "an accepted submitted job ends exactly once, and is never lost over a restart of the GCS"),
    ("USE-1", "what is booked for a node never exceeds its capacity times the time, and is what was granted"),
];
