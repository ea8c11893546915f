//! The machine's end of the event log. What it gives away here is made durable by a thread of its own (`writer.rs`); what may
//! be told only then comes back as `Event::Released`, in order.

use crate::data::DataDir;
use crate::event::{Event, Submitted};
use crate::stored::Stored;
use crate::writer::Writer;
use iosdk_gcs_core::{Effect, Record, Snapshot};
use iosdk_gcs_log::EventStore;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use tokio::sync::{mpsc as later, oneshot, watch};

/// What one step of the machine asks for.
#[derive(Default)]
pub(crate) struct Work {
    /// Under its number: a job that is accepted by one of `records`.
    pub(crate) accepted: Option<(u64, Box<Submitted>)>,
    pub(crate) records: Vec<Record>,
    /// To be released once all of the above is durable.
    pub(crate) held: Vec<Effect>,
    /// The state with these records, to replace all records so far.
    pub(crate) snapshot: Option<Box<Snapshot>>,
}

impl Work {
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.held.is_empty() && self.snapshot.is_none()
    }
}

pub(crate) enum Order {
    Write(Work),
    Read { numbers: Vec<u64>, answer: oneshot::Sender<Vec<Option<Stored>>> },
}

pub(crate) struct Journal {
    orders: Option<mpsc::Sender<Order>>,
    /// Dropped to say that nobody waits for room on the disk any more.
    closing: Option<mpsc::Sender<()>>,
    grown: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What the log cannot do now, and why; none while it works.
pub(crate) type Stuck = watch::Receiver<Option<String>>;

impl Journal {
    /// `records`: how many the log holds since its last snapshot.
    pub(crate) fn start(
        store: Box<dyn EventStore>,
        records: usize,
        data: Arc<DataDir>,
        events: later::UnboundedSender<Event>,
    ) -> io::Result<(Self, Stuck)> {
        let (orders, queue) = mpsc::channel();
        let (closing, closed) = mpsc::channel();
        let (told, stuck) = watch::channel(None);
        let grown = Arc::new(AtomicBool::new(false));
        let writer = Writer::new(store, records, data, (events, told), (closed, Arc::clone(&grown)));
        let thread = std::thread::Builder::new().name("event-log".to_owned()).spawn(move || writer.run(&queue))?;
        Ok((Self { orders: Some(orders), closing: Some(closing), grown, thread: Some(thread) }, stuck))
    }

    /// False: the thread has ended, which only a panic of its own makes it do.
    #[must_use]
    pub(crate) fn order(&self, order: Order) -> bool {
        self.orders.as_ref().is_some_and(|orders| orders.send(order).is_ok())
    }

    /// True once whenever the log has grown so much that a snapshot should take its place.
    pub(crate) fn wants_snapshot(&self) -> bool {
        self.grown.load(Ordering::Relaxed) && self.grown.swap(false, Ordering::Relaxed)
    }
}

impl Drop for Journal {
    /// Waits until all that was given away is durable, unless the disk takes nothing.
    fn drop(&mut self) {
        (self.orders, self.closing) = (None, None);
        if let Some(thread) = self.thread.take() {
            let _its_panic_was_printed = thread.join();
        }
    }
}
