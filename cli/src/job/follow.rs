//! A job's output as it comes, until the job is over. When the head restarts meanwhile, it goes on where it was.

use super::{info, is_over};
use crate::client::{Client, broken, segment};
use crate::failure::{Failure, failed};
use crate::printing::print_bytes;
use http_body_util::BodyExt;
use iosdk_http::JobInfo;
use std::io::Write;
use std::time::Duration;
use tokio::time::Instant;

/// For a head that is away to come back.
const PATIENCE: Duration = Duration::from_secs(60);
const TRY_EVERY: Duration = Duration::from_millis(250);

pub(crate) enum Followed {
    Over {
        job: Box<JobInfo>,
        /// The log does not end with a line's end.
        mid_line: bool,
    },
    /// Ctrl-C. The job goes on.
    Left,
}

/// The log goes to stdout, or, when that is for something else, to stderr. `again` are the options that name the head.
pub(crate) async fn follow(client: &Client, id: &str, to_stderr: bool, again: &str) -> Result<Followed, Failure> {
    let what_next = format!("  follow it: iosdk job logs -f{again} {id}\n  stop it:   iosdk job stop{again} {id}");
    let mut log = Follow { client, id, to_stderr, offset: 0, mid_line: false, lost: None };
    let job = tokio::select! {
        job = log.until_over() => job,
        interrupt = tokio::signal::ctrl_c() => {
            interrupt.map_err(|error| failed("waiting for Ctrl-C", error))?;
            eprintln!("\nNot following any more; job '{id}' goes on.\n{what_next}");
            return Ok(Followed::Left);
        }
    };
    match job {
        Err(failure) if failure.may_pass() => {
            let text = format!("{failure}.\nThe job may well go on. When the head is back:\n{what_next}");
            Err(Failure::NoHead(text))
        }
        other => other.map(|job| Followed::Over { job: Box::new(job), mid_line: log.mid_line }),
    }
}

struct Follow<'a> {
    client: &'a Client,
    id: &'a str,
    to_stderr: bool,
    /// Bytes that have been shown.
    offset: u64,
    mid_line: bool,
    /// Since when the head is away.
    lost: Option<Instant>,
}

impl Follow<'_> {
    async fn until_over(&mut self) -> Result<JobInfo, Failure> {
        loop {
            match self.once().await {
                Ok(job) if is_over(&job) => return Ok(job),
                // The stream ends with the job, or with a head that takes its leave.
                Ok(_) => {}
                Err(failure) if failure.may_pass() => {
                    let first = self.lost.is_none();
                    let since = *self.lost.get_or_insert_with(Instant::now);
                    if since.elapsed() >= PATIENCE {
                        return Err(failure);
                    }
                    if first {
                        let seconds = PATIENCE.as_secs();
                        eprintln!("iosdk: the head is away; trying for {seconds} s to go on with the log ({failure})");
                    }
                }
                Err(failure) => return Err(failure),
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
    }

    async fn once(&mut self) -> Result<JobInfo, Failure> {
        let path = format!("/api/jobs/{}/logs/raw?follow=1&offset={}", segment(self.id), self.offset);
        let mut body = self.client.stream(&path).await?.into_body();
        if self.lost.take().is_some() {
            eprintln!("iosdk: the head is back");
        }
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame.map_err(|error| broken(&error))?.into_data() else { continue };
            self.show(&piece)?;
            self.offset += piece.len() as u64;
            self.mid_line = piece.last().is_some_and(|last| *last != b'\n');
        }
        info(self.client, self.id).await
    }

    fn show(&self, piece: &[u8]) -> Result<(), Failure> {
        if self.to_stderr {
            return std::io::stderr().write_all(piece).map_err(|_gone| Failure::Unread);
        }
        print_bytes(piece)
    }
}
