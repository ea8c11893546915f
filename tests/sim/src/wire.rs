//! Messages between processes and the contents behind their payload handles: copied out by the sender, into handles of its
//! own by the receiver.

use crate::memory::{Content, Payloads};
use iosdk_types::message::peer::{Payload, PeerMessage, Place, WireValue};

fn in_value<'a>(value: &'a mut WireValue, found: &mut Vec<&'a mut Payload>) {
    match &mut value.place {
        Place::Inline(payload) => found.push(payload),
        Place::Arena(_) => {}
    }
}

/// Every payload handle of a message, in a fixed order.
pub fn payloads(message: &mut PeerMessage) -> Vec<&mut Payload> {
    let mut found = Vec::new();
    match message {
        PeerMessage::Define { function: _, payload } => found.push(payload),
        PeerMessage::Call(call) => {
            found.push(&mut call.args);
            for dep in &mut call.deps {
                in_value(&mut dep.value, &mut found);
            }
        }
        PeerMessage::Reply(reply) => {
            for value in &mut reply.returns {
                in_value(value, &mut found);
            }
        }
        PeerMessage::Value { token: _, value } => {
            if let Some(value) = value {
                in_value(value, &mut found);
            }
        }
        PeerMessage::Fetch { .. }
        | PeerMessage::Register { .. }
        | PeerMessage::Registered { .. }
        | PeerMessage::Return { .. }
        | PeerMessage::LendAck { .. }
        | PeerMessage::Free { .. }
        | PeerMessage::Cancel { .. }
        | PeerMessage::CancelObject { .. } => {}
    }
    found
}

/// Copies of the contents, or the handle behind which there is nothing.
pub fn encode(message: &mut PeerMessage, from: &Payloads) -> Result<Vec<Content>, Payload> {
    payloads(message).into_iter().map(|handle| from.get(*handle).cloned().ok_or(*handle)).collect()
}

pub fn decode(message: &mut PeerMessage, contents: Vec<Content>, into: &mut Payloads) {
    for (handle, content) in payloads(message).into_iter().zip(contents) {
        *handle = into.insert(content);
    }
}
