//! The GCS's side of the `Link` RPC, written by hand: one method, so nothing is generated.

use crate::codec::Rmp;
use crate::event::Event;
use iosdk_complain::complain;
use iosdk_types::message::{GcsToRaylet, RayletToGcs};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::body::Body;
use tonic::server::{Grpc, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tower::Service;

/// `/package.Service/Method`, as gRPC names it.
pub(crate) const PATH: &str = "/iosdk.Gcs/Link";

/// Largest message either side takes.
pub(crate) const MESSAGE_LIMIT: usize = 64 << 20;

#[derive(Clone)]
pub(crate) struct GcsService {
    events: mpsc::UnboundedSender<Event>,
    links: Arc<AtomicU64>,
}

impl GcsService {
    pub(crate) fn new(events: mpsc::UnboundedSender<Event>) -> Self {
        Self { events, links: Arc::default() }
    }
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Service<http::Request<Body>> for GcsService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Boxed<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let link = LinkMethod { events: self.events.clone(), id: self.links.fetch_add(1, Ordering::Relaxed) };
        Box::pin(async move {
            if request.uri().path() != PATH {
                return Ok(Status::unimplemented(format!("no method {}", request.uri().path())).into_http());
            }
            let codec = Rmp::<GcsToRaylet, RayletToGcs>::default();
            let mut grpc = Grpc::new(codec).max_decoding_message_size(MESSAGE_LIMIT);
            Ok(grpc.streaming(link, request).await)
        })
    }
}

struct LinkMethod {
    events: mpsc::UnboundedSender<Event>,
    id: u64,
}

type Outgoing = Pin<Box<dyn Stream<Item = Result<GcsToRaylet, Status>> + Send>>;

impl StreamingService<RayletToGcs> for LinkMethod {
    type Response = GcsToRaylet;
    type ResponseStream = Outgoing;
    type Future = Boxed<Result<Response<Outgoing>, Status>>;

    fn call(&mut self, request: Request<Streaming<RayletToGcs>>) -> Self::Future {
        let (events, id) = (self.events.clone(), self.id);
        let (outbox, outgoing) = mpsc::unbounded_channel();
        // The answer's headers go out at once; the pump reads on while they do.
        tokio::spawn(pump(request.into_inner(), events, id, outbox));
        let stream: Outgoing = Box::pin(UnboundedReceiverStream::new(outgoing).map(Ok));
        Box::pin(async move { Ok(Response::new(stream)) })
    }
}

/// Moves what one raylet says into the machine's queue until its stream ends.
async fn pump(
    mut incoming: Streaming<RayletToGcs>,
    events: mpsc::UnboundedSender<Event>,
    link: u64,
    outbox: mpsc::UnboundedSender<GcsToRaylet>,
) {
    let mut joined = None;
    loop {
        match incoming.next().await {
            Some(Ok(message)) => {
                if let RayletToGcs::Join { node, .. } = &message {
                    joined = Some(*node);
                    let _closing = events.send(Event::Opened { node: *node, link, outbox: outbox.clone() });
                }
                let Some(node) = joined else {
                    complain!("gcs: a raylet spoke before it joined; its link is closed");
                    return;
                };
                let _closing = events.send(Event::Message { node, message });
            }
            Some(Err(status)) => {
                complain!("gcs: the link of node {joined:?} broke: {}", status.message());
                break;
            }
            None => break,
        }
    }
    if let Some(node) = joined {
        let _closing = events.send(Event::Closed { node, link });
    }
}
