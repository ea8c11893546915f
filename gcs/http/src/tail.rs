//! Reading a job's log in pieces: a part that is there, or what is there and whatever comes until the job is over.

use crate::{ApiError, Head, LogFile};
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::{Stream, unfold};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Bytes read at once.
const PIECE: usize = 64 << 10;
/// Who follows looks no more often.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Whether the job is over is asked no more often, and only while its log is quiet.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// A log file, or none yet: then it is empty.
pub(crate) struct Log {
    file: Option<Arc<File>>,
}

impl Log {
    pub(crate) fn open(path: &Path) -> Result<Self, ApiError> {
        match File::open(path) {
            Ok(file) => Ok(Self { file: Some(Arc::new(file)) }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self { file: None }),
            Err(error) => Err(unreadable(&error)),
        }
    }

    pub(crate) fn len(&self) -> Result<u64, ApiError> {
        let length = self.file.as_ref().map_or(Ok(0), |file| file.metadata().map(|about| about.len()));
        length.map_err(|error| unreadable(&error))
    }

    /// At most one piece; empty at the end. On a thread that may wait for the disk.
    async fn read(&self, at: u64, most: u64) -> Result<Bytes, ApiError> {
        let Some(file) = self.file.clone() else { return Ok(Bytes::new()) };
        let size = usize::try_from(most).unwrap_or(PIECE).min(PIECE);
        let read = move || {
            let mut piece = vec![0; size];
            let length = file.read_at(&mut piece, at)?;
            piece.truncate(length);
            Ok::<_, io::Error>(piece)
        };
        let read = tokio::task::spawn_blocking(read).await.map_err(|error| ApiError::internal(error.to_string()))?;
        read.map(Bytes::from).map_err(|error| unreadable(&error))
    }

    /// The bytes from `from` up to `to`, which are there.
    pub(crate) fn part(self, from: u64, to: u64) -> impl Stream<Item = Result<Bytes, ApiError>> + Send + 'static {
        unfold((self, from), move |(log, at)| async move {
            if at >= to {
                return None;
            }
            let piece = match log.read(at, to - at).await {
                // Cut short under our hands: the answer has promised more, so it must not look whole.
                Ok(piece) if piece.is_empty() => Err(ApiError::internal("the log became shorter while it was read")),
                other => other,
            };
            // After an error nothing more is read.
            let next = piece.as_ref().map_or(to, |piece| at + piece.len() as u64);
            Some((piece, (log, next)))
        })
    }
}

fn unreadable(error: &io::Error) -> ApiError {
    ApiError::internal(format!("the job's log cannot be read: {error}"))
}

/// A log from some place on, until the job is over.
pub(crate) struct Follow<H> {
    head: H,
    id: String,
    about: LogFile,
    log: Log,
    at: u64,
    /// The last read reached the end.
    caught_up: bool,
    asked: Instant,
}

impl<H: Head> Follow<H> {
    /// Waits at `from` when the log is not yet so long.
    pub(crate) fn new(head: H, id: String, about: LogFile, log: Log, from: u64) -> Self {
        Self { head, id, about, log, at: from, caught_up: false, asked: Instant::now() }
    }

    /// None once the job is over and all is read. May be dropped at any point and called again.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            if self.caught_up && !self.about.over {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            // What `over` says was true before this read: nothing can come after what it finds.
            let over = self.about.over;
            if self.log.file.is_none() {
                self.log = Log::open(&self.about.path)?;
            }
            let grown = self.log.len()? > self.at;
            let piece = if grown { self.log.read(self.at, u64::MAX).await? } else { Bytes::new() };
            self.caught_up = piece.len() < PIECE;
            self.at += piece.len() as u64;
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
            if over {
                return Ok(None);
            }
            if self.asked.elapsed() >= ASK_EVERY {
                match self.head.logs(&self.id).await {
                    Ok(about) => self.about.over = about.over,
                    // Deleted under our eyes: jobs are only deleted once they are over.
                    Err(error) if error.status() == 404 => self.about.over = true,
                    Err(error) => return Err(error),
                }
                self.asked = Instant::now();
            }
        }
    }

    pub(crate) fn into_body(self) -> Body {
        Body::from_stream(unfold(Some(self), |follow| async {
            let mut follow = follow?;
            match follow.next().await {
                Ok(None) => None,
                Ok(Some(piece)) => Some((Ok(piece), Some(follow))),
                Err(error) => Some((Err(error), None)),
            }
        }))
    }
}
