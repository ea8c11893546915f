//! The loop: waits for descriptors and deadlines, turns what happens into the machine's inputs, all of one round with one
//! time, and has its effects performed in order.

use crate::closing::Ending;
use crate::config::{Config, Role};
use crate::connection::Connection;
use crate::gcs_link::{GcsEvent, GcsLink};
use crate::gcs_process::GcsChild;
use crate::hardware;
use crate::history::History;
use crate::jobs_here::{JobHere, listen};
use crate::poll::{Poll, Source};
use crate::process::{Life, Process};
use crate::servers::Servers;
use crate::session::Session;
use crate::signals::Signals;
use crate::state::Questions;
use crate::submitted::Submitted;
use crate::watch::Watch;
use iosdk_complain::complain;
use iosdk_net::control::ReadError;
use iosdk_raylet_core::{Effect, Input, Raylet};
use iosdk_types::message::{ProcessToRaylet, RayletToProcess};
use iosdk_types::{JobId, Machine, NodeId, Span, Time};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Read};
use std::os::fd::OwnedFd;

/// What the daemon starts with.
pub struct Start<G> {
    pub config: Config,
    pub session: Session,
    pub role: Role,
    /// Grows with each start of the node.
    pub epoch: u32,
    pub gcs: G,
    /// Called once the node can be joined.
    pub ready: Box<dyn FnOnce() -> io::Result<()>>,
}

/// Things to do at a certain time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Nobody said how the process ended: do without.
    ExitStatus(u32),
    /// It was asked to end and has not.
    KillAfter(u32),
    /// Walk the process table for what dead workers left.
    SweepSessions,
    Status,
    Pins,
    /// A fork server that no job uses may go.
    IdleServer(u32),
    /// Whether a submitted job has begun.
    LookAtJob(u32),
    RestartGcs,
    /// Who was asked has had its time.
    Question(u64),
    /// Records may have come.
    History,
}

/// How long a process may take to end by itself once it was asked to, or has closed its connection.
pub(crate) const GRACE: Span = Span::from_secs(5);

pub(crate) struct Node<G> {
    pub(crate) session: Session,
    pub(crate) gcs: G,
    pub(crate) machine: Raylet,
    pub(crate) now: Time,
    pub(crate) inputs: VecDeque<Input>,
    pub(crate) poll: Poll,
    pub(crate) timers: BTreeSet<(Time, Timer)>,
    pub(crate) processes: BTreeMap<u32, Process>,
    pub(crate) role: Role,
    pub(crate) listener: Option<OwnedFd>,
    /// Connections of drivers until the machine has admitted them, which it does at once and in order.
    pub(crate) arriving: VecDeque<Connection>,
    pub(crate) jobs: BTreeMap<JobId, JobHere>,
    pub(crate) submitted: Submitted,
    pub(crate) gcs_child: Option<GcsChild>,
    pub(crate) arena: OwnedFd,
    pub(crate) pin_table: OwnedFd,
    pub(crate) servers: Servers,
    pub(crate) watch: Watch,
    pub(crate) dead_sessions: BTreeSet<i32>,
    /// Of a standing node.
    pub(crate) history: Option<History>,
    pub(crate) questions: Questions,
    pub(crate) signals: Signals,
    pub(crate) ending: Option<Ending>,
}

/// Runs the node until its driver is gone or asks it to end. Whatever happens, nothing of it is left afterwards.
/// To be called on the only thread of a process that has called nothing of this crate before but `Session::create`.
pub fn run<G: GcsLink>(signals_taken: SignalsTaken, start: Start<G>) -> io::Result<()> {
    let mut node = Node::new(signals_taken, start)?;
    let served = node.serve();
    let closed = node.close();
    served.and(closed)
}

/// Signals are handled by descriptor from here on. Made before any thread is started, since threads inherit the mask.
pub struct SignalsTaken(Signals);

impl SignalsTaken {
    /// Puts dispositions back to a daemon's, blocks what is read by descriptor, and makes orphans this process's children.
    pub fn take() -> io::Result<Self> {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        Ok(Self(Signals::take_over()?))
    }
}

fn clock() -> Time {
    let at = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Time(at.tv_sec as u64 * 1_000_000_000 + at.tv_nsec as u64)
}

fn random_node_id() -> io::Result<NodeId> {
    let mut bytes = [0; NodeId::WIDTH];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(NodeId(bytes))
}

impl<G: GcsLink> Node<G> {
    fn new(SignalsTaken(signals): SignalsTaken, start: Start<G>) -> io::Result<Self> {
        let Start { config, session, role, epoch, gcs, ready } = start;
        let mut servers = Servers::new(&session.logs())?;
        if let Role::Private(private) = &role {
            // First of all: it takes longest, and in parallel.
            servers.of(&private.environment)?;
        }
        let machine = Raylet::new(iosdk_raylet_core::Config {
            session: session.name().to_owned(),
            session_dir: session.dir().to_string_lossy().into_owned(),
            hostname: hardware::hostname(),
            resources: config.resources.clone(),
            arena_limit: config.arena_limit,
            workers_ahead: 1,
            infeasible_waits: config.infeasible_waits,
            ends_with_driver: matches!(role, Role::Private(_)),
            meters: matches!(role, Role::Standing(_)),
            ..iosdk_raylet_core::Config::new(0, epoch, random_node_id()?)
        });
        let history = History::open(&role)?;
        let poll = Poll::new()?;
        if let Some(history) = &history {
            poll.add(history.bell(), Source::History)?;
        }
        poll.add(signals.fd(), Source::Signals)?;
        poll.add(gcs.wake(), Source::Gcs)?;
        let mut node = Self {
            arena: iosdk_store::segment::create(config.arena_limit).map_err(io::Error::other)?,
            pin_table: iosdk_store::pins::create().map_err(io::Error::other)?,
            session,
            gcs,
            machine,
            now: clock(),
            inputs: VecDeque::new(),
            poll,
            timers: BTreeSet::new(),
            processes: BTreeMap::new(),
            role,
            listener: None,
            arriving: VecDeque::new(),
            jobs: BTreeMap::new(),
            submitted: Submitted::default(),
            gcs_child: None,
            servers,
            questions: Questions::default(),
            watch: Watch::default(),
            dead_sessions: BTreeSet::new(),
            history,
            signals,
            ending: None,
        };
        node.begin()?;
        ready()?;
        Ok(node)
    }

    /// The driver whose node it is, or whatever a standing node finds.
    fn begin(&mut self) -> io::Result<()> {
        for server in self.servers.all.keys().copied().collect::<Vec<_>>() {
            self.watch_fork_server(server)?;
        }
        match &self.role {
            Role::Private(private) => {
                let control = Connection::new(private.control.try_clone()?);
                let namespace = private.namespace.clone();
                self.driver_connected(control, Some(namespace))
            }
            Role::Standing(standing) => {
                let data = standing.data.clone();
                self.watch_gcs()?;
                self.find_submitted()?;
                let listener = listen(&data, "node.sock")?;
                self.poll.add(&listener, Source::Listener)?;
                self.listener = Some(listener);
                Ok(())
            }
        }
    }

    fn serve(&mut self) -> io::Result<()> {
        let mut events = Vec::new();
        self.settle()?;
        if let Err(error) = self.session.sweep() {
            complain!("raylet: cannot remove what earlier sessions left: {error}");
        }
        while self.ending.is_none() {
            self.poll.wait(self.until_next(), &mut events)?;
            self.now = clock();
            for (source, writable) in events.drain(..) {
                self.happened(source, writable)?;
            }
            self.run_timers()?;
            self.settle()?;
            self.send_logs()?;
        }
        Ok(())
    }

    fn until_next(&self) -> Option<u64> {
        if !self.inputs.is_empty() {
            // Brought about by the effects of a tick.
            return Some(0);
        }
        let timer = self.timers.first().map(|(at, _)| *at);
        let next = timer.into_iter().chain(self.machine.deadline()).min()?;
        Some((next - clock()).0)
    }

    /// Steps the machine with everything that happened, and with what performing its effects brought about.
    fn settle(&mut self) -> io::Result<()> {
        let mut effects = Vec::new();
        loop {
            if let Some(input) = self.inputs.pop_front() {
                self.machine.step(self.now, input, &mut effects);
            } else if self.machine.deadline().is_some_and(|at| at <= self.now) {
                self.machine.tick(self.now, &mut effects);
                // A machine that wants to run again at once does so in the next round, after others had their turn.
                return self.perform_all(effects).and_then(|()| self.ask_for_workers());
            } else {
                return self.ask_for_workers();
            }
            self.perform_all(std::mem::take(&mut effects))?;
        }
    }

    fn perform_all(&mut self, effects: Vec<Effect>) -> io::Result<()> {
        effects.into_iter().try_for_each(|effect| self.perform(effect))
    }

    fn happened(&mut self, source: Source, writable: bool) -> io::Result<()> {
        match source {
            Source::Signals => {
                if self.signals.drain()? {
                    self.end(Ending::Told);
                }
                self.reap()
            }
            Source::Gcs => self.hear_gcs(),
            Source::ForkServer(number) => self.hear_fork_server(number),
            Source::Listener => self.accept_drivers(),
            Source::Job(number) => self.submitted_gone(number),
            Source::GcsProcess => self.gcs_ended(),
            Source::History => self.hear_history(),
            Source::Control(number) => self.hear_process(number, writable),
            Source::Pidfd(number) => self.process_gone(number),
            Source::Stdout(number) => self.read_output(number, false),
            Source::Stderr(number) => self.read_output(number, true),
        }
    }

    fn run_timers(&mut self) -> io::Result<()> {
        while let Some((at, timer)) = self.timers.first().copied().filter(|(at, _)| *at <= self.now) {
            self.timers.remove(&(at, timer));
            match timer {
                Timer::ExitStatus(number) => self.tell_death(number)?,
                Timer::KillAfter(number) => {
                    if let Some(process) = self.processes.get(&number).filter(|process| process.pidfd.is_some()) {
                        process.kill();
                    }
                }
                Timer::SweepSessions => crate::family::kill_sessions(&std::mem::take(&mut self.dead_sessions))?,
                Timer::Status => self.read_status(),
                Timer::Pins => self.look_at_pins()?,
                Timer::IdleServer(number) => self.drop_idle_server(number)?,
                Timer::LookAtJob(number) => self.look_at_submitted(number),
                Timer::RestartGcs => self.restart_gcs()?,
                Timer::Question(request) => self.question_due(request),
                Timer::History => self.history_due(),
            }
        }
        Ok(())
    }

    pub(crate) fn after(&mut self, span: Span, timer: Timer) {
        self.timers.insert((self.now + span, timer));
    }

    fn hear_gcs(&mut self) -> io::Result<()> {
        match rustix::io::read(self.gcs.wake(), &mut [0; 8]) {
            Ok(_) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        while let Some(event) = self.gcs.try_recv() {
            let input = match event {
                GcsEvent::Up => Some(Input::GcsUp),
                GcsEvent::Down => Some(Input::GcsDown),
                GcsEvent::Message(message) => self.take_question(message)?.map(Input::FromGcs),
            };
            self.inputs.extend(input);
        }
        Ok(())
    }

    /// Messages of a process, in order. Its connection's end is not its death: the kernel tells that.
    pub(crate) fn hear_process(&mut self, number: u32, writable: bool) -> io::Result<()> {
        let Some(process) = self.processes.get_mut(&number) else { return Ok(()) };
        let Some(control) = process.control.as_mut() else { return Ok(()) };
        if writable && let Err(error) = control.flush() {
            return self.disconnect(number, &format!("cannot be written: {error}"));
        }
        match control.receive() {
            Ok(messages) => {
                let from = process.address;
                for message in messages {
                    match message {
                        ProcessToRaylet::Described { request, rows, total } => {
                            self.described(number, request, rows, total);
                        }
                        message => self.inputs.push_back(Input::FromProcess { from, message }),
                    }
                }
                self.follow_writer(number)
            }
            Err(ReadError::Closed) => self.disconnect(number, "ended"),
            Err(error) => self.disconnect(number, &format!("is not usable: {error}")),
        }
    }

    /// Without its connection a process is no use: it ends by itself, or is ended.
    fn disconnect(&mut self, number: u32, how: &str) -> io::Result<()> {
        let Some(process) = self.processes.get_mut(&number) else { return Ok(()) };
        let Some(control) = process.control.take() else { return Ok(()) };
        self.poll.remove(control.fd())?;
        let (is_driver, is_lost, pid) =
            (process.is_driver(), process.life == Life::Alive && !process.intended, process.pid);
        self.nobody_answers(number);
        if is_driver {
            return self.driver_gone(number);
        }
        if is_lost {
            complain!("raylet: the connection of process {pid} {how}");
            self.after(GRACE, Timer::KillAfter(number));
        }
        Ok(())
    }

    /// Asks the loop to say when the connection takes more, exactly while something waits for that.
    fn follow_writer(&mut self, number: u32) -> io::Result<()> {
        let Some(process) = self.processes.get_mut(&number) else { return Ok(()) };
        let Some(control) = &process.control else { return Ok(()) };
        if control.is_behind() != process.awaits_room {
            process.awaits_room = control.is_behind();
            self.poll.change(control.fd(), Source::Control(number), process.awaits_room)?;
        }
        Ok(())
    }

    /// Sends to a process, with the descriptors that belong to the message. To one that is gone: nothing.
    pub(crate) fn tell(&mut self, number: u32, message: &RayletToProcess) -> io::Result<()> {
        let Some(mut control) = self.processes.get_mut(&number).and_then(|process| process.control.take()) else {
            return Ok(());
        };
        let sent = match self.descriptors(number, message) {
            Some(fds) => control.send(message, &fds),
            None => {
                complain!("raylet: a message needs a mailbox that is gone: {message:?}");
                Ok(())
            }
        };
        if let Some(process) = self.processes.get_mut(&number) {
            process.control = Some(control);
        }
        match sent {
            Ok(()) => self.follow_writer(number),
            Err(error) => self.disconnect(number, &format!("cannot be written: {error}")),
        }
    }
}
