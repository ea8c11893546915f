//! What reaches the machine's task, from links, from the HTTP API and back from the event log: one queue, in order.

use crate::collect::Collected;
use crate::stored::Stored;
use iosdk_gcs_core::{ApiCall, ApiReply, Effect, NewJob};
use iosdk_http::Secret;
use iosdk_types::StateQuery;
use iosdk_types::message::{GcsToRaylet, RayletToGcs};
use std::collections::BTreeMap;
use tokio::sync::{mpsc, oneshot};

pub(crate) enum Event {
    /// The first message of a link named its node. `link` tells this link from an earlier one of the same node.
    Opened {
        node: u32,
        link: u64,
        outbox: mpsc::UnboundedSender<GcsToRaylet>,
    },
    Message {
        node: u32,
        message: RayletToGcs,
    },
    Closed {
        node: u32,
        link: u64,
    },
    Api {
        call: ApiCall,
        answer: oneshot::Sender<ApiReply>,
    },
    Submit {
        job: Box<NewJob>,
        submitted: Box<Submitted>,
        answer: oneshot::Sender<ApiReply>,
    },
    /// What was submitted under these numbers; none for one that is gone or cannot be read.
    Read {
        numbers: Vec<u64>,
        answer: oneshot::Sender<Vec<Option<Stored>>>,
    },
    /// What is live, asked of every node.
    Collect {
        query: StateQuery,
        limit: u32,
        answer: oneshot::Sender<Collected>,
    },
    Ping {
        answer: oneshot::Sender<()>,
    },
    /// The event log has what these waited for.
    Released(Vec<Released>),
    /// Write down what is on its way, then end.
    End,
}

/// What a job is made of that the machine does not keep.
pub(crate) struct Submitted {
    /// Its spec has no submission id yet if one is to be made up.
    pub(crate) stored: Stored,
    pub(crate) secrets: BTreeMap<String, Secret>,
}

/// What may happen now.
pub(crate) enum Released {
    Effect(Box<Effect>),
    /// What to run is not known any more.
    CannotStart {
        node: u32,
        number: u64,
        why: String,
    },
}
