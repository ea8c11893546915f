//! Tests of the GCS machine, in the words of a cluster: nodes join and are lost, actors are created, found and killed.

use crate::{ActorAt, ApiReply, Config, Effect, Gcs, Input};
use iosdk_types::message::{ActorDeath, Answer, GcsToRaylet, NodeRecord, RayletToGcs, VERSION};
use iosdk_types::spec::ActorSpec;
use iosdk_types::{ActorId, Address, Amount, Death, Exit, JobId, Machine, Map, NodeId, ResourceSet, Set, Time};
use proptest::prelude::*;

fn cpus(count: i64) -> ResourceSet {
    ResourceSet::new().with("CPU", Amount::units(count))
}

fn process(node: u32, process: u32) -> Address {
    Address { node, epoch: 1, process }
}

fn actor(number: u8) -> ActorId {
    ActorId::derive([number; 12], JobId::from_index(1))
}

fn ended() -> Death {
    Death { pid: 1, exit: Exit::Code(0), intended: false, last_lines: Vec::new() }
}

struct Cluster {
    gcs: Gcs,
    /// Nodes that were told to start an actor and have not said it is gone, kept by the test itself.
    started: Map<ActorId, Set<u32>>,
    broken: Option<String>,
}

impl Cluster {
    fn new(infeasible_waits: bool) -> Self {
        Self { gcs: Gcs::new(Config { infeasible_waits, ..Config::default() }), started: Map::new(), broken: None }
    }

    fn of(nodes: &[i64]) -> Self {
        let mut cluster = Self::new(false);
        for (number, cpu) in nodes.iter().enumerate() {
            cluster.joins(number as u32, *cpu);
        }
        cluster
    }

    fn joins(&mut self, node: u32, cpu: i64) -> Vec<GcsToRaylet> {
        self.joins_as(node, 1, cpu)
    }

    fn joins_as(&mut self, node: u32, epoch: u32, cpu: i64) -> Vec<GcsToRaylet> {
        let id = NodeId([node as u8; 28]);
        let (ip, hostname) = ("127.0.0.1".to_owned(), "h".to_owned());
        let record = NodeRecord { node: id, alive: true, ip, hostname, resources: cpus(cpu) };
        self.says(node, RayletToGcs::Join { version: VERSION, node, epoch, record })
    }

    fn says(&mut self, node: u32, message: RayletToGcs) -> Vec<GcsToRaylet> {
        if let RayletToGcs::ActorRefused { actor } | RayletToGcs::ActorEnded { actor, .. } = &message
            && let Some(nodes) = self.started.get_mut(actor)
        {
            nodes.remove(&node);
        }
        self.step(Input::FromRaylet { node, message })
    }

    fn loses(&mut self, node: u32) -> Vec<GcsToRaylet> {
        for nodes in self.started.values_mut() {
            nodes.remove(&node);
        }
        self.step(Input::NodeLost { node })
    }

    fn step(&mut self, input: Input) -> Vec<GcsToRaylet> {
        let mut out = Vec::new();
        self.gcs.step(Time(0), input, &mut out);
        if let Err(why) = self.gcs.check() {
            self.broken.get_or_insert(why);
        }
        let mut heard = Vec::new();
        for effect in out {
            let Effect::ToRaylet { node, message } = effect else { continue };
            if let GcsToRaylet::StartActor { spec } = &message {
                let nodes = self.started.entry(spec.actor).or_default();
                nodes.insert(node);
                if nodes.len() > 1 {
                    self.broken.get_or_insert(format!("ACT-2: {} is started on {nodes:?}", spec.actor));
                }
            }
            heard.push(message);
        }
        heard
    }

    fn creates(&mut self, owner: Address, number: u8, cpu: i64) -> Vec<GcsToRaylet> {
        let (placement, held) = (cpus(cpu), ResourceSet::new());
        let spec =
            ActorSpec { actor: actor(number), owner, submission: None, class_name: "A".to_owned(), placement, held };
        self.says(owner.node, RayletToGcs::CreateActor { spec })
    }

    fn started(&mut self, number: u8, address: Address) -> Vec<GcsToRaylet> {
        self.says(address.node, RayletToGcs::ActorStarted { actor: actor(number), address })
    }

    fn home(&self, number: u8) -> Vec<u32> {
        self.started.get(&actor(number)).map(|nodes| nodes.iter().copied().collect()).unwrap_or_default()
    }
}

fn deaths(heard: &[GcsToRaylet]) -> Vec<(Address, ActorDeath)> {
    let only = |message: &GcsToRaylet| match message {
        GcsToRaylet::ActorDead { watcher, cause, .. } => Some((*watcher, cause.clone())),
        _ => None,
    };
    heard.iter().filter_map(only).collect()
}

#[test]
fn an_actor_is_placed_started_and_found() {
    let mut cluster = Cluster::of(&[2]);
    let (owner, other, home) = (process(0, 1), process(0, 2), process(0, 3));
    let early = cluster.says(0, RayletToGcs::WatchActor { actor: actor(1), watcher: other });
    assert_eq!(early, [], "asked for before it was created");
    cluster.creates(owner, 1, 1);
    assert_eq!(cluster.home(1), [0]);
    let heard = cluster.started(1, home);
    let told: Vec<Address> = heard
        .iter()
        .filter_map(|message| match message {
            GcsToRaylet::ActorAlive { address, watcher, .. } if *address == home => Some(*watcher),
            _ => None,
        })
        .collect();
    assert_eq!(told, [owner, other]);
    assert_eq!(cluster.started(1, home), [], "said again, known already");
    assert_eq!(cluster.creates(owner, 1, 1).len(), 1, "asked again, answered again");
    assert_eq!(cluster.broken, None);
}

#[test]
fn the_first_reason_to_end_is_the_one_told() {
    let mut cluster = Cluster::of(&[2]);
    let owner = process(0, 1);
    cluster.creates(owner, 1, 1);
    cluster.started(1, process(0, 3));
    let kill = RayletToGcs::KillActor { actor: actor(1), no_restart: true };
    let stop = [GcsToRaylet::StopActor { actor: actor(1), cause: ActorDeath::Killed }];
    assert_eq!(cluster.says(0, kill.clone()), stop);
    let gone = RayletToGcs::ActorEnded { actor: actor(1), cause: ActorDeath::Process(ended()) };
    assert_eq!(deaths(&cluster.says(0, gone.clone())), [(owner, ActorDeath::Killed)]);
    assert_eq!(cluster.says(0, gone), []);
    assert_eq!(cluster.says(0, kill), []);
    let late = cluster.says(0, RayletToGcs::WatchActor { actor: actor(1), watcher: process(0, 9) });
    assert_eq!(deaths(&late), [(process(0, 9), ActorDeath::Killed)]);
    assert_eq!(cluster.broken, None);
}

#[test]
fn a_refused_actor_goes_elsewhere_or_waits_for_room() {
    let mut cluster = Cluster::of(&[2, 2]);
    cluster.creates(process(0, 1), 1, 2);
    let first = cluster.home(1)[0];
    cluster.says(first, RayletToGcs::ActorRefused { actor: actor(1) });
    let second = cluster.home(1)[0];
    assert_ne!(first, second);
    cluster.says(second, RayletToGcs::ActorRefused { actor: actor(1) });
    assert_eq!(cluster.home(1), []);
    cluster.says(first, RayletToGcs::View { version: 1, available: cpus(2) });
    assert_eq!(cluster.home(1), [first]);
    assert_eq!(cluster.broken, None);
}

#[test]
fn what_fits_nowhere_fails_or_waits_for_a_node() {
    let mut cluster = Cluster::of(&[2]);
    let owner = process(0, 1);
    let heard = cluster.creates(owner, 1, 8);
    assert!(matches!(deaths(&heard)[..], [(told, ActorDeath::Infeasible { .. })] if told == owner));
    let mut patient = Cluster::new(true);
    patient.joins(0, 2);
    assert_eq!(patient.creates(owner, 1, 8), []);
    patient.joins(1, 8);
    assert_eq!(patient.home(1), [1]);
    assert_eq!((cluster.broken, patient.broken), (None, None));
}

#[test]
fn actors_die_with_their_owner_and_with_their_node() {
    let mut cluster = Cluster::of(&[1, 8]);
    let owner = process(0, 1);
    cluster.creates(owner, 1, 2);
    cluster.creates(owner, 2, 2);
    cluster.started(1, process(1, 5));
    let heard = cluster.says(0, RayletToGcs::ProcessDied { process: owner, death: ended() });
    let cause = ActorDeath::OwnerDied(ended());
    let stop = |number| GcsToRaylet::StopActor { actor: actor(number), cause: cause.clone() };
    assert_eq!(heard, [stop(1), stop(2)]);
    cluster.creates(process(0, 2), 3, 2);
    cluster.started(3, process(1, 6));
    assert_eq!(deaths(&cluster.loses(1)), [(process(0, 2), ActorDeath::NodeDied)]);
    // An incarnation that was given up on is not believed again; the next one is.
    cluster.joins(1, 8);
    assert_eq!(cluster.started(3, process(1, 6)), []);
    cluster.joins_as(1, 2, 8);
    cluster.creates(process(0, 2), 4, 2);
    assert_eq!(cluster.home(4), [1]);
    assert_eq!(cluster.broken, None);
}

#[test]
fn a_node_that_reconnects_hears_again_what_it_may_have_missed() {
    let mut cluster = Cluster::of(&[2]);
    cluster.creates(process(0, 1), 1, 1);
    let heard = cluster.joins(0, 2);
    assert!(heard.iter().any(|message| matches!(message, GcsToRaylet::StartActor { .. })));
    cluster.started(1, process(0, 3));
    assert_eq!(cluster.joins(0, 2), [GcsToRaylet::Joined { version: VERSION }]);
    assert_eq!(cluster.broken, None);
}

#[test]
fn drivers_get_one_job_each() {
    let mut cluster = Cluster::of(&[2]);
    let mut job_of = |number| {
        let joined = RayletToGcs::DriverJoined {
            process: process(0, number),
            namespace: "n".to_owned(),
            job: None,
            submission: None,
        };
        match cluster.says(0, joined)[..] {
            [GcsToRaylet::DriverAccepted { job, .. }] => job,
            ref other => panic!("{other:?}"),
        }
    };
    assert_eq!([job_of(1), job_of(2), job_of(1)].map(|job| job.0[3]), [1, 2, 1]);
    assert_eq!(cluster.gcs.namespace(process(0, 1)), Some("n"));
    cluster.says(0, RayletToGcs::ProcessDied { process: process(0, 1), death: ended() });
    assert_eq!(cluster.gcs.namespace(process(0, 1)), None);
}

#[test]
fn questions_are_answered_with_what_is_alive() {
    let mut cluster = Cluster::of(&[2, 4]);
    let (request, asker) = (5, process(0, 1));
    cluster.says(0, RayletToGcs::View { version: 2, available: cpus(1) });
    cluster.says(0, RayletToGcs::View { version: 1, available: cpus(2) });
    let answer = |answer| [GcsToRaylet::Answer { request, asker, answer }];
    let available = cluster.says(0, RayletToGcs::AvailableResources { request, asker });
    assert_eq!(available, answer(Answer::Resources(cpus(5))), "the older view is ignored");
    cluster.loses(1);
    let all = cluster.says(0, RayletToGcs::ClusterResources { request, asker });
    assert_eq!(all, answer(Answer::Resources(cpus(2))));
    let nodes = cluster.says(0, RayletToGcs::Nodes { request, asker });
    let [GcsToRaylet::Answer { answer: Answer::Nodes(records), .. }] = &nodes[..] else { panic!("{nodes:?}") };
    assert_eq!(records.iter().map(|record| record.alive).collect::<Vec<_>>(), [true, false]);
    assert_eq!(cluster.broken, None);
}

#[test]
fn actors_are_told_the_living_first() {
    let mut cluster = Cluster::of(&[1]);
    let view = |cluster: &Cluster, only, limit| match cluster.gcs.view_actors(only, limit) {
        ApiReply::Actors(views, total) => {
            (views.into_iter().map(|view| (view.actor, view.at)).collect::<Vec<_>>(), total)
        }
        other => panic!("{other:?}"),
    };
    for number in [1, 2, 3] {
        cluster.creates(process(0, 7), number, 1);
    }
    cluster.started(2, process(0, 9));
    cluster.says(0, RayletToGcs::ActorEnded { actor: actor(1), cause: ActorDeath::Exited });
    let starting = (actor(3), ActorAt::Starting { node: 0 });
    let (alive, dead) = ((actor(2), ActorAt::Alive(process(0, 9))), (actor(1), ActorAt::Dead(ActorDeath::Exited)));
    assert_eq!(view(&cluster, None, 10), (vec![alive.clone(), starting, dead.clone()], 3));
    assert_eq!(view(&cluster, None, 1), (vec![alive], 3));
    assert_eq!(view(&cluster, Some(actor(1)), 1), (vec![dead], 1));
    assert_eq!(view(&cluster, Some(actor(9)), 1), (vec![], 0));
}

#[derive(Clone, Debug)]
enum Op {
    Join { node: u32, epoch: u32 },
    Lose { node: u32 },
    Create { node: u32, number: u8, cpu: i64 },
    Watch { node: u32, number: u8 },
    Started { node: u32, number: u8 },
    Refused { node: u32, number: u8 },
    Ended { node: u32, number: u8 },
    Kill { node: u32, number: u8 },
    OwnerDies { node: u32 },
    View { node: u32, version: u64, cpu: i64 },
}

fn op() -> impl Strategy<Value = Op> {
    let (node, number) = (0..3u32, 0..4u8);
    let both = (node.clone(), number.clone());
    prop_oneof![
        2 => (node.clone(), 1..3u32).prop_map(|(node, epoch)| Op::Join { node, epoch }),
        1 => node.clone().prop_map(|node| Op::Lose { node }),
        4 => (node.clone(), number, 1..5i64).prop_map(|(node, number, cpu)| Op::Create { node, number, cpu }),
        1 => both.clone().prop_map(|(node, number)| Op::Watch { node, number }),
        3 => both.clone().prop_map(|(node, number)| Op::Started { node, number }),
        2 => both.clone().prop_map(|(node, number)| Op::Refused { node, number }),
        2 => both.clone().prop_map(|(node, number)| Op::Ended { node, number }),
        1 => both.prop_map(|(node, number)| Op::Kill { node, number }),
        1 => node.clone().prop_map(|node| Op::OwnerDies { node }),
        2 => (node, 0..6u64, 0..4i64).prop_map(|(node, version, cpu)| Op::View { node, version, cpu }),
    ]
}

/// The first promise broken on this walk.
fn walk(ops: &[Op], prepare: impl FnOnce(&mut Cluster)) -> Option<String> {
    let mut cluster = Cluster::of(&[2, 4]);
    prepare(&mut cluster);
    for op in ops {
        match *op {
            Op::Join { node, epoch } => cluster.joins_as(node, epoch, 4),
            Op::Lose { node } => cluster.loses(node),
            Op::Create { node, number, cpu } => cluster.creates(process(node, 1), number, cpu),
            Op::Watch { node, number } => {
                cluster.says(node, RayletToGcs::WatchActor { actor: actor(number), watcher: process(node, 2) })
            }
            Op::Started { node, number } => cluster.started(number, process(node, 10 + u32::from(number))),
            Op::Refused { node, number } if cluster.home(number).contains(&node) => {
                cluster.says(node, RayletToGcs::ActorRefused { actor: actor(number) })
            }
            Op::Refused { .. } => Vec::new(),
            Op::Ended { node, number } => {
                cluster.says(node, RayletToGcs::ActorEnded { actor: actor(number), cause: ActorDeath::Exited })
            }
            Op::Kill { node, number } => {
                cluster.says(node, RayletToGcs::KillActor { actor: actor(number), no_restart: true })
            }
            Op::OwnerDies { node } => {
                cluster.says(node, RayletToGcs::ProcessDied { process: process(node, 1), death: ended() })
            }
            Op::View { node, version, cpu } => cluster.says(node, RayletToGcs::View { version, available: cpus(cpu) }),
        };
        if cluster.broken.is_some() {
            return cluster.broken;
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn promises_hold_on_any_walk(ops in prop::collection::vec(op(), 1..100)) {
        prop_assert_eq!(walk(&ops, |_| {}), None);
    }
}

/// Each planted bug is found by some walk, or the walks prove nothing.
#[cfg(feature = "planted")]
#[test]
fn every_bug_is_found() {
    use crate::Bug;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    for bug in [Bug::TwoNodesOneActor, Bug::ViewGoesBack] {
        let mut runner = TestRunner::deterministic();
        let walks = prop::collection::vec(op(), 50..100);
        let found = (0..100).any(|_| {
            let ops = walks.new_tree(&mut runner).expect("a walk").current();
            walk(&ops, |cluster| cluster.gcs.plant(bug)).is_some()
        });
        assert!(found, "{bug:?} goes unnoticed");
    }
}
