//! A GCS in another process of this machine: the same RPC over its Unix socket, redialled for as long as the raylet lives.

use crate::data::by_short_path;
use crate::link;
use crate::local::{LocalLink, runtime};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

/// The raylet's end of a link to the head that listens at `socket`, which may not be there yet, or be there again.
pub fn connect(socket: PathBuf) -> io::Result<LocalLink> {
    LocalLink::start(runtime()?, move |said, tell| async move {
        let dial = move || {
            let stream = by_short_path(&socket, |short| UnixStream::connect(short))?;
            stream.set_nonblocking(true)?;
            tokio::net::UnixStream::from_std(stream)
        };
        link::keep(said, dial, |event| tell(event)).await;
    })
}
