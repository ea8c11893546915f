//! The task that owns the GCS machine: everything that reaches it comes through one queue, in order.

use iosdk_gcs_core::{Effect, Input};
use iosdk_types::message::{GcsToRaylet, RayletToGcs};
use iosdk_types::{Machine, Time};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long a node whose link broke may take to come back before it counts as lost.
const REJOIN: Duration = Duration::from_secs(5);

/// What the links tell the machine's task.
pub(crate) enum Event {
    /// The first message of a link named its node. `link` tells this link from an earlier one of the same node.
    Opened {
        node: u32,
        link: u64,
        outbox: mpsc::UnboundedSender<GcsToRaylet>,
    },
    Message {
        node: u32,
        message: RayletToGcs,
    },
    Closed {
        node: u32,
        link: u64,
    },
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
}

/// Runs until every link and the listener are gone.
pub(crate) async fn run<M>(machine: M, mut events: mpsc::UnboundedReceiver<Event>)
where
    M: Machine<Input = Input, Effect = Effect>,
{
    let mut seat = Seat { machine, start: Instant::now(), links: BTreeMap::new(), effects: Vec::new() };
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
            Some(event) => seat.take(event),
            None => return,
        }
    }
}

impl<M: Machine<Input = Input, Effect = Effect>> Seat<M> {
    fn now(&self) -> Time {
        Time(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn next_wake(&self) -> Option<Instant> {
        let deadline = self.machine.deadline().map(|at| self.start + Duration::from_nanos(at.0));
        self.links.values().filter_map(|link| link.lost_at).chain(deadline).min()
    }

    fn wake(&mut self) {
        let moment = Instant::now();
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
            self.perform();
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Opened { node, link, outbox } => {
                self.links.insert(node, Link { id: link, outbox: Some(outbox), lost_at: None });
            }
            Event::Message { node, message } => self.step(Input::FromRaylet { node, message }),
            Event::Closed { node, link } => {
                // An older link of a node that is back already closes without meaning.
                if let Some(open) = self.links.get_mut(&node).filter(|open| open.id == link) {
                    open.outbox = None;
                    open.lost_at = Some(Instant::now() + REJOIN);
                }
            }
        }
    }

    fn step(&mut self, input: Input) {
        let now = self.now();
        self.machine.step(now, input, &mut self.effects);
        self.perform();
    }

    fn perform(&mut self) {
        for effect in self.effects.drain(..) {
            match effect {
                Effect::ToRaylet { node, message } => {
                    // A message to a node that is away is dropped: rejoining brings both sides up to date.
                    if let Some(outbox) = self.links.get(&node).and_then(|link| link.outbox.as_ref()) {
                        let _gone_when_closing = outbox.send(message);
                    }
                }
            }
        }
    }
}
