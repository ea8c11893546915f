//! The head: the GCS machine with its event log, the socket that raylets join over, and the HTTP API. Whatever kills it, the
//! next one with the same data directory goes on where the last durable record says.

use crate::data::DataDir;
use crate::event::Event;
use crate::front::Front;
use crate::journal::{Journal, Stuck};
use crate::local::{LinkEvent, LocalLink, dial_within, runtime};
use crate::recover::recover;
use crate::seat::{self, Log};
use crate::service::GcsService;
use crate::{link, raylets};
use iosdk_complain::complain;
use iosdk_gcs_core::{Config, Gcs};
use iosdk_http::Token;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Server;

/// Who follows a job asks five times a second how it is: time to hear of an end that came just before this head's.
const FAREWELL: Duration = Duration::from_millis(500);

pub struct HeadConfig {
    /// Made with mode 0700 when it is not there; refused when others than this user can enter it.
    pub data: PathBuf,
    /// Of 127.0.0.1; 0 chooses one.
    pub port: u16,
    pub machine: Config,
    /// Gets one line, `ready URL` or `error WHY`, and is closed.
    pub ready: OwnedFd,
}

/// A head of its own process: runs until SIGTERM or SIGINT. What fails at the start is told over `ready` too.
pub fn run_head(config: HeadConfig) -> io::Result<()> {
    let runtime = runtime()?;
    let (terminate, interrupt) = {
        let _signals_need_it = runtime.enter();
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    };
    let head = begin(&runtime, config)?;
    let (mut terminate, mut interrupt) = (terminate?, interrupt?);
    let ended = runtime.block_on(head.serve(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tokio::time::sleep(FAREWELL).await;
    }));
    runtime.shutdown_background();
    ended
}

/// The same head on a thread of the raylet's own process. It ends with the link that this returns.
pub fn start_head(config: HeadConfig) -> io::Result<LocalLink> {
    let runtime = runtime()?;
    let head = begin(&runtime, config)?;
    let dial = dial_within(head.arrivals.clone());
    LocalLink::start(runtime, move |said, tell| async move {
        if let Err(error) = head.serve(link::keep(said, dial, |event| tell(event))).await {
            complain!("gcs: the head ended: {error}");
            tell(LinkEvent::Down);
        }
    })
}

fn begin(runtime: &Runtime, config: HeadConfig) -> io::Result<Head> {
    let HeadConfig { data, port, machine, ready } = config;
    let mut ready = File::from(ready);
    let begun = runtime.block_on(async { DataDir::open(&data).and_then(|data| Head::begin(data, port, machine)) });
    let line = match &begun {
        Ok(head) => format!("ready {}\n", head.url),
        Err(error) => format!("error {}\n", error.to_string().replace('\n', " ")),
    };
    let _who_started_this_has_gone = ready.write_all(line.as_bytes());
    begun
}

struct Head {
    url: String,
    http: TcpListener,
    local: UnixListener,
    raylets: UnixListener,
    token: Token,
    front: Front,
    events: mpsc::UnboundedSender<Event>,
    seat: JoinHandle<()>,
    stuck: Stuck,
    /// Connections of raylets.
    arrivals: mpsc::UnboundedSender<io::Result<UnixStream>>,
    arriving: mpsc::UnboundedReceiver<io::Result<UnixStream>>,
    /// Nobody else's until everything here has ended.
    _data: Arc<DataDir>,
}

impl Head {
    fn begin(data: DataDir, port: u16, config: Config) -> io::Result<Self> {
        let data = Arc::new(data);
        let token = data.token()?;
        iosdk_http::sweep_uploads(&data.packages())?;
        let http = tcp(port)?;
        let url = format!("http://127.0.0.1:{}", http.local_addr()?.port());
        let (local, raylets) = (unix(&data, "http.sock")?, unix(&data, "gcs.sock")?);
        let recovered = recover(&data, config)?;
        let (events, queue) = mpsc::unbounded_channel();
        let (journal, stuck) = Journal::start(recovered.store, recovered.records, Arc::clone(&data), events.clone())?;
        let log = Log { journal, snapshot: Gcs::snapshot };
        let seat = tokio::spawn(seat::run(recovered.machine, queue, Some(log)));
        let front = Front::new(events.clone(), stuck.clone(), Arc::clone(&data))?;
        let (arrivals, arriving) = mpsc::unbounded_channel();
        Ok(Self { url, http, local, raylets, token, front, events, seat, stuck, arrivals, arriving, _data: data })
    }

    /// When this returns, what was accepted is durable.
    async fn serve(mut self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let incoming = UnboundedReceiverStream::new(self.arriving);
        let links = Server::builder().serve_with_incoming(GcsService::new(self.events.clone()), incoming);
        let ended = tokio::select! {
            () = stop => Ok(()),
            ended = links => Err(io::Error::other(format!("the service of the raylets ended: {ended:?}"))),
            () = raylets::welcome(self.raylets, self.arrivals) => Ok(()),
            ended = iosdk_http::serve(self.http, self.token, self.front.clone()) => ended,
            ended = iosdk_http::serve_unix(self.local, self.front.clone()) => ended,
            // Its thread ends before only when it panics.
            () = async { while self.stuck.changed().await.is_ok() {} } => {
                Err(io::Error::other("the event log's thread ended; what it said last is above"))
            }
            _ = &mut self.seat => return Err(io::Error::other("the machine ended; what it said last is above")),
        };
        let _it_ends_already = self.events.send(Event::End);
        self.seat.await.map_err(io::Error::other)?;
        ended
    }
}

fn tcp(port: u16) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).map_err(|error| {
        let why = format!("port {port} of 127.0.0.1 cannot be listened on ({error}); choose another, or 0 for any");
        io::Error::new(error.kind(), why)
    })?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn unix(data: &DataDir, name: &str) -> io::Result<UnixListener> {
    let listener = data.listen(name)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}
