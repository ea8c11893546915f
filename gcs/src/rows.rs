//! What nodes and the machine say, as rows of the state API. Names of columns are in `iosdk_http::StateKind::columns`.

use crate::collect::Collected;
use iosdk_gcs_core::{ActorAt, ActorView, ClusterView, DriverView};
use iosdk_http::{JobInfo, Row};
use iosdk_types::message::ActorDeath;
use iosdk_types::state::{ObjectState, StatePart, StateRows, TaskPhase, TaskState, WorkerPhase, WorkerState};
use iosdk_types::{ActorId, Address, Exit, JobId, NodeId, ObjectId, ResourceSet, TaskId, TaskKind, Time, WorkerId};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Everything that rows refer to by number.
pub(crate) struct Table<'a> {
    pub(crate) collected: &'a Collected,
    nodes: BTreeMap<u32, NodeId>,
    pids: BTreeMap<Address, i32>,
}

pub(crate) fn row(value: Value) -> Row {
    match value {
        Value::Object(row) => row,
        _ => Row::new(),
    }
}

fn amounts(set: &ResourceSet) -> Value {
    set.iter().map(|(name, amount)| (name.to_owned(), json!(amount.to_f64()))).collect::<Row>().into()
}

fn known_pid(pid: i32) -> Option<i32> {
    (pid != 0).then_some(pid)
}

/// In milliseconds since 1970.
fn wall(at: Time, ahead: i64) -> u64 {
    at.0.saturating_add_signed(ahead) / 1_000_000
}

/// The job that a task belongs to; that of its actor, if it has one, is the same.
fn job_of(task: TaskId) -> JobId {
    task.actor().job()
}

impl<'a> Table<'a> {
    pub(crate) fn new(collected: &'a Collected, cluster: &ClusterView) -> Self {
        let nodes = cluster.nodes.iter().map(|node| (node.node, node.record.node)).collect();
        let workers = collected.reports.values().flat_map(|report| &report.workers);
        let pids = workers.filter(|worker| worker.pid != 0).map(|worker| (worker.process, worker.pid)).collect();
        Self { collected, nodes, pids }
    }

    pub(crate) fn node(&self, number: u32) -> Option<String> {
        self.nodes.get(&number).map(NodeId::hex)
    }

    fn pid(&self, process: Address) -> Option<i32> {
        self.pids.get(&process).copied()
    }

    fn parts(&self) -> impl Iterator<Item = (&'a StatePart, i64)> {
        self.collected.reports.values().flat_map(|report| report.parts.iter().map(|part| (part, report.ahead)))
    }

    pub(crate) fn total(&self) -> u64 {
        self.parts().map(|(part, _)| part.total).sum()
    }

    pub(crate) fn tasks(&self) -> Vec<Row> {
        let mut began = BTreeMap::new();
        for (part, ahead) in self.parts() {
            if let StateRows::Tasks { running, .. } = &part.rows {
                began.extend(running.iter().map(|call| (call.task, wall(call.since, ahead))));
            }
        }
        let mut rows = Vec::new();
        for (part, ahead) in self.parts() {
            if let StateRows::Tasks { owned, .. } = &part.rows {
                rows.extend(owned.iter().map(|task| self.task(task, part.pid, ahead, &began)));
            }
        }
        rows
    }

    fn task(&self, task: &TaskState, owner_pid: i32, ahead: i64, began: &BTreeMap<TaskId, u64>) -> Row {
        let actor = (task.kind != TaskKind::Task).then(|| task.task.actor().hex());
        let started = began.get(&task.task).filter(|_| task.phase == TaskPhase::Running);
        row(json!({
            "task_id": task.task.hex(),
            "attempt_number": task.attempt,
            "name": task.name,
            "type": task.kind.as_str(),
            "state": task.phase.as_str(),
            "job_id": job_of(task.task).hex(),
            "actor_id": actor,
            "node_id": task.on.and_then(|(process, _)| self.node(process.node)),
            "owner_pid": owner_pid,
            "worker_pid": task.on.and_then(|(_, pid)| known_pid(pid)),
            "retries_left": task.retries_left,
            "creation_time_ms": wall(task.submitted, ahead),
            "start_time_ms": started,
            "end_time_ms": null,
            "error_type": null,
            "error_message": null,
        }))
    }

    pub(crate) fn objects(&self) -> Vec<Row> {
        let mut owned = BTreeMap::<ObjectId, &'static str>::new();
        let each = || {
            self.parts().filter_map(|(part, _)| match &part.rows {
                StateRows::Objects(rows) => Some(rows.iter().map(move |object| (part, object))),
                StateRows::None | StateRows::Tasks { .. } | StateRows::Counts(_) | StateRows::Explained(_) => None,
            })
        };
        for (part, object) in each().flatten() {
            if object.owner == part.process {
                owned.insert(object.object, object.state());
            }
        }
        each().flatten().map(|(part, object)| self.object(object, part, &owned)).collect()
    }

    /// A borrower that has not fetched a value does not know whether there is one: its owner does.
    fn object(&self, object: &ObjectState, part: &StatePart, owned: &BTreeMap<ObjectId, &'static str>) -> Row {
        let borrowed = object.owner != part.process && object.location.is_none();
        let state = owned.get(&object.object).copied().filter(|_| borrowed).unwrap_or_else(|| object.state());
        let location = match object.location {
            Some(location) => Some(location.as_str()),
            None => (borrowed && state != "PENDING").then_some("REMOTE"),
        };
        row(json!({
            "object_id": object.object.hex(),
            "state": state,
            "location": location,
            "object_size": object.size,
            "owner_pid": self.pid(object.owner),
            "pid": part.pid,
            "handles": object.handles,
            "uses": object.uses,
            "borrowers": object.borrowers,
            "job_id": job_of(object.object.task()).hex(),
            "node_id": self.node(part.process.node),
        }))
    }

    pub(crate) fn workers(&self) -> Vec<Row> {
        self.collected.reports.values().flat_map(|report| &report.workers).map(|worker| self.worker(worker)).collect()
    }

    fn worker(&self, worker: &WorkerState) -> Row {
        let kind = match worker.phase {
            WorkerPhase::Driver => "DRIVER",
            WorkerPhase::Actor => "ACTOR",
            WorkerPhase::Starting | WorkerPhase::Idle | WorkerPhase::Leased | WorkerPhase::Blocked => "WORKER",
        };
        let id = self.nodes.get(&worker.process.node).map(|node| WorkerId::of(*node, worker.process).hex());
        row(json!({
            "worker_id": id,
            "worker_type": kind,
            "pid": known_pid(worker.pid),
            "node_id": self.node(worker.process.node),
            "job_id": worker.job.map(|job| job.hex()),
            "state": worker.phase.as_str(),
            "resources": amounts(&worker.resources),
            "actor_id": worker.actor.map(|actor| actor.hex()),
        }))
    }

    pub(crate) fn actor(&self, actor: &ActorView) -> Row {
        let (node, process) = match &actor.at {
            ActorAt::Waiting | ActorAt::Dead(_) => (None, None),
            ActorAt::Starting { node } => (Some(*node), None),
            ActorAt::Alive(process) => (Some(process.node), Some(*process)),
        };
        let cause = match &actor.at {
            ActorAt::Dead(cause) => Some(why_dead(cause)),
            ActorAt::Waiting | ActorAt::Starting { .. } | ActorAt::Alive(_) => None,
        };
        row(json!({
            "actor_id": actor.actor.hex(),
            "class_name": actor.class_name,
            "state": actor_state(&actor.at),
            "job_id": actor.actor.job().hex(),
            "node_id": node.and_then(|node| self.node(node)),
            "pid": process.and_then(|process| self.pid(process)),
            "owner_pid": self.pid(actor.owner),
            "resources": amounts(&actor.held),
            "death_cause": cause,
        }))
    }

    /// The actor, in sentences.
    pub(crate) fn actor_lines(&self, actor: &ActorView) -> Vec<String> {
        let class = &actor.class_name;
        let owner =
            self.pid(actor.owner).map_or_else(|| "a process that is gone".to_owned(), |pid| format!("pid {pid}"));
        let at = match &actor.at {
            ActorAt::Waiting => format!("no node has {} free to start it, so it waits", actor.placement),
            ActorAt::Starting { node } => {
                format!("it was sent to node {node}, which needs {} free and a worker to start it", actor.placement)
            }
            ActorAt::Alive(process) => {
                let pid = self.pid(*process).map_or_else(String::new, |pid| format!(" in pid {pid}"));
                format!("it lives on node {}{pid} and holds {}", process.node, actor.held)
            }
            ActorAt::Dead(cause) => format!("it is dead: {}", why_dead(cause)),
        };
        vec![format!("actor {class} was created by {owner}, which owns it"), at]
    }
}

pub(crate) fn actor_state(at: &ActorAt) -> &'static str {
    match at {
        ActorAt::Waiting | ActorAt::Starting { .. } => "PENDING_CREATION",
        ActorAt::Alive(_) => "ALIVE",
        ActorAt::Dead(_) => "DEAD",
    }
}

fn why_dead(cause: &ActorDeath) -> String {
    match cause {
        ActorDeath::InitFailed { .. } => "its constructor raised".to_owned(),
        ActorDeath::Killed => "it was killed".to_owned(),
        ActorDeath::OutOfScope => "no handle of it was left".to_owned(),
        ActorDeath::Process(death) => format!("its process (pid {}) {}", death.pid, ended(death.exit)),
        ActorDeath::OwnerDied(death) => {
            format!("the process that created it (pid {}) {}", death.pid, ended(death.exit))
        }
        ActorDeath::NodeDied => "its node died".to_owned(),
        ActorDeath::Infeasible { why } => why.clone(),
        ActorDeath::Exited => "it called exit_actor()".to_owned(),
    }
}

/// `Exit` as the end of a sentence.
fn ended(exit: Exit) -> String {
    match exit {
        Exit::Signal(_) => format!("was {exit}"),
        Exit::Code(_) | Exit::Unknown => exit.to_string(),
    }
}

pub(crate) fn nodes(cluster: &ClusterView) -> Vec<Row> {
    let rows = cluster.nodes.iter().map(|node| {
        row(json!({
            "node_id": node.record.node.hex(),
            "node_name": node.record.hostname,
            "state": if node.record.alive { "ALIVE" } else { "DEAD" },
            "resources_total": amounts(&node.record.resources),
            "resources_available": amounts(&node.available),
            // Raylets join over this machine's Unix socket, so each is on the head's machine.
            "is_head_node": true,
        }))
    });
    rows.collect()
}

pub(crate) fn job(job: &JobInfo) -> Row {
    row(json!({
        "job_id": job.job_id,
        "submission_id": job.submission_id,
        "status": job.status,
        "entrypoint": job.entrypoint,
        "start_time": job.start_time,
        "end_time": job.end_time,
        "driver_exit_code": job.driver_exit_code,
        "message": job.message,
    }))
}

/// A driver that nobody submitted. What started it, and when, is not known here.
pub(crate) fn driver(driver: &DriverView) -> Row {
    row(json!({
        "job_id": driver.job.hex(),
        "submission_id": null,
        "status": "RUNNING",
        "entrypoint": null,
        "start_time": null,
        "end_time": null,
        "driver_exit_code": null,
        "message": "a driver that is connected",
    }))
}

/// Of the width that ids of this kind have.
pub(crate) fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    if hex.len() != 2 * N || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

pub(crate) fn job_id(hex: &str) -> Option<JobId> {
    bytes(hex).map(JobId)
}

pub(crate) fn actor_id(hex: &str) -> Option<ActorId> {
    bytes(hex).map(ActorId)
}

pub(crate) fn task_id(hex: &str) -> Option<TaskId> {
    bytes(hex).map(TaskId)
}

pub(crate) fn object_id(hex: &str) -> Option<ObjectId> {
    bytes(hex).map(ObjectId)
}

#[cfg(test)]
mod tests {
    use super::*;
    use iosdk_gcs_core::NodeView;
    use iosdk_http::StateKind;
    use iosdk_types::message::NodeRecord;
    use iosdk_types::state::{Location, RunningCall, StateReport};

    const HOME: Address = Address { node: 3, epoch: 1, process: 5 };
    const WORKER: Address = Address { node: 3, epoch: 1, process: 6 };

    fn cluster() -> ClusterView {
        let record = NodeRecord {
            node: NodeId([7; 28]),
            alive: true,
            ip: "127.0.0.1".to_owned(),
            hostname: "here".to_owned(),
            resources: ResourceSet::new(),
        };
        let node = NodeView { node: 3, record, available: ResourceSet::new(), jobs: 0 };
        let (total, available) = (ResourceSet::new(), ResourceSet::new());
        ClusterView { nodes: vec![node], total, available, queued: 0, running: 0 }
    }

    fn worker(process: Address, pid: i32, phase: WorkerPhase) -> WorkerState {
        let job = Some(JobId::from_index(1));
        WorkerState { process, pid, job, phase, resources: ResourceSet::new(), actor: None }
    }

    fn collected(parts: Vec<(Address, i32, StateRows)>) -> Collected {
        let part = |(process, pid, rows): (_, _, StateRows)| StatePart { process, pid, total: rows.len() as u64, rows };
        let report = StateReport {
            workers: vec![worker(HOME, 50, WorkerPhase::Driver), worker(WORKER, 60, WorkerPhase::Leased)],
            parts: parts.into_iter().map(part).collect(),
            ahead: 1_000_000_000,
            ..StateReport::default()
        };
        Collected { reports: BTreeMap::from([(3, report)]), ..Collected::default() }
    }

    fn has_the_columns(kind: StateKind, row: &Row) {
        let mut columns = kind.columns().to_vec();
        columns.sort_unstable();
        let mut found: Vec<&str> = row.keys().map(String::as_str).collect();
        found.sort_unstable();
        assert_eq!(found, columns);
    }

    #[test]
    fn what_runs_says_when_it_began_and_where() {
        let task = |number, phase| TaskState {
            task: TaskId::derive([number; 8], ActorId::none(JobId::from_index(1))),
            attempt: 0,
            name: "f".to_owned(),
            kind: TaskKind::Task,
            phase,
            on: Some((WORKER, 60)),
            retries_left: 3,
            submitted: Time(2_000_000),
        };
        let owned = vec![task(1, TaskPhase::Running), task(2, TaskPhase::Pushed)];
        let running = vec![RunningCall { task: owned[0].task, since: Time(5_000_000) }];
        let collected = collected(vec![
            (HOME, 50, StateRows::Tasks { owned, running: Vec::new() }),
            (WORKER, 60, StateRows::Tasks { owned: Vec::new(), running }),
        ]);
        let table = Table::new(&collected, &cluster());
        let rows = table.tasks();
        assert_eq!((rows.len(), table.total()), (2, 2));
        has_the_columns(StateKind::Tasks, &rows[0]);
        assert_eq!((&rows[0]["start_time_ms"], &rows[1]["start_time_ms"]), (&json!(1_005), &json!(null)));
        assert_eq!(
            (&rows[0]["creation_time_ms"], &rows[0]["owner_pid"], &rows[0]["worker_pid"]),
            (&json!(1_002), &json!(50), &json!(60))
        );
        assert_eq!(rows[0]["node_id"], "07".repeat(28));
        let workers = table.workers();
        has_the_columns(StateKind::Workers, &workers[0]);
        assert_eq!(workers[1]["worker_id"], WorkerId::of(NodeId([7; 28]), WORKER).hex());
        has_the_columns(StateKind::Nodes, &nodes(&cluster())[0]);
    }

    #[test]
    fn what_a_borrower_does_not_know_its_owner_does() {
        let object = |location| ObjectState {
            object: ObjectId([1; 28]),
            owner: HOME,
            location,
            size: None,
            is_error: false,
            handles: 1,
            uses: 0,
            borrowers: 0,
        };
        let rows = |owned| {
            let rows = collected(vec![
                (HOME, 50, StateRows::Objects(vec![object(owned)])),
                (WORKER, 60, StateRows::Objects(vec![object(None)])),
            ]);
            Table::new(&rows, &cluster()).objects()
        };
        let there = rows(Some(Location::Arena));
        has_the_columns(StateKind::Objects, &there[0]);
        assert_eq!((&there[0]["state"], &there[0]["location"]), (&json!("READY"), &json!("ARENA")));
        assert_eq!((&there[1]["state"], &there[1]["location"]), (&json!("READY"), &json!("REMOTE")));
        assert_eq!((&there[1]["owner_pid"], &there[1]["pid"]), (&json!(50), &json!(60)));
        let pending = rows(None);
        assert_eq!((&pending[1]["state"], &pending[1]["location"]), (&json!("PENDING"), &json!(null)));
    }

    #[test]
    fn an_actor_that_died_says_why() {
        let collected = collected(Vec::new());
        let table = Table::new(&collected, &cluster());
        let mut actor = ActorView {
            actor: ActorId::derive([1; 12], JobId::from_index(1)),
            class_name: "A".to_owned(),
            owner: HOME,
            placement: ResourceSet::new(),
            held: ResourceSet::new(),
            at: ActorAt::Alive(WORKER),
        };
        let row = table.actor(&actor);
        has_the_columns(StateKind::Actors, &row);
        assert_eq!((&row["state"], &row["pid"], &row["owner_pid"]), (&json!("ALIVE"), &json!(60), &json!(50)));
        let death = iosdk_types::Death { pid: 60, exit: Exit::Signal(9), intended: false, last_lines: Vec::new() };
        actor.at = ActorAt::Dead(ActorDeath::Process(death));
        let row = table.actor(&actor);
        assert_eq!((&row["state"], &row["pid"], &row["node_id"]), (&json!("DEAD"), &json!(null), &json!(null)));
        assert_eq!(row["death_cause"], "its process (pid 60) was killed by signal 9 (SIGKILL)");
    }

    #[test]
    fn ids_are_hexadecimal_and_of_their_width() {
        assert_eq!(bytes::<2>("0aff"), Some([0x0a, 0xff]));
        for wrong in ["0af", "0afff", "+a+f", "0ag0", "é00"] {
            assert_eq!(bytes::<2>(wrong), None, "{wrong}");
        }
    }
}
