//! A head that was restarted: drivers keep their job ids, actors are learned from the nodes they live on.

use iosdk_gcs_core::{Config, Effect, Gcs, Input, RETURN, Record};
use iosdk_types::message::{ActorDeath, GcsToRaylet, NodeRecord, RayletToGcs, VERSION};
use iosdk_types::spec::ActorSpec;
use iosdk_types::{ActorId, Address, Amount, Death, Exit, JobId, Machine, NodeId, ResourceSet, Time};

const OWNER: Address = Address { node: 0, epoch: 1, process: 1 };
const HOME: Address = Address { node: 1, epoch: 1, process: 9 };

struct Head {
    gcs: Gcs,
    now: Time,
    log: Vec<Record>,
}

impl Head {
    /// Two nodes with 4 CPUs, and then a restart.
    fn restarted() -> Self {
        let mut head = Self { gcs: Gcs::new(Config::default()), now: Time(0), log: Vec::new() };
        head.joins(0, 1);
        head.joins(1, 1);
        head.restarts();
        head
    }

    fn restarts(&mut self) {
        self.gcs = Gcs::recover(Config::default(), None, self.log.clone());
    }

    fn hears(&mut self, node: u32, message: RayletToGcs) -> Vec<GcsToRaylet> {
        let mut out = Vec::new();
        self.gcs.step(self.now, Input::FromRaylet { node, message }, &mut out);
        self.take(out)
    }

    fn take(&mut self, out: Vec<Effect>) -> Vec<GcsToRaylet> {
        assert_eq!(self.gcs.check(), Ok(()));
        let mut said = Vec::new();
        for effect in out {
            match effect {
                Effect::Append(record) => self.log.push(record),
                Effect::ToRaylet { message, .. } => said.push(message),
                other => panic!("{other:?}"),
            }
        }
        said
    }

    fn joins(&mut self, node: u32, epoch: u32) -> Vec<GcsToRaylet> {
        let resources = ResourceSet::new().with("CPU", Amount::units(4));
        let (ip, hostname) = (String::new(), String::new());
        let record = NodeRecord { node: NodeId([node as u8; 28]), alive: true, ip, hostname, resources };
        self.hears(node, RayletToGcs::Join { version: VERSION, node, epoch, record })
    }

    fn has_said_all(&mut self, node: u32) -> Vec<GcsToRaylet> {
        self.hears(node, RayletToGcs::JobsHere { running: Vec::new() })
    }

    fn waits(&mut self) -> Vec<GcsToRaylet> {
        self.now = self.now + RETURN;
        let mut out = Vec::new();
        self.gcs.tick(self.now, &mut out);
        self.take(out)
    }

    fn driver(&mut self, process: u32, job: Option<JobId>) -> JobId {
        let process = Address { node: 0, epoch: 1, process };
        let joined = RayletToGcs::DriverJoined { process, namespace: "n".to_owned(), job, submission: None };
        match self.hears(0, joined)[..] {
            [GcsToRaylet::DriverAccepted { process: to, job }] if to == process => job,
            ref other => panic!("{other:?}"),
        }
    }
}

fn actor() -> ActorSpec {
    let (placement, held) = (ResourceSet::new().with("CPU", Amount::ONE), ResourceSet::new());
    let actor = ActorId::derive([7; 12], JobId::from_index(1));
    ActorSpec { actor, owner: OWNER, submission: None, class_name: "A".to_owned(), placement, held }
}

fn lives() -> RayletToGcs {
    RayletToGcs::ActorLives { spec: actor(), address: HOME }
}

fn stops(said: &[GcsToRaylet]) -> Vec<ActorDeath> {
    let stop = |message: &GcsToRaylet| match message {
        GcsToRaylet::StopActor { cause, .. } => Some(cause.clone()),
        _ => None,
    };
    said.iter().filter_map(stop).collect()
}

fn death() -> Death {
    Death { pid: 0, exit: Exit::Unknown, intended: false, last_lines: Vec::new() }
}

#[test]
fn drivers_keep_their_jobs_and_no_id_is_given_twice() {
    let mut head = Head::restarted();
    head.joins(0, 1);
    let (one, two) = (head.driver(1, None), head.driver(2, None));
    head.restarts();
    head.joins(0, 1);
    assert_eq!(head.driver(3, None), JobId::from_index(3), "before the others are back");
    assert_eq!([head.driver(2, Some(two)), head.driver(1, Some(one))], [two, one]);
    assert_eq!(head.gcs.namespace(Address { node: 0, epoch: 1, process: 2 }), Some("n"));
    // A driver of a head that lost its log.
    assert_eq!(head.driver(4, Some(JobId::from_index(9))), JobId::from_index(9));
    assert_eq!(head.driver(5, None), JobId::from_index(10));
}

#[test]
fn actors_are_learned_from_their_nodes() {
    let mut head = Head::restarted();
    head.joins(0, 1);
    let watcher = Address { node: 0, epoch: 1, process: 2 };
    assert_eq!(head.hears(0, RayletToGcs::WatchActor { actor: actor().actor, watcher }), []);
    head.joins(1, 1);
    let told = head.hears(1, lives());
    let alive = |watcher| GcsToRaylet::ActorAlive { actor: actor().actor, address: HOME, watcher };
    assert_eq!(told, [alive(OWNER), alive(watcher)]);
    assert_eq!(head.hears(1, lives()), [], "said again, known already");
    let kill = RayletToGcs::KillActor { actor: actor().actor, no_restart: true };
    assert_eq!(stops(&head.hears(0, kill)), [ActorDeath::Killed]);
}

#[test]
fn nobody_is_placed_who_may_live_where_nobody_has_asked_yet() {
    let mut head = Head::restarted();
    head.joins(0, 1);
    head.has_said_all(0);
    // Its owner does not know whether the old head placed it.
    assert_eq!(head.hears(0, RayletToGcs::CreateActor { spec: actor() }), []);
    head.joins(1, 1);
    assert!(head.hears(1, lives()).iter().any(|message| matches!(message, GcsToRaylet::ActorAlive { .. })));
    assert_eq!(head.has_said_all(1), [], "it is where it was");
    // Of another one nobody knows.
    let other = ActorSpec { actor: ActorId::derive([8; 12], JobId::from_index(1)), ..actor() };
    let placed = head.hears(0, RayletToGcs::CreateActor { spec: other.clone() });
    assert!(matches!(&placed[..], [GcsToRaylet::StartActor { spec }] if *spec == other), "{placed:?}");
}

#[test]
fn after_a_minute_a_node_that_is_not_back_is_given_up() {
    let mut head = Head::restarted();
    assert_eq!(head.gcs.deadline(), Some(Time(0)), "it wants to know what time it is");
    head.joins(0, 1);
    head.has_said_all(0);
    assert_eq!(head.gcs.deadline(), Some(Time(0) + RETURN));
    assert_eq!(head.hears(0, RayletToGcs::CreateActor { spec: actor() }), []);
    assert!(matches!(&head.waits()[..], [GcsToRaylet::StartActor { .. }]));
    assert_eq!(head.gcs.deadline(), None);
    // It is not believed afterwards, not even by the next head.
    head.restarts();
    head.joins(0, 1);
    head.joins(1, 1);
    assert_eq!(head.hears(1, lives()), []);
    head.joins(1, 2);
    assert!(
        !head.hears(1, RayletToGcs::ActorLives { spec: actor(), address: Address { epoch: 2, ..HOME } }).is_empty()
    );
}

#[test]
fn actors_whose_owner_died_meanwhile_end() {
    let mut head = Head::restarted();
    head.joins(0, 1);
    head.hears(0, RayletToGcs::ProcessDied { process: OWNER, death: death() });
    head.joins(1, 1);
    assert_eq!(stops(&head.hears(1, lives())), [ActorDeath::OwnerDied(death())], "its owner was reported dead before");

    let mut head = Head::restarted();
    head.joins(1, 1);
    assert_eq!(stops(&head.hears(1, lives())), [], "its owner's node may come back");
    head.has_said_all(1);
    assert_eq!(stops(&head.waits()), [ActorDeath::OwnerDied(death())], "it did not");

    let mut head = Head::restarted();
    head.joins(1, 1);
    head.hears(1, lives());
    head.has_said_all(1);
    head.joins(0, 2);
    assert_eq!(stops(&head.has_said_all(0)), [ActorDeath::OwnerDied(death())], "its owner's raylet was restarted");
}
