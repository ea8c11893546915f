//! Takes what the socket has, cuts it into messages, decodes and checks them.

use super::{DESCRIPTORS_MAX, LENGTH_BITS, MESSAGE_MAX, PREFIX};
use rustix::io::Errno;
use rustix::net::{self, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags};
use serde::de::DeserializeOwned;
use std::collections::VecDeque;
use std::io::{self, Cursor, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The peer is gone (or closed its end); everything it sent has been returned before.
    #[error("connection closed")]
    Closed,
    #[error("not a control message: {0}")]
    Bad(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A message and the descriptors that came with it.
pub type Received<T> = (T, Vec<OwnedFd>);

/// Bytes taken from the socket at a time, and the most in one `read`, so that a talkative peer leaves others a turn.
const CHUNK: usize = 16 << 10;
const CHUNKS_PER_READ: usize = 64;

#[derive(Default)]
pub struct ControlReader {
    buffer: Vec<u8>,
    /// Bytes of `buffer` that have been decoded.
    taken: usize,
    descriptors: VecDeque<OwnedFd>,
    closed: bool,
}

impl ControlReader {
    /// All messages that have come, without waiting, whatever the socket's mode. Empty: none (poll and come again).
    pub fn read<T: DeserializeOwned>(&mut self, stream: BorrowedFd<'_>) -> Result<Vec<Received<T>>, ReadError> {
        for _ in 0..CHUNKS_PER_READ {
            if self.closed || !self.receive(stream)? {
                break;
            }
        }
        let mut messages = Vec::new();
        while let Some(message) = self.cut()? {
            messages.push(message);
        }
        self.buffer.drain(..self.taken);
        self.taken = 0;
        if !(self.closed && messages.is_empty()) {
            Ok(messages)
        } else if self.buffer.is_empty() {
            Err(ReadError::Closed)
        } else {
            Err(ReadError::Bad("the connection ended within a message".into()))
        }
    }

    /// False: the socket has nothing more now.
    fn receive(&mut self, stream: BorrowedFd<'_>) -> Result<bool, ReadError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let before = self.buffer.len();
        self.buffer.resize(before + CHUNK, 0);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let result = loop {
            let into = &mut [IoSliceMut::new(&mut self.buffer[before..])];
            match net::recvmsg(stream, into, &mut ancillary, flags) {
                Err(Errno::INTR) => {}
                other => break other,
            }
        };
        self.buffer.truncate(before + result.as_ref().map_or(0, |received| received.bytes));
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        match result {
            Ok(received) if received.flags.contains(ReturnFlags::CTRUNC) => {
                Err(ReadError::Bad("descriptors were lost (too many open files?)".into()))
            }
            Ok(received) => {
                self.closed = received.bytes == 0;
                Ok(received.bytes == CHUNK || !self.descriptors.is_empty())
            }
            Err(Errno::AGAIN) => Ok(false),
            // The peer died with unread messages of ours: it is gone all the same.
            Err(Errno::CONNRESET) => {
                self.closed = true;
                Ok(false)
            }
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    fn cut<T: DeserializeOwned>(&mut self) -> Result<Option<Received<T>>, ReadError> {
        let unread = &self.buffer[self.taken..];
        let Some(prefix) = unread.first_chunk::<PREFIX>() else { return Ok(None) };
        let prefix = u32::from_le_bytes(*prefix);
        let (len, count) = ((prefix & ((1 << LENGTH_BITS) - 1)) as usize, (prefix >> LENGTH_BITS) as usize);
        if len > MESSAGE_MAX {
            return Err(ReadError::Bad(format!("{len} bytes announced")));
        }
        let Some(bytes) = unread.get(PREFIX..PREFIX + len) else { return Ok(None) };
        let message = decode(bytes).map_err(ReadError::Bad)?;
        if self.descriptors.len() < count {
            return Err(ReadError::Bad("descriptors are missing".into()));
        }
        self.taken += PREFIX + len;
        Ok(Some((message, self.descriptors.drain(..count).collect())))
    }
}

/// All of `bytes`, or nothing: rmp-serde itself accepts trailing bytes.
fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let mut decoder = rmp_serde::Deserializer::new(Cursor::new(bytes));
    let message = T::deserialize(&mut decoder).map_err(|error| error.to_string())?;
    let used = decoder.position();
    if used == bytes.len() as u64 {
        Ok(message)
    } else {
        Err(format!("{} bytes after the message", bytes.len() as u64 - used))
    }
}
