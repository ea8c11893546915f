//! Every message between process and raylet, with the bytes it has had since version 1: daemons and processes of
//! neighbouring versions meet on one node. A new field needs `serde(default)` and a new line here; no line ever changes.

use iosdk_net::{ControlReader, ControlWriter};
use iosdk_types::message::raylet_to_process::LogLine;
use iosdk_types::message::{
    ActorDeath, Answer, NodeRecord, ProcessToRaylet, Query, RayletToProcess, StoreReport, StoreUse,
};
use iosdk_types::spec::{ActorSpec, ClassSpec};
use iosdk_types::state::{
    Explanation, Location, ObjectState, RunningCall, StateCount, StateQuery, StateRows, Subject, TaskPhase, TaskState,
};
use iosdk_types::{
    ActorId, Address, Amount, Death, Exit, JobId, NodeId, ObjectId, ResourceSet, TaskId, TaskKind, Time,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

const PEER: Address = Address { node: 1, epoch: 2, process: 300 };
const ACTOR: ActorId = ActorId([0x0a; 16]);
const TASK: TaskId = TaskId([0x0c; 24]);
const OBJECT: ObjectId = ObjectId([0x0d; 28]);

fn cpus(units: i64) -> ResourceSet {
    ResourceSet::new().with("CPU", Amount::units(units))
}

fn death(exit: Exit) -> Death {
    Death { pid: 77, exit, intended: true, last_lines: vec!["bye".into()] }
}

fn to_raylet() -> Vec<ProcessToRaylet> {
    use ProcessToRaylet as M;
    let spec = ActorSpec {
        actor: ACTOR,
        owner: PEER,
        submission: None,
        class_name: "Counter".into(),
        placement: cpus(1),
        held: ResourceSet::new(),
    };
    let ended = |cause| M::ActorState { actor: ACTOR, ended: cause };
    let query = |query| M::Query { request: 5, query };
    let task = TaskState {
        task: TASK,
        attempt: 1,
        name: "f".into(),
        kind: TaskKind::Task,
        phase: TaskPhase::Running,
        on: Some((PEER, 77)),
        retries_left: -1,
        submitted: Time(8),
    };
    let object = ObjectState {
        object: OBJECT,
        owner: PEER,
        location: Some(Location::Arena),
        size: Some(1 << 20),
        is_error: false,
        handles: 1,
        uses: 2,
        borrowers: 3,
    };
    let count = StateCount { name: "f".into(), kind: "NORMAL_TASK".into(), state: "RUNNING".into(), count: 4 };
    let described = |rows| M::Described { request: 7, rows, total: 1 };
    vec![
        M::Hello { version: 1, pid: 1234, attach: None },
        M::Demand { class: 3, spec: ClassSpec { resources: cpus(2), depth: 1 }, want: 4 },
        M::ReturnLease { lease: 1 << 40, worker_usable: true },
        M::Connect { peer: PEER },
        M::CreateActor { spec },
        M::ResolveActor { actor: ACTOR },
        M::KillActor { actor: ACTOR, no_restart: true },
        ended(None),
        ended(Some(ActorDeath::InitFailed { error: vec![0, 255] })),
        ended(Some(ActorDeath::Killed)),
        ended(Some(ActorDeath::OutOfScope)),
        ended(Some(ActorDeath::Process(death(Exit::Signal(9))))),
        ended(Some(ActorDeath::OwnerDied(death(Exit::Code(3))))),
        ended(Some(ActorDeath::NodeDied)),
        ended(Some(ActorDeath::Infeasible { why: "no".into() })),
        ended(Some(ActorDeath::Exited)),
        M::DeadAck { peer: PEER },
        M::Claims { holder: PEER, extents: vec![0, 2 << 20] },
        M::Unclaim { holder: PEER, extent: 2 << 20 },
        M::ExtentRequest { request: 6, bytes: 2 << 20 },
        M::ExtentReturn { offset: 4 << 20 },
        query(Query::Nodes),
        query(Query::ClusterResources),
        query(Query::AvailableResources),
        M::Shutdown,
        described(StateRows::None),
        described(StateRows::Tasks { owned: vec![task], running: vec![RunningCall { task: TASK, since: Time(9) }] }),
        described(StateRows::Objects(vec![object])),
        described(StateRows::Counts(vec![count])),
        described(StateRows::Explained(vec![Explanation { state: "READY".into(), lines: vec!["why".into()] }])),
    ]
}

fn to_process() -> Vec<RayletToProcess> {
    use RayletToProcess as M;
    let node = NodeRecord {
        node: NodeId([0x0b; 28]),
        alive: true,
        ip: "127.0.0.1".into(),
        hostname: "here".into(),
        resources: cpus(2),
    };
    let report = StoreReport { limit: 100, used: 90, by_process: vec![StoreUse { process: PEER, pid: 77, bytes: 90 }] };
    let describe = |query| M::Describe { request: 7, query, limit: 100 };
    let line = LogLine { name: "f".into(), pid: 77, stderr: true, text: "hello".into() };
    vec![
        M::Welcome {
            version: 1,
            address: PEER,
            node: NodeId([0x0b; 28]),
            job: JobId([0, 0, 0, 1]),
            session: "s".into(),
            session_dir: "/tmp/s".into(),
            node_ip: "127.0.0.1".into(),
            arena_limit: 1 << 33,
            infeasible_waits: false,
        },
        M::Granted { class: 3, lease: 9, worker: PEER },
        M::Reclaim { lease: 9 },
        M::Infeasible { class: 3, why: "no".into() },
        M::Attach { peer: PEER, pid: 77, lane_in: 4, lane_out: 4095 },
        M::NoSuchPeer { peer: PEER, death: None },
        M::NoSuchPeer { peer: PEER, death: Some(death(Exit::Unknown)) },
        M::PeerDying { peer: PEER },
        M::PeerDead { peer: PEER, death: death(Exit::Code(-1)) },
        M::ActorAlive { actor: ACTOR, address: PEER },
        M::ActorDead { actor: ACTOR, cause: ActorDeath::Killed },
        M::ExtentGranted { request: 6, offset: 4 << 20, bytes: 2 << 20 },
        M::ExtentRefused { request: 6, report },
        M::Answer { request: 5, answer: Answer::Nodes(vec![node]) },
        M::Answer { request: 5, answer: Answer::Resources(cpus(2)) },
        M::Log { lines: vec![line] },
        M::Exit { reason: "over".into() },
        M::Retire,
        M::MakeRoom,
        describe(StateQuery::Workers),
        describe(StateQuery::Tasks { only: None }),
        describe(StateQuery::Tasks { only: Some(TASK) }),
        describe(StateQuery::Objects { only: Some(OBJECT) }),
        describe(StateQuery::CountTasks),
        describe(StateQuery::CountObjects),
        describe(StateQuery::Explain(Subject::Task(TASK))),
        describe(StateQuery::Explain(Subject::Object(OBJECT))),
        describe(StateQuery::Explain(Subject::Actor(ACTOR))),
    ]
}

/// One number per variant: a new variant does not compile until it is here, and does not pass until it has a line.
fn variant_to_raylet(message: &ProcessToRaylet) -> usize {
    match message {
        ProcessToRaylet::Hello { .. } => 0,
        ProcessToRaylet::Demand { .. } => 1,
        ProcessToRaylet::ReturnLease { .. } => 2,
        ProcessToRaylet::Connect { .. } => 3,
        ProcessToRaylet::CreateActor { .. } => 4,
        ProcessToRaylet::ResolveActor { .. } => 5,
        ProcessToRaylet::KillActor { .. } => 6,
        ProcessToRaylet::ActorState { .. } => 7,
        ProcessToRaylet::DeadAck { .. } => 8,
        ProcessToRaylet::Claims { .. } => 9,
        ProcessToRaylet::Unclaim { .. } => 10,
        ProcessToRaylet::ExtentRequest { .. } => 11,
        ProcessToRaylet::ExtentReturn { .. } => 12,
        ProcessToRaylet::Query { .. } => 13,
        ProcessToRaylet::Shutdown => 14,
        ProcessToRaylet::Described { .. } => 15,
    }
}

fn variant_to_process(message: &RayletToProcess) -> usize {
    match message {
        RayletToProcess::Welcome { .. } => 0,
        RayletToProcess::Granted { .. } => 1,
        RayletToProcess::Reclaim { .. } => 2,
        RayletToProcess::Infeasible { .. } => 3,
        RayletToProcess::Attach { .. } => 4,
        RayletToProcess::NoSuchPeer { .. } => 5,
        RayletToProcess::PeerDying { .. } => 6,
        RayletToProcess::PeerDead { .. } => 7,
        RayletToProcess::ActorAlive { .. } => 8,
        RayletToProcess::ActorDead { .. } => 9,
        RayletToProcess::ExtentGranted { .. } => 10,
        RayletToProcess::ExtentRefused { .. } => 11,
        RayletToProcess::Answer { .. } => 12,
        RayletToProcess::Log { .. } => 13,
        RayletToProcess::Exit { .. } => 14,
        RayletToProcess::Retire => 15,
        RayletToProcess::MakeRoom => 16,
        RayletToProcess::Describe { .. } => 17,
    }
}

fn encode(message: &impl Serialize) -> Vec<u8> {
    let (mine, mut theirs) = UnixStream::pair().unwrap();
    ControlWriter::default().send(mine.as_fd(), message, &[]).unwrap();
    drop(mine);
    let mut bytes = Vec::new();
    theirs.read_to_end(&mut bytes).unwrap();
    bytes
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> T {
    let (mut mine, theirs) = UnixStream::pair().unwrap();
    mine.write_all(bytes).unwrap();
    let mut messages = ControlReader::default().read(theirs.as_fd()).unwrap();
    assert_eq!(messages.len(), 1);
    messages.remove(0).0
}

fn check<T>(messages: Vec<T>, pinned: &str, variants: usize, variant: impl Fn(&T) -> usize)
where
    T: Serialize + DeserializeOwned + Debug + PartialEq,
{
    let covered: BTreeSet<_> = messages.iter().map(variant).collect();
    assert_eq!(covered.len(), variants, "a variant has no golden bytes");
    assert_eq!(messages.len(), pinned.lines().count());
    for (message, hex) in messages.into_iter().zip(pinned.lines()) {
        let bytes = encode(&message);
        assert_eq!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), hex, "{message:?}");
        assert_eq!(decode::<T>(&bytes), message);
    }
}

#[test]
fn what_processes_say_does_not_change() {
    check(to_raylet(), include_str!("golden/process_to_raylet.hex"), 16, variant_to_raylet);
}

#[test]
fn what_raylets_say_does_not_change() {
    check(to_process(), include_str!("golden/raylet_to_process.hex"), 18, variant_to_process);
}
