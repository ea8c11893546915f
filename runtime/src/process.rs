//! A process's place in a cluster: joining, the owner lock's way in and out, leaving.

use crate::core::{After, Core};
use crate::events;
use crate::fork_guard::ForkGuard;
use crate::history;
use crate::link::Links;
use crossbeam_queue::SegQueue;
use iosdk_net::control::{ControlReader, ControlWriter};
use iosdk_net::doorbell::Activity;
use iosdk_net::mailbox::OwnMailbox;
use iosdk_runtime_core::{Input, Owner};
use iosdk_store::{Pins, Segment, Store};
use iosdk_types::message::raylet_to_process::LogLine;
use iosdk_types::message::{Attach, ProcessToRaylet, RayletToProcess, VERSION};
use iosdk_types::{Address, JobId, Key, NodeId, Time, WorkerId};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// This process's row of the pin table. The last row is the raylet's own.
pub(crate) fn pin_row(address: Address) -> u32 {
    address.process % (iosdk_store::pins::ROWS - 1)
}

/// What the raylet told us when we joined.
#[derive(Clone, Debug)]
pub struct Session {
    pub address: Address,
    pub node: NodeId,
    pub job: JobId,
    pub name: String,
    pub dir: String,
    pub node_ip: String,
    pub arena_limit: u64,
}

impl Session {
    pub fn worker_id(&self) -> WorkerId {
        WorkerId::of(self.node, self.address)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error(
        "the cluster's daemon speaks protocol version {theirs}, this process {ours}: use the same release for both"
    )]
    Version { theirs: u32, ours: u32 },
    #[error("the cluster's daemon ended before it answered; its own output says why")]
    HungUp,
    #[error("joining the cluster: {0}")]
    System(#[from] std::io::Error),
    #[error("joining the cluster: {0}")]
    Store(#[from] iosdk_store::StoreError),
    #[error("joining the cluster: the daemon answered with something else than a welcome")]
    Confused,
}

pub(crate) struct Control {
    writer: ControlWriter,
    stream: UnixStream,
}

impl Control {
    fn send(&mut self, message: &ProcessToRaylet) -> std::io::Result<()> {
        self.writer.send(self.stream.as_fd(), message, &[])
    }
}

#[derive(Default)]
pub(crate) struct Logs {
    pub(crate) queue: VecDeque<LogLine>,
    pub(crate) ended: bool,
}

pub struct Process {
    core: Mutex<Core>,
    pub(crate) mailbox: OwnMailbox,
    control: Mutex<Control>,
    session: Session,
    store: Arc<Store>,
    fork_guard: ForkGuard,
    /// Handles dropped since the last step; dropping never locks.
    released: SegQueue<Key>,
    /// The event thread looks every few milliseconds; otherwise a submitter has to wake it.
    pub(crate) ticking: AtomicBool,
    pub(crate) alarm: events::Alarm,
    open: AtomicBool,
    /// Bits of the key of the call that runs, 0 for none.
    pub(crate) running: AtomicU64,
    logs: Mutex<Logs>,
    logs_came: Condvar,
    threads: Mutex<Vec<JoinHandle<()>>>,
    pub(crate) is_driver: bool,
    /// Average length of recent waits in nanoseconds: spinning pays only where answers come soon.
    pub(crate) wait_ewma_ns: AtomicU64,
}

/// The running call waits for others while this lives.
pub(crate) struct Blocked<'a>(Option<&'a Process>);

impl Drop for Blocked<'_> {
    fn drop(&mut self) {
        if let Some(process) = self.0 {
            process.mailbox.doorbell().publish_status(Activity::Running, Process::now().0);
        }
    }
}

impl Process {
    /// Says hello over the control socket, maps what the raylet hands out, and starts the event thread. `attach`: of a driver
    /// that joins a standing head.
    pub fn join(control: OwnedFd, is_driver: bool, attach: Option<Attach>) -> Result<Arc<Self>, JoinError> {
        let stream = UnixStream::from(control);
        let mut writer = ControlWriter::default();
        writer.send(
            stream.as_fd(),
            &ProcessToRaylet::Hello { version: VERSION, pid: std::process::id() as i32, attach },
            &[],
        )?;
        let mut reader = ControlReader::default();
        let (welcome, mut fds, early) = events::first_message(&mut reader, &stream)?;
        let RayletToProcess::Welcome {
            version, address, node, job, session, session_dir, node_ip, arena_limit, ..
        } = welcome
        else {
            return Err(JoinError::Confused);
        };
        if version.abs_diff(VERSION) > 1 {
            return Err(JoinError::Version { theirs: version, ours: VERSION });
        }
        let history = history::writer(fds.split_off(fds.len().min(3)))?;
        let Ok([mailbox, arena, pins]) = <[OwnedFd; 3]>::try_from(fds) else { return Err(JoinError::Confused) };
        let mailbox = OwnMailbox::map(mailbox)?;
        let store = Store::new(address, 0, Segment::map(arena)?, Pins::map(pins, pin_row(address))?);
        let session = Session { address, node, job, name: session, dir: session_dir, node_ip, arena_limit };
        let mut core = Core::new(Owner::new(address, job), Links::default(), store.clone());
        if history.is_some() {
            core.owner.keep_history();
        }
        core.history = history;
        let process = Arc::new(Self {
            core: Mutex::new(core),
            mailbox,
            control: Mutex::new(Control { writer, stream: stream.try_clone()? }),
            session,
            store,
            fork_guard: ForkGuard::new()?,
            released: SegQueue::new(),
            ticking: AtomicBool::new(false),
            alarm: events::Alarm::new()?,
            open: AtomicBool::new(true),
            running: AtomicU64::new(0),
            logs: Mutex::default(),
            logs_came: Condvar::new(),
            threads: Mutex::default(),
            is_driver,
            wait_ewma_ns: AtomicU64::new(0),
        });
        let threads = events::start(&process, reader, stream, early)?;
        *process.threads.lock().unwrap_or_else(PoisonError::into_inner) = threads;
        Ok(process)
    }

    pub fn session(&self) -> &Session {
        &self.session
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// True in a fork of the process that joined: nothing of the session may be used there.
    #[inline]
    pub fn is_fork(&self) -> bool {
        self.fork_guard.is_fork()
    }

    /// Sleeps that ended with their time although somebody had rung.
    pub fn missed_wakeups(&self) -> u64 {
        self.mailbox.doorbell().missed()
    }

    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    pub(crate) fn now() -> Time {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        Time(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
    }

    /// The owner lock as it is: for a look that must not move anything.
    pub(crate) fn peek(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the owner lock, settles the handles dropped since and reads what peers wrote. Give it back with `leave_core`.
    pub(crate) fn enter(&self) -> MutexGuard<'_, Core> {
        // A panic under the lock is a bug of ours; what it left is still what there is.
        let core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        self.caught_up(core)
    }

    /// As `enter`, for the leader that wakes: what it finds is its own, nobody has to call it.
    pub(crate) fn enter_from_lead(&self) -> MutexGuard<'_, Core> {
        let mut core = self.peek();
        core.waiters.has_leader = false;
        self.caught_up(core)
    }

    /// As `enter`, but not when somebody is inside.
    pub(crate) fn enter_if_free(&self) -> Option<MutexGuard<'_, Core>> {
        match self.core.try_lock() {
            Ok(core) => Some(self.caught_up(core)),
            Err(std::sync::TryLockError::Poisoned(poisoned)) => Some(self.caught_up(poisoned.into_inner())),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }

    fn caught_up<'a>(&self, mut core: MutexGuard<'a, Core>) -> MutexGuard<'a, Core> {
        if !self.released.is_empty() {
            self.settle(&mut core);
        }
        self.drive(&mut core);
        core
    }

    fn settle(&self, core: &mut Core) {
        let objects: SmallVec<[Key; 2]> = std::iter::from_fn(|| self.released.pop()).collect();
        core.step(Self::now(), Input::Release { objects });
    }

    /// Gives the lock back and does what must happen outside it.
    pub(crate) fn leave_core(&self, mut core: MutexGuard<'_, Core>) {
        let has_mail = !core.outbox.is_empty();
        let after = std::mem::take(&mut core.after);
        let leader_called = core.waiters.take_leader_called();
        let wants_ticks = !self.ticking.load(Ordering::Relaxed) && core.is_active();
        drop(core);
        if leader_called {
            self.mailbox.doorbell().nudge();
        }
        if has_mail {
            self.flush_control();
        }
        if wants_ticks {
            self.wake_events();
        }
        for after in after {
            match after {
                After::Interrupt { call, force } => events::interrupt(self, call, force),
            }
        }
    }

    /// While no thread sleeps on the doorbell, urgent messages reach the event thread.
    pub(crate) fn arm(&self, core: &mut Core) {
        while !self.mailbox.doorbell().arm() {
            self.drive(core);
        }
    }

    pub(crate) fn wake_events(&self) {
        if !self.ticking.swap(true, Ordering::AcqRel) {
            self.alarm.ring();
        }
    }

    /// The control lock is taken first, so that messages leave in the order the machine asked for them.
    pub(crate) fn flush_control(&self) {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let mail = std::mem::take(&mut self.core.lock().unwrap_or_else(PoisonError::into_inner).outbox);
        for message in mail {
            if control.send(&message).is_err() {
                // The event thread sees the end of the connection and closes the session.
                break;
            }
        }
    }

    /// What a full socket kept back; true when something is still left.
    pub(crate) fn flush_backlog(&self) -> bool {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        // An error here is the end of the connection, which the reading side reports.
        let Control { writer, stream } = &mut *control;
        matches!(writer.flush(stream.as_fd()), Ok(false))
    }

    pub(crate) fn has_backlog(&self) -> bool {
        self.control.lock().unwrap_or_else(PoisonError::into_inner).writer.wants_write()
    }

    /// Drops one handle. Never locks and never blocks: called by destructors.
    pub fn release(&self, object: Key) {
        if self.is_fork() {
            return;
        }
        self.released.push(object);
        if !self.ticking.load(Ordering::Relaxed) {
            self.wake_events();
        }
    }

    pub(crate) fn lock_logs(&self) -> MutexGuard<'_, Logs> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wait_logs<'a>(&'a self, logs: MutexGuard<'a, Logs>) -> MutexGuard<'a, Logs> {
        self.logs_came.wait(logs).unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wait_logs_for<'a>(&'a self, logs: MutexGuard<'a, Logs>, limit: Duration) -> MutexGuard<'a, Logs> {
        self.logs_came.wait_timeout(logs, limit).unwrap_or_else(PoisonError::into_inner).0
    }

    pub(crate) fn add_logs(&self, lines: Vec<LogLine>) {
        self.lock_logs().queue.extend(lines);
        self.logs_came.notify_all();
    }

    /// Says in the status word that the running call waits, for as long as the answer lives.
    pub(crate) fn say_blocked(&self) -> Blocked<'_> {
        let runs = self.running.load(Ordering::Relaxed) != 0;
        if runs {
            self.mailbox.doorbell().publish_status(Activity::Blocked, Self::now().0);
        }
        Blocked(runs.then_some(self))
    }

    /// The connection is gone or given up: nothing waits any more.
    pub(crate) fn close(&self) {
        self.open.store(false, Ordering::Release);
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        core.closed = true;
        core.waiters.wake_all();
        drop(core);
        self.mailbox.doorbell().nudge();
        self.lock_logs().ended = true;
        self.logs_came.notify_all();
    }

    /// Leaves the cluster: waiters come back, what was to be said is said, threads end. Views stay readable.
    pub fn leave(&self) {
        {
            let core = self.enter();
            self.leave_core(core);
        }
        self.close();
        let control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        // The peer may have hung up already.
        let _ = control.stream.shutdown(std::net::Shutdown::Both);
        drop(control);
        self.alarm.ring();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A panic in our thread was printed when it happened.
            let _ = thread.join();
        }
    }
}
