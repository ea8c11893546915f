//! The raylet's end of a link, on a thread of its own; and a GCS in the raylet's own process, on the same thread: the same RPC
//! over a socket pair.

use crate::event::Event;
use crate::link;
use crate::seat;
use crate::service::GcsService;
use iosdk_complain::complain;
use iosdk_gcs_core::{Effect, Input};
use iosdk_types::Machine;
use iosdk_types::message::{GcsToRaylet, RayletToGcs};
use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, mpsc as queue};
use std::thread::JoinHandle;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Server;

/// What the link tells its raylet.
#[derive(Debug)]
pub enum LinkEvent {
    Up,
    Down,
    Message(GcsToRaylet),
}

/// The raylet's end. Dropping it ends the GCS and waits for its thread.
pub struct LocalLink {
    outbox: Option<mpsc::UnboundedSender<RayletToGcs>>,
    inbox: queue::Receiver<LinkEvent>,
    wake: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl LocalLink {
    /// Said after `Down` it is lost.
    pub fn send(&self, message: RayletToGcs) {
        if let Some(outbox) = &self.outbox {
            let _thread_ended = outbox.send(message);
        }
    }

    pub fn try_recv(&self) -> Option<LinkEvent> {
        self.inbox.try_recv().ok()
    }

    /// An eventfd, readable when `try_recv` may have something. Read it before calling `try_recv`.
    pub fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

impl Drop for LocalLink {
    fn drop(&mut self) {
        self.outbox = None;
        if let Some(thread) = self.thread.take() {
            let _its_panic_was_printed = thread.join();
        }
    }
}

/// For one thread: nothing of the GCS runs beside itself.
pub(crate) fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// What a link's thread hears from its raylet, and how it tells it things.
pub(crate) type Said = mpsc::UnboundedReceiver<RayletToGcs>;
pub(crate) type Tell = Arc<dyn Fn(LinkEvent) + Send + Sync>;

impl LocalLink {
    /// Starts the thread that runs `serve`. It inherits the signal mask of its caller, who blocks what only the main thread may
    /// take.
    pub(crate) fn start<S, F>(runtime: Runtime, serve: S) -> io::Result<Self>
    where
        S: FnOnce(Said, Tell) -> F + Send + 'static,
        F: Future<Output = ()>,
    {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (outbox, said) = mpsc::unbounded_channel();
        let (events, inbox) = queue::channel();
        let ring = Arc::clone(&wake);
        let tell = Arc::new(move |event| {
            let _raylet_ended = events.send(event);
            // It can only fail when the counter is full, and then the raylet is awake anyway.
            let _full = rustix::io::write(&ring, &1u64.to_ne_bytes());
        });
        let thread = std::thread::Builder::new().name("gcs".to_owned()).spawn(move || {
            runtime.block_on(serve(said, tell));
            runtime.shutdown_background();
        })?;
        Ok(Self { outbox: Some(outbox), inbox, wake, thread: Some(thread) })
    }
}

/// A GCS that remembers nothing beyond this process.
pub fn start_local<M>(machine: M) -> io::Result<LocalLink>
where
    M: Machine<Input = Input, Effect = Effect> + Send + 'static,
{
    LocalLink::start(runtime()?, move |said, tell| serve(machine, said, tell))
}

async fn serve<M>(machine: M, said: Said, tell: Tell)
where
    M: Machine<Input = Input, Effect = Effect> + Send + 'static,
{
    let (events, queue) = mpsc::unbounded_channel::<Event>();
    tokio::spawn(seat::run(machine, queue, None));
    let (arrivals, incoming) = mpsc::unbounded_channel::<io::Result<UnixStream>>();
    let listener =
        Server::builder().serve_with_incoming(GcsService::new(events), UnboundedReceiverStream::new(incoming));
    tokio::spawn(async move {
        if let Err(error) = listener.await {
            complain!("gcs: the listener ended: {error}");
        }
    });
    link::keep(said, dial_within(arrivals), |event| tell(event)).await;
}

/// Gives one end of a socket pair to the GCS of this process, the other to its raylet.
pub(crate) fn dial_within(
    arrivals: mpsc::UnboundedSender<io::Result<UnixStream>>,
) -> impl FnMut() -> io::Result<UnixStream> {
    move || {
        let (near, far) = UnixStream::pair()?;
        arrivals.send(Ok(far)).map_err(|_| io::Error::other("the gcs has ended"))?;
        Ok(near)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iosdk_types::message::{Answer, NodeRecord};
    use iosdk_types::{Address, NodeId, ResourceSet, Time};
    use rustix::event::{PollFd, PollFlags, poll};
    use std::time::{Duration, Instant};

    /// Answers a join and a question, and says something by itself 30 ms after the join.
    #[derive(Default)]
    struct Echo {
        wake: Option<Time>,
    }

    impl Machine for Echo {
        type Input = Input;
        type Effect = Effect;

        fn step(&mut self, now: Time, input: Input, out: &mut Vec<Effect>) {
            match input {
                Input::FromRaylet { node, message: RayletToGcs::Join { version, .. } } => {
                    self.wake = Some(now + iosdk_types::Span::from_millis(30));
                    out.push(Effect::ToRaylet { node, message: GcsToRaylet::Joined { version } });
                }
                Input::FromRaylet { node, message: RayletToGcs::Nodes { request, asker } } => {
                    let answer = Answer::Nodes(vec![record(); request as usize]);
                    out.push(Effect::ToRaylet { node, message: GcsToRaylet::Answer { request, asker, answer } });
                }
                Input::FromRaylet { .. } | Input::NodeLost { .. } | Input::Api { .. } | Input::Clock { .. } => {}
            }
        }

        fn deadline(&self) -> Option<Time> {
            self.wake
        }

        fn tick(&mut self, _now: Time, out: &mut Vec<Effect>) {
            self.wake = None;
            out.push(Effect::ToRaylet { node: 7, message: GcsToRaylet::Joined { version: 99 } });
        }
    }

    fn record() -> NodeRecord {
        let resources = ResourceSet::new().with("CPU", iosdk_types::Amount::ONE);
        NodeRecord { node: NodeId([5; 28]), alive: true, ip: "127.0.0.1".into(), hostname: "h".into(), resources }
    }

    fn next(link: &LocalLink) -> LinkEvent {
        loop {
            let _nothing_counted = rustix::io::read(link.wake(), &mut [0; 8]);
            if let Some(event) = link.try_recv() {
                return event;
            }
            let timeout = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
            let ready = poll(&mut [PollFd::new(&link.wake, PollFlags::IN)], Some(&timeout)).unwrap();
            assert_eq!(ready, 1, "nothing heard for ten seconds");
        }
    }

    #[test]
    fn messages_cross_both_ways_in_order_and_ticks_happen() {
        let began = Instant::now();
        let link = start_local(Echo::default()).unwrap();
        assert!(matches!(next(&link), LinkEvent::Up));
        eprintln!("link up after {:?}", began.elapsed());
        link.send(RayletToGcs::Join { version: 3, node: 7, epoch: 1, record: record() });
        let asker = Address { node: 7, epoch: 1, process: 1 };
        // The last answer is far larger than a frame of HTTP/2.
        let sizes = [0, 1, 2, 40_000];
        for request in sizes {
            link.send(RayletToGcs::Nodes { request, asker });
        }
        let (mut answers, mut joined, mut ticked) = (Vec::new(), false, false);
        while answers.len() < sizes.len() || !ticked {
            match next(&link) {
                LinkEvent::Message(GcsToRaylet::Joined { version: 3 }) => joined = true,
                LinkEvent::Message(GcsToRaylet::Joined { version: 99 }) => ticked = true,
                LinkEvent::Message(GcsToRaylet::Answer { request, answer: Answer::Nodes(nodes), .. }) => {
                    assert!(joined, "an answer before the join's");
                    assert_eq!(nodes, vec![record(); request as usize]);
                    answers.push(request);
                }
                other => panic!("unexpected {other:?}"),
            }
        }
        assert_eq!(answers, sizes);
        let ending = Instant::now();
        drop(link);
        assert!(ending.elapsed() < Duration::from_secs(5));
    }
}
