//! The socket over which raylets of other processes join. Only those of this user may.

use iosdk_complain::complain;
use std::io;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

/// Before another try, when the process or the machine has run out of descriptors or memory.
const BREATHER: Duration = Duration::from_millis(100);

/// Runs until nobody takes the connections any more.
pub(crate) async fn welcome(listener: UnixListener, arrivals: mpsc::UnboundedSender<io::Result<UnixStream>>) {
    let mut short = false;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                short = false;
                if is_ours(&stream) && arrivals.send(Ok(stream)).is_err() {
                    return;
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut short, true) {
                    complain!("gcs: no raylet can join for now: {error}");
                }
                tokio::time::sleep(BREATHER).await;
            }
        }
    }
}

/// The kernel says who connected; another user's process is hung up on.
fn is_ours(stream: &UnixStream) -> bool {
    let own = rustix::process::getuid().as_raw();
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == own => true,
        Ok(peer) => {
            complain!("gcs: a process of uid {} may not join: this is the head of uid {own}", peer.uid());
            false
        }
        Err(error) => {
            complain!("gcs: a connection does not say whose it is: {error}");
            false
        }
    }
}
