//! Sends what the socket takes now, keeps the rest in order.

use super::{DESCRIPTORS_MAX, LENGTH_BITS, MESSAGE_MAX, PREFIX};
use rustix::io::Errno;
use rustix::net::{self, SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use serde::Serialize;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

#[derive(Default)]
pub struct ControlWriter {
    backlog: VecDeque<Waiting>,
    scratch: Vec<u8>,
}

struct Waiting {
    bytes: Vec<u8>,
    sent: usize,
    descriptors: Vec<OwnedFd>,
}

impl ControlWriter {
    /// Sends or keeps the message; never waits, whatever the socket's mode. The descriptors may be closed afterwards.
    pub fn send<T: Serialize>(
        &mut self,
        stream: BorrowedFd<'_>,
        message: &T,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        let result = encode(message, descriptors.len(), &mut bytes)
            .and_then(|()| self.send_encoded(stream, &bytes, descriptors));
        self.scratch = bytes;
        result
    }

    fn send_encoded(&mut self, stream: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut sent = 0;
        if self.backlog.is_empty() {
            sent = transmit(stream, bytes, 0, descriptors)?;
            if sent == bytes.len() {
                return Ok(());
            }
        }
        let kept = if sent == 0 { descriptors } else { &[] };
        let descriptors = kept.iter().map(|fd| fd.try_clone_to_owned()).collect::<io::Result<_>>()?;
        self.backlog.push_back(Waiting { bytes: bytes[sent..].to_vec(), sent: 0, descriptors });
        Ok(())
    }

    /// True while messages wait for the socket to take more: poll for writing, then `flush`.
    pub fn wants_write(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// True: nothing waits any more.
    pub fn flush(&mut self, stream: BorrowedFd<'_>) -> io::Result<bool> {
        while let Some(front) = self.backlog.front_mut() {
            let descriptors: Vec<_> = front.descriptors.iter().map(AsFd::as_fd).collect();
            let sent = transmit(stream, &front.bytes, front.sent, &descriptors)?;
            if sent > front.sent {
                front.descriptors.clear();
                front.sent = sent;
            }
            if sent < front.bytes.len() {
                return Ok(false);
            }
            self.backlog.pop_front();
        }
        Ok(true)
    }
}

fn encode<T: Serialize>(message: &T, descriptors: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
    let too_much = |what| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    if descriptors > DESCRIPTORS_MAX {
        return too_much("too many descriptors for one control message");
    }
    bytes.extend_from_slice(&[0; PREFIX]);
    rmp_serde::encode::write_named(bytes, message).map_err(io::Error::other)?;
    let len = bytes.len() - PREFIX;
    if len > MESSAGE_MAX {
        return too_much("control message too long");
    }
    bytes[..PREFIX].copy_from_slice(&(len as u32 | (descriptors as u32) << LENGTH_BITS).to_le_bytes());
    Ok(())
}

/// Sends `bytes[sent..]` as far as the socket takes it; returns the new `sent`. The descriptors go with the first byte.
fn transmit(stream: BorrowedFd<'_>, bytes: &[u8], mut sent: usize, mut fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    while sent < bytes.len() {
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match net::sendmsg(stream, &[IoSlice::new(&bytes[sent..])], &mut ancillary, flags) {
            Ok(taken) => {
                sent += taken;
                fds = &[];
            }
            Err(Errno::AGAIN) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(sent)
}
