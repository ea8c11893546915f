//! The one thread of ours in a process. It never touches an interpreter: it reads the control socket, keeps deadlines, and drives
//! the machine while nobody waits, so that borrowers and the raylet are answered however busy user code is. With nothing
//! outstanding it sleeps for good.

use crate::core::{Core, Reply};
use crate::process::{JoinError, Process, pin_row};
use crate::signals;
use iosdk_complain::complain;
use iosdk_net::control::{ControlReader, ReadError, Received};
use iosdk_runtime_core::Input;
use iosdk_types::message::RayletToProcess;
use iosdk_types::{Key, Machine, Span, Time};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

/// How often it looks while calls are outstanding and nobody waits for them.
const TICK: Duration = Duration::from_millis(2);
/// The same while a waiting thread drives.
const LED_TICK: Duration = Duration::from_millis(10);
/// How long freed extents go back at once after somebody had to wait for room.
const KEEP_NONE: Span = Span::from_secs(10);
/// Ticks without anything outstanding before it sleeps for good.
const QUIET_TICKS: u32 = 50;
/// Lanes that grew stay so for this long after things went quiet.
const KEEP_GROWN: Span = Span::from_secs(10);

/// Wakes the event thread for reasons that come over no lane and no socket.
pub(crate) struct Alarm(OwnedFd);

impl Alarm {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    pub(crate) fn ring(&self) {
        // Only a full counter can refuse, and then it is readable already.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    fn silence(&self) {
        // Nothing to read is as good as read.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

type Early = Vec<Received<RayletToProcess>>;

/// Waits for the answer to the hello; what came behind it is kept.
pub(crate) fn first_message(
    reader: &mut ControlReader,
    stream: &UnixStream,
) -> Result<(RayletToProcess, Vec<OwnedFd>, Early), JoinError> {
    loop {
        let mut fds = [PollFd::new(stream, PollFlags::IN)];
        match rustix::event::poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(JoinError::System(error.into())),
        }
        let mut messages = match reader.read::<RayletToProcess>(stream.as_fd()) {
            Ok(messages) => messages,
            Err(ReadError::Closed) => return Err(JoinError::HungUp),
            Err(error) => return Err(JoinError::System(std::io::Error::other(error.to_string()))),
        };
        if !messages.is_empty() {
            let (welcome, fds) = messages.remove(0);
            return Ok((welcome, fds, messages));
        }
    }
}

pub(crate) fn start(
    process: &Arc<Process>,
    reader: ControlReader,
    stream: UnixStream,
    early: Early,
) -> std::io::Result<Vec<JoinHandle<()>>> {
    let process = process.clone();
    let thread = signals::with_all_blocked(|| {
        std::thread::Builder::new()
            .name("iosdk-events".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || Events { process, reader, stream, quiet: 0, shrink_at: None }.run(early))
    })?;
    Ok(vec![thread])
}

/// Stops a running call: raises in its thread, or with `force` ends the process.
pub(crate) fn interrupt(process: &Process, call: Key, force: bool) {
    if process.running.load(Ordering::Acquire) != call.0 {
        // It ended meanwhile: an interrupt now would hit another one.
        return;
    }
    if force {
        signals::kill_own_group();
    }
    signals::interrupt_main_thread();
}

/// Memory of lanes that a burst made grow goes back some time after it. Returns when to look again.
fn shrink_lanes(core: &mut Core, quiet: bool, at: Option<Time>, now: Time) -> Option<Time> {
    if !quiet || !core.links.any_grown() {
        return None;
    }
    match at {
        Some(at) if at <= now => {
            core.links.shrink();
            None
        }
        Some(at) => Some(at),
        None => Some(now + KEEP_GROWN),
    }
}

struct Events {
    process: Arc<Process>,
    reader: ControlReader,
    stream: UnixStream,
    quiet: u32,
    shrink_at: Option<Time>,
}

impl Events {
    fn run(mut self, early: Early) {
        self.handle_all(early);
        while self.process.is_open() {
            let timeout = self.turn();
            if self.process.is_open() && !self.poll(timeout) {
                break;
            }
        }
    }

    /// Drives, keeps deadlines, and says how long to sleep.
    fn turn(&mut self) -> Option<Duration> {
        let process = &self.process;
        let now = Process::now();
        // Whoever holds the lock drives; waiting for it would only take the core away from it.
        let Some(mut core) = process.enter_if_free() else { return Some(TICK) };
        core.tick(now);
        core.store.trim(now, |row| !core.dead.contains(&row));
        core.give_back();
        if !core.waiters.has_leader {
            process.arm(&mut core);
        }
        let active = core.is_active();
        self.quiet = if active { 0 } else { self.quiet + 1 };
        let led = core.waiters.has_leader;
        let deadline = core.owner.deadline().map(|deadline| Duration::from_nanos((deadline - now).0));
        let quiet = self.quiet > QUIET_TICKS;
        if quiet {
            process.ticking.store(false, Ordering::Release);
        }
        self.shrink_at = shrink_lanes(&mut core, quiet, self.shrink_at, now);
        process.leave_core(core);
        if quiet {
            let shrink = self.shrink_at.map(|at| Duration::from_nanos((at - now).0));
            return deadline.into_iter().chain(shrink).min();
        }
        let tick = if led { LED_TICK } else { TICK };
        Some(deadline.map_or(tick, |deadline| deadline.min(tick)))
    }

    /// False at the end of the connection.
    fn poll(&mut self, timeout: Option<Duration>) -> bool {
        let process = self.process.clone();
        let writes = if process.has_backlog() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let bell = process.mailbox.doorbell().bell();
        let mut fds = [
            PollFd::new(&self.stream, writes),
            PollFd::new(&process.alarm.0, PollFlags::IN),
            PollFd::from_borrowed_fd(bell, PollFlags::IN),
        ];
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        });
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                complain!("iosdk: waiting for events failed: {error}");
                return self.hung_up();
            }
        }
        let [control, alarm, bell] = fds.map(|fd| fd.revents());
        if !alarm.is_empty() {
            process.alarm.silence();
        }
        if !bell.is_empty() && process.mailbox.doorbell().silence().is_err() {
            return self.hung_up();
        }
        if control.contains(PollFlags::OUT) {
            process.flush_backlog();
        }
        if control.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            return self.read_control();
        }
        true
    }

    fn read_control(&mut self) -> bool {
        match self.reader.read::<RayletToProcess>(self.stream.as_fd()) {
            Ok(messages) => {
                self.handle_all(messages);
                true
            }
            Err(_) => self.hung_up(),
        }
    }

    /// The daemon is gone. A worker without one ends, whatever its main thread does.
    fn hung_up(&self) -> bool {
        if self.process.is_open() {
            self.process.close();
            if !self.process.is_driver {
                signals::kill_own_group();
            }
        }
        false
    }

    fn handle_all(&self, messages: Early) {
        if messages.is_empty() {
            return;
        }
        let mut core = self.process.enter();
        for (message, fds) in messages {
            self.handle(&mut core, message, fds);
        }
        core.waiters.wake_all();
        self.process.leave_core(core);
    }

    fn handle(&self, core: &mut Core, message: RayletToProcess, fds: Vec<OwnedFd>) {
        let now = Process::now();
        match message {
            RayletToProcess::Attach { peer, lane_in, lane_out, .. } => {
                let Some(mailbox) = fds.into_iter().next() else { return };
                if let Err(error) = core.links.attach(&self.process.mailbox, peer, mailbox, lane_in, lane_out) {
                    complain!("iosdk: opening lanes to process {peer} failed: {error}");
                    return;
                }
                core.step(now, Input::FromRaylet(message));
                core.drain_lane(now, lane_in);
            }
            RayletToProcess::PeerDying { peer } => {
                if let Some(lane) = core.links.lane_of(peer) {
                    core.drain_lane(now, lane);
                }
                core.step(now, Input::FromRaylet(message));
            }
            RayletToProcess::PeerDead { peer, .. } => {
                self.process.drain_everything(core);
                core.step(now, Input::FromRaylet(message));
                core.links.detach(peer);
                core.dead.insert(pin_row(peer));
                core.store.owner_died(peer, |row| !core.dead.contains(&row));
                core.give_back();
            }
            RayletToProcess::ExtentGranted { request, offset, bytes } => {
                core.answer(request, Reply::Extent { offset, bytes });
            }
            RayletToProcess::ExtentRefused { request, report } => core.answer(request, Reply::Refused(report)),
            RayletToProcess::Answer { request, answer } => core.answer(request, Reply::Answer(answer)),
            RayletToProcess::MakeRoom => {
                core.keep_none_until = now + KEEP_NONE;
                core.store.drain();
                core.give_back();
            }
            RayletToProcess::Describe { request, query, limit } => core.describe(now, request, query, limit),
            RayletToProcess::Log { lines } => self.process.add_logs(lines),
            RayletToProcess::Welcome { .. } => {}
            RayletToProcess::Granted { .. }
            | RayletToProcess::Reclaim { .. }
            | RayletToProcess::Infeasible { .. }
            | RayletToProcess::NoSuchPeer { .. }
            | RayletToProcess::ActorAlive { .. }
            | RayletToProcess::ActorDead { .. }
            | RayletToProcess::Exit { .. }
            | RayletToProcess::Retire => core.step(now, Input::FromRaylet(message)),
        }
    }
}
