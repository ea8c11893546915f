//! What one seed decides before the first event: the size of the cluster, how slow its links are, what users do and which
//! kinds of trouble may come (a swarm: each kind is switched off in about half of the seeds, so that the rest show alone).

use crate::random::Random;
use iosdk_types::Span;

#[derive(Clone, Debug)]
pub struct Settings {
    pub seed: u64,
    pub nodes: u32,
    pub cpus: u32,
    /// The longest a message takes on a socket, on a lane, and between daemons.
    pub socket: Span,
    pub lane: Span,
    /// Some lanes, so many per mille, take so many times as long as the others, always.
    pub slow_lanes: (u64, u64),
    pub gcs: Span,
    pub arena_limit: u64,
    pub workers_ahead: u32,
    pub infeasible_waits: bool,
    pub user: User,
    pub faults: Faults,
    /// Nodes that stay when drivers leave; drivers attach to them, and jobs are submitted.
    pub standing: bool,
    /// What is held is accounted.
    pub meters: bool,
    /// Of each node from the start.
    pub drivers: u32,
    /// Submitted in a run.
    pub jobs: u64,
}

/// What the programs do, in operations and per mille.
#[derive(Clone, Debug)]
pub struct User {
    /// Operations of a driver; a task has fewer the deeper it is.
    pub operations: u64,
    pub depth: u32,
    /// The longest body, most are much shorter.
    pub body: Span,
    pub actors: u64,
    pub objects: u64,
    pub nested: u64,
    pub cancels: u64,
    pub errors: u64,
    /// Big values per mille of all values.
    pub big: u64,
}

/// Mean number over a run; 0 switches the kind off.
#[derive(Clone, Debug)]
pub struct Faults {
    pub worker_killed: u64,
    pub driver_killed: u64,
    pub node_lost: u64,
    pub gcs_cut: u64,
    pub fork_failed: u64,
    pub slow_worker: u64,
    pub lane_stalled: u64,
    pub lane_poisoned: u64,
    pub late_view: u64,
    pub gcs_restarted: u64,
    pub daemon_killed: u64,
    pub supervisor_killed: u64,
    /// No trouble starts after this; what was submitted must end.
    pub until: Span,
}

impl Settings {
    pub fn from_seed(seed: u64, nodes_asked: Option<u32>) -> Self {
        let mut random = Random::new(seed);
        let nodes = nodes_asked.unwrap_or_else(|| 1 + random.below(3) as u32);
        let chain = random.chance(150);
        let longest_lane = if random.chance(300) { 3000 } else { 50 };
        let longest_body = if random.chance(300) { 60_000 } else { 2_000 };
        let mut settings = Self {
            seed,
            nodes,
            cpus: 1 + random.below(4) as u32,
            socket: Span::from_micros(20 + random.below(400)),
            lane: Span::from_micros(1 + random.below(longest_lane)),
            slow_lanes: (0, 1),
            gcs: Span::from_micros(50 + random.below(5000)),
            arena_limit: (2 << 20) * (4 + random.below(28)),
            workers_ahead: random.below(3) as u32,
            infeasible_waits: random.chance(100),
            user: User {
                operations: 20 + random.below(120),
                depth: if chain { 12 } else { random.below(4) as u32 },
                body: Span::from_micros(20 + random.below(longest_body)),
                actors: if random.chance(600) { 40 + random.below(200) } else { 0 },
                objects: random.below(400),
                nested: if chain { 700 } else { random.below(300) },
                cancels: if random.chance(600) { 40 + random.below(80) } else { 0 },
                errors: if random.chance(500) { random.below(150) } else { 0 },
                big: random.below(300),
            },
            faults: Faults::swarm(&mut random),
            standing: false,
            meters: false,
            drivers: 1,
            jobs: 0,
        };
        if random.chance(600) {
            settings.slow_lanes = (random.between(50, 500), random.between(2, 60));
        }
        if seed % 5 == 3 {
            // Surely in some of few seeds: a node that ends while the others still place actors on it.
            settings.faults.driver_killed = 1;
            settings.user.actors = settings.user.actors.max(200);
            settings.nodes = nodes_asked.unwrap_or(3);
        }
        settings.stand(seed % 5 != 3);
        settings
    }

    /// From a stream of its own, so that what a seed does otherwise stays what it was.
    fn stand(&mut self, may: bool) {
        let mut random = Random::new(self.seed ^ 0x005e_77ed);
        self.faults.gcs_restarted = if random.chance(350) { 1 + random.below(3) } else { 0 };
        self.standing = may && random.chance(450);
        self.meters = self.standing || random.chance(300);
        if self.standing {
            self.drivers = 1 + random.below(3) as u32;
            // A lane that is always slower than a turn lasts (20 ms) starves an owner with two classes and one worker.
            self.slow_lanes.1 = self.slow_lanes.1.min(15_000_000 / self.lane.0.max(1)).max(1);
            self.jobs = if random.chance(700) { 1 + random.below(8) } else { 0 };
            self.faults.daemon_killed = if random.chance(600) { 1 + random.below(2) } else { 0 };
            self.faults.supervisor_killed = if random.chance(400) { 1 + random.below(2) } else { 0 };
        }
    }

    pub fn gcs_config(&self) -> iosdk_gcs_core::Config {
        let jobs_kept = if self.seed.is_multiple_of(4) { 2 } else { 0 };
        iosdk_gcs_core::Config { infeasible_waits: self.infeasible_waits, jobs_kept, ..Default::default() }
    }
}

impl Faults {
    fn swarm(random: &mut Random) -> Self {
        let mut some = |often: u64, most: u64| if random.chance(often) { 1 + random.below(most) } else { 0 };
        Self {
            worker_killed: some(500, 8),
            driver_killed: some(150, 1),
            node_lost: some(200, 1),
            gcs_cut: some(350, 4),
            fork_failed: some(250, 60),
            slow_worker: some(400, 4),
            lane_stalled: some(400, 6),
            lane_poisoned: some(120, 2),
            late_view: some(400, 6),
            gcs_restarted: 0,
            daemon_killed: 0,
            supervisor_killed: 0,
            until: Span::from_millis(some(1000, 400)),
        }
    }
}
