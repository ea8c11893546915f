//! The task that owns the GCS machine: everything that reaches it comes through one queue, in order. What tells the outside of
//! state that must last goes through the event log first.

use crate::collect::Collecting;
use crate::event::{Event, Released, Submitted};
use crate::journal::{Journal, Order, Work};
use iosdk_gcs_core::{ApiCall, ApiReply, Effect, Input, NewJob, Snapshot, waits_for_log};
use iosdk_types::message::{GcsToRaylet, RayletToGcs};
use iosdk_types::{JobCause, JobReport, Machine, Time};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// How long a node whose link broke may take to come back before it counts as lost.
const REJOIN: Duration = Duration::from_secs(5);

/// Where the machine's records go. The cluster of one driver has none: its state ends with the driver.
pub(crate) struct Log<M> {
    pub(crate) journal: Journal,
    /// What of the machine's state must last.
    pub(crate) snapshot: fn(&M) -> Snapshot,
}

struct Link {
    id: u64,
    outbox: Option<mpsc::UnboundedSender<GcsToRaylet>>,
    lost_at: Option<Instant>,
}

struct Seat<M> {
    machine: M,
    start: Instant,
    links: BTreeMap<u32, Link>,
    effects: Vec<Effect>,
    log: Option<Log<M>>,
    /// The number of the last call, and who waits for the answers of which.
    calls: u64,
    answers: BTreeMap<u64, oneshot::Sender<ApiReply>>,
    /// What is asked of the nodes now.
    collecting: Collecting,
}

/// Runs until it is told to end, or every link and listener is gone. What is on its way into the log is durable then.
pub(crate) async fn run<M>(machine: M, mut events: mpsc::UnboundedReceiver<Event>, log: Option<Log<M>>)
where
    M: Machine<Input = Input, Effect = Effect>,
{
    let (links, answers) = (BTreeMap::new(), BTreeMap::new());
    let mut seat = Seat {
        machine,
        start: Instant::now(),
        links,
        effects: Vec::new(),
        log,
        calls: 0,
        answers,
        collecting: Collecting::new(now_ms()),
    };
    seat.step(Input::Clock { now_ms: now_ms() });
    loop {
        let event = match seat.next_wake() {
            None => events.recv().await,
            Some(at) => match tokio::time::timeout_at(at, events.recv()).await {
                Ok(event) => event,
                Err(_elapsed) => {
                    seat.wake();
                    continue;
                }
            },
        };
        match event {
            None | Some(Event::End) => return,
            Some(event) => seat.take(event),
        }
    }
}

/// Wall clock, milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl<M: Machine<Input = Input, Effect = Effect>> Seat<M> {
    fn now(&self) -> Time {
        Time(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn next_wake(&self) -> Option<Instant> {
        let deadline = self.machine.deadline().map(|at| self.start + Duration::from_nanos(at.0));
        let collected = self.collecting.deadline();
        self.links.values().filter_map(|link| link.lost_at).chain(deadline).chain(collected).min()
    }

    fn wake(&mut self) {
        let moment = Instant::now();
        self.collecting.give_up(moment);
        let lost: Vec<u32> = self
            .links
            .iter()
            .filter(|(_, link)| link.lost_at.is_some_and(|at| at <= moment))
            .map(|(n, _)| *n)
            .collect();
        for node in lost {
            self.links.remove(&node);
            self.step(Input::NodeLost { node });
        }
        let now = self.now();
        if self.machine.deadline().is_some_and(|at| at <= now) {
            self.machine.tick(now, &mut self.effects);
            self.perform(None);
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Opened { node, link, outbox } => {
                self.links.insert(node, Link { id: link, outbox: Some(outbox), lost_at: None });
            }
            Event::Message { node, message: RayletToGcs::Report { request, report } } => {
                self.collecting.reported(node, request, report);
            }
            Event::Message { node, message } => self.step(Input::FromRaylet { node, message }),
            Event::Closed { node, link } => {
                // An older link of a node that is back already closes without meaning.
                if let Some(open) = self.links.get_mut(&node).filter(|open| open.id == link) {
                    open.outbox = None;
                    open.lost_at = Some(Instant::now() + REJOIN);
                }
            }
            Event::Api { call, answer } => {
                let request = self.expect(answer);
                self.step(Input::Api { request, call });
            }
            Event::Submit { job, submitted, answer } => self.submit(*job, submitted, answer),
            Event::Read { numbers, answer } => self.order(Order::Read { numbers, answer }),
            Event::Collect { query, limit, answer } => {
                let outboxes = self.links.iter().filter_map(|(node, link)| Some((*node, link.outbox.as_ref()?)));
                self.collecting.ask(query, limit, answer, outboxes);
            }
            Event::Ping { answer } => {
                let _who_asked_has_gone = answer.send(());
            }
            Event::Released(released) => released.into_iter().for_each(|released| self.release(released)),
            Event::End => {}
        }
    }

    fn expect(&mut self, answer: oneshot::Sender<ApiReply>) -> u64 {
        self.calls += 1;
        self.answers.insert(self.calls, answer);
        self.calls
    }

    /// Only the machine says under which number and name a job is here, and whether it was before.
    fn submit(&mut self, job: NewJob, mut submitted: Box<Submitted>, answer: oneshot::Sender<ApiReply>) {
        let (now, request) = (self.now(), self.expect(answer));
        self.machine.step(now, Input::Api { request, call: ApiCall::Submit(job) }, &mut self.effects);
        let accepted = self.effects.iter().find_map(|effect| match effect {
            Effect::Reply { reply: ApiReply::Accepted { number, submission_id, fresh: true }, .. } => {
                submitted.stored.spec.submission_id.clone_from(submission_id);
                Some(*number)
            }
            _ => None,
        });
        self.perform(accepted.map(|number| (number, submitted)));
    }

    fn release(&mut self, released: Released) {
        match released {
            Released::Effect(effect) => self.act(*effect),
            Released::CannotStart { node, number, why } => {
                let report = JobReport::unseen(JobCause::CannotStart(why), 0, now_ms());
                self.step(Input::FromRaylet { node, message: RayletToGcs::JobEnded { number, report } });
            }
        }
    }

    fn step(&mut self, input: Input) {
        let now = self.now();
        self.machine.step(now, input, &mut self.effects);
        self.perform(None);
    }

    fn perform(&mut self, accepted: Option<(u64, Box<Submitted>)>) {
        let mut work = Work { accepted, ..Work::default() };
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Append(record) => work.records.push(record),
                effect if self.log.is_some() && waits_for_log(&effect) => work.held.push(effect),
                effect => self.act(effect),
            }
        }
        self.effects = effects;
        let Some(log) = &self.log else { return };
        if log.journal.wants_snapshot() {
            work.snapshot = Some(Box::new((log.snapshot)(&self.machine)));
        }
        if !work.is_empty() {
            self.order(Order::Write(work));
        }
    }

    fn order(&self, order: Order) {
        if let Some(log) = &self.log {
            // Nothing could be acknowledged any more, so the head is better off ending.
            assert!(log.journal.order(order), "the event log's thread has ended; what it said last is above");
        }
    }

    fn act(&mut self, effect: Effect) {
        match effect {
            Effect::ToRaylet { node, message } => {
                // A message to a node that is away is dropped: rejoining brings both sides up to date.
                if let Some(outbox) = self.links.get(&node).and_then(|link| link.outbox.as_ref()) {
                    let _gone_when_closing = outbox.send(message);
                }
            }
            Effect::Reply { request, reply } => {
                if let Some(answer) = self.answers.remove(&request) {
                    let _client_went_away = answer.send(reply);
                }
            }
            // Without a log nothing is written down, and nobody submits jobs.
            Effect::Append(_) | Effect::StartJob { .. } => {}
            // The thread that wrote it down has seen to it.
            Effect::Forgotten { .. } => {}
        }
    }
}
