//! The control connection of one process: messages both ways, never waiting.

use iosdk_net::control::{ControlReader, ControlWriter, ReadError};
use iosdk_types::message::{ProcessToRaylet, RayletToProcess};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub(crate) struct Connection {
    stream: OwnedFd,
    reader: ControlReader,
    writer: ControlWriter,
}

impl Connection {
    pub(crate) fn new(stream: OwnedFd) -> Self {
        Self { stream, reader: ControlReader::default(), writer: ControlWriter::default() }
    }

    pub(crate) fn into_fd(self) -> OwnedFd {
        self.stream
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// What does not fit into the socket now is sent by `flush`. A peer that is gone is no error: its death is told elsewhere.
    pub(crate) fn send(&mut self, message: &RayletToProcess, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        or_gone(self.writer.send(self.stream.as_fd(), message, fds))
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        or_gone(self.writer.flush(self.stream.as_fd()).map(drop))
    }

    /// True while something waits for the socket to take more.
    pub(crate) fn is_behind(&self) -> bool {
        self.writer.wants_write()
    }

    /// What has come. Processes send no descriptors; if one does, they are closed.
    pub(crate) fn receive(&mut self) -> Result<Vec<ProcessToRaylet>, ReadError> {
        let received = self.reader.read(self.stream.as_fd())?;
        Ok(received.into_iter().map(|(message, _fds)| message).collect())
    }
}

fn or_gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => Ok(()),
        other => other,
    }
}
