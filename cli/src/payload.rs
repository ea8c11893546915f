//! What a request carries: nothing, a text, or a file that is read as it is sent.

use crate::failure::{Failure, failed};
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use serde::Serialize;
use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

const PIECE: usize = 64 << 10;

pub(crate) enum Payload {
    Text(Bytes),
    /// And so many bytes of it that are still to come.
    File(File, u64),
}

impl Payload {
    pub(crate) fn empty() -> Self {
        Self::Text(Bytes::new())
    }

    pub(crate) fn json<T: Serialize>(value: &T) -> Result<Self, Failure> {
        serde_json::to_vec(value).map(|text| Self::Text(text.into())).map_err(|error| failed("writing JSON", error))
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(match &mut *self {
            Self::Text(text) if text.is_empty() => None,
            Self::Text(text) => Some(Ok(Frame::data(std::mem::take(text)))),
            Self::File(_, 0) => None,
            Self::File(file, left) => Some(piece(file, left).map(Frame::data)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.size_hint().exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Text(text) => text.len() as u64,
            Self::File(_, left) => *left,
        })
    }
}

/// The command has nothing else to do while it waits for the disk.
fn piece(file: &mut File, left: &mut u64) -> io::Result<Bytes> {
    let mut piece = vec![0; PIECE.min(usize::try_from(*left).unwrap_or(PIECE))];
    file.read_exact(&mut piece)?;
    *left -= piece.len() as u64;
    Ok(piece.into())
}
