//! A raylet's side of the `Link` RPC: keeps one link open over streams that a dialer provides, and says when it is up or down.

use crate::codec::Rmp;
use crate::local::LinkEvent;
use crate::service::{MESSAGE_LIMIT, PATH};
use hyper_util::rt::TokioIo;
use iosdk_complain::complain;
use iosdk_types::message::{GcsToRaylet, RayletToGcs};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::client::Grpc;
use tonic::transport::Endpoint;
use tonic::{Request, Status, Streaming};

/// Wait between two attempts to get a broken link back.
const RETRY: Duration = Duration::from_millis(100);

/// Runs until the raylet drops its end of `outbox`. `dial` gives a fresh stream to the GCS; `tell` hands events to the raylet.
pub(crate) async fn keep<D, T>(mut outbox: mpsc::UnboundedReceiver<RayletToGcs>, mut dial: D, tell: T)
where
    D: FnMut() -> std::io::Result<UnixStream>,
    T: Fn(LinkEvent),
{
    // One line when it goes away and one when it is back, however long that takes.
    let mut away = false;
    loop {
        // While the link is down the raylet is told so and says nothing it would not say again: old words are stale.
        let opened = tokio::select! {
            opened = open(&mut dial) => opened,
            () = drained(&mut outbox) => return,
        };
        match opened {
            Ok((sender, mut incoming)) => {
                if std::mem::take(&mut away) {
                    complain!("raylet: the link to the gcs is back");
                }
                tell(LinkEvent::Up);
                let ended = pump(&mut outbox, &sender, &mut incoming, &tell).await;
                tell(LinkEvent::Down);
                match ended {
                    Ended::ByRaylet => return,
                    Ended::ByGcs(why) => complain!("raylet: the link to the gcs broke, trying until it is back: {why}"),
                }
                away = true;
            }
            Err(error) => {
                if !std::mem::replace(&mut away, true) {
                    complain!("raylet: cannot reach the gcs, trying until it is there: {error}");
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = drained(&mut outbox) => return,
        }
    }
}

/// Throws away what is said until the raylet is gone.
async fn drained(outbox: &mut mpsc::UnboundedReceiver<RayletToGcs>) {
    while outbox.recv().await.is_some() {}
}

enum Ended {
    ByRaylet,
    ByGcs(String),
}

type Opened = (mpsc::UnboundedSender<RayletToGcs>, Streaming<GcsToRaylet>);

async fn open<D: FnMut() -> std::io::Result<UnixStream>>(dial: &mut D) -> Result<Opened, String> {
    let mut stream = Some(dial().map_err(|error| error.to_string())?);
    let connector = tower::service_fn(move |_| {
        let taken = stream.take().map(TokioIo::new);
        async move { taken.ok_or_else(|| std::io::Error::other("this stream was used before")) }
    });
    // The authority is only a header here: the stream is there already.
    let channel = Endpoint::from_static("http://gcs.invalid")
        .connect_with_connector(connector)
        .await
        .map_err(|error| error.to_string())?;
    let mut grpc = Grpc::new(channel).max_decoding_message_size(MESSAGE_LIMIT);
    grpc.ready().await.map_err(|error| error.to_string())?;
    let (sender, outgoing) = mpsc::unbounded_channel();
    let request = Request::new(UnboundedReceiverStream::new(outgoing));
    let path = http::uri::PathAndQuery::from_static(PATH);
    let codec = Rmp::<RayletToGcs, GcsToRaylet>::default();
    let response = grpc.streaming(request, path, codec).await.map_err(|status: Status| status.to_string())?;
    Ok((sender, response.into_inner()))
}

async fn pump<T: Fn(LinkEvent)>(
    outbox: &mut mpsc::UnboundedReceiver<RayletToGcs>,
    sender: &mpsc::UnboundedSender<RayletToGcs>,
    incoming: &mut Streaming<GcsToRaylet>,
    tell: &T,
) -> Ended {
    loop {
        tokio::select! {
            said = outbox.recv() => match said {
                None => return Ended::ByRaylet,
                Some(message) => if sender.send(message).is_err() {
                    return Ended::ByGcs("the request stream was closed".to_owned());
                },
            },
            heard = incoming.next() => match heard {
                Some(Ok(message)) => tell(LinkEvent::Message(message)),
                Some(Err(status)) => return Ended::ByGcs(status.message().to_owned()),
                None => return Ended::ByGcs("the gcs ended the stream".to_owned()),
            },
        }
    }
}
