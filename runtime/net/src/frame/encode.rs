//! Writing messages.

use super::{
    ARENA, CALL, CANCEL, CANCEL_OBJECT, DEFINE, FETCH, FREE, INLINE, LEND_ACK, RAN_LONG, RAN_UNIT, REGISTER,
    REGISTERED, REPLY, RETURN, VALUE,
};
use iosdk_types::RefDescriptor;
use iosdk_types::message::peer::{CallKind, Payload, PeerMessage, Place, ReplyStatus, WireCall, WireReply, WireValue};
use smallvec::SmallVec;

/// The payloads that follow a head.
pub type Payloads<'a> = SmallVec<[&'a [u8]; 4]>;

/// Appends the whole message to `out`, contiguous. False: a count or length does not fit its field.
#[must_use]
pub fn encode<'a>(message: &PeerMessage, bytes: impl Fn(Payload) -> &'a [u8], out: &mut Vec<u8>) -> bool {
    let mut payloads = Payloads::new();
    let fits = encode_head(message, bytes, out, &mut payloads);
    for payload in payloads {
        out.extend_from_slice(payload);
    }
    fits
}

/// Appends the head to `head` and collects the payloads that must follow it.
/// False: a count or length does not fit its field; what was appended is of no use.
#[must_use]
pub fn encode_head<'a>(
    message: &PeerMessage,
    bytes: impl Fn(Payload) -> &'a [u8],
    head: &mut Vec<u8>,
    payloads: &mut Payloads<'a>,
) -> bool {
    let mut payload = |payload: Payload| {
        let bytes = bytes(payload);
        payloads.push(bytes);
        bytes.len()
    };
    match message {
        PeerMessage::Define { function, payload: definition } => {
            let len = payload(*definition);
            head.extend_from_slice(&start(DEFINE, 0, *function, len as u64));
            true
        }
        PeerMessage::Call(message) => call(message, &mut payload, head),
        PeerMessage::Reply(message) => reply(message, &mut payload, head),
        PeerMessage::Fetch { object, token } => {
            head.extend_from_slice(&start(FETCH, 0, 0, *token));
            reference(object, head);
            true
        }
        PeerMessage::Value { token, value: content } => {
            head.extend_from_slice(&start(VALUE, u8::from(content.is_some()), 0, *token));
            content.as_ref().is_none_or(|content| value(content, &mut payload, head))
        }
        PeerMessage::Register { object, token } => {
            head.extend_from_slice(&start(REGISTER, 0, 0, *token));
            reference(object, head);
            true
        }
        PeerMessage::Registered { token, known } => {
            head.extend_from_slice(&start(REGISTERED, u8::from(*known), 0, *token));
            true
        }
        PeerMessage::Return { object, times } => {
            head.extend_from_slice(&start(RETURN, 0, *times, 0)[..8]);
            reference(object, head);
            true
        }
        PeerMessage::LendAck { object, times } => {
            head.extend_from_slice(&start(LEND_ACK, 0, *times, 0)[..8]);
            reference(object, head);
            true
        }
        PeerMessage::Free { extent } => {
            head.extend_from_slice(&start(FREE, 0, 0, 0)[..4]);
            head.extend_from_slice(&extent.to_bytes());
            true
        }
        PeerMessage::Cancel { key, force } => {
            head.extend_from_slice(&start(CANCEL, u8::from(*force), 0, *key));
            true
        }
        PeerMessage::CancelObject { object, force } => {
            head.extend_from_slice(&start(CANCEL_OBJECT, u8::from(*force), 0, 0)[..8]);
            reference(object, head);
            true
        }
    }
}

/// The 16 bytes most messages begin with: kind, a small field, two zero bytes, a word, a long word.
#[inline]
fn start(kind: u8, small: u8, word: u32, long: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[0] = kind;
    bytes[1] = small;
    bytes[4..8].copy_from_slice(&word.to_le_bytes());
    bytes[8..].copy_from_slice(&long.to_le_bytes());
    bytes
}

#[inline]
fn call(call: &WireCall, payload: &mut impl FnMut(Payload) -> usize, head: &mut Vec<u8>) -> bool {
    let kind = match call.kind {
        CallKind::Task => 0,
        CallKind::CreateActor => 1,
        CallKind::Method => 2,
        CallKind::Terminate => 3,
    };
    let args = payload(call.args);
    let (Ok(args), Ok(deps), Ok(contains)) =
        (u32::try_from(args), u32::try_from(call.deps.len()), u32::try_from(call.contains.len()))
    else {
        return false;
    };
    let mut fixed = [0; 64];
    fixed[..16].copy_from_slice(&start(CALL, kind, call.function, call.key));
    fixed[2..4].copy_from_slice(&call.returns.to_le_bytes());
    fixed[16..40].copy_from_slice(&call.task.0);
    let words = [call.depth, call.claim.slot, call.claim.generation, deps, contains, args];
    for (at, word) in (40..).step_by(4).zip(words) {
        fixed[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
    head.extend_from_slice(&fixed);
    for dep in &call.deps {
        if !value(&dep.value, payload, head) {
            return false;
        }
        head.push(u8::from(dep.reference.is_some()));
        if let Some(lent) = &dep.reference {
            reference(lent, head);
        }
    }
    call.contains.iter().for_each(|contained| reference(contained, head));
    true
}

#[inline]
fn reply(reply: &WireReply, payload: &mut impl FnMut(Payload) -> usize, head: &mut Vec<u8>) -> bool {
    let status = match reply.status {
        ReplyStatus::Ok => 0,
        ReplyStatus::Error => 1,
        ReplyStatus::RetryableError => 2,
        ReplyStatus::NotStarted => 3,
    };
    let Ok(returns) = u16::try_from(reply.returns.len()) else { return false };
    let mut fixed = start(REPLY, status, ran(reply.ran_ns), reply.key);
    fixed[2..4].copy_from_slice(&returns.to_le_bytes());
    head.extend_from_slice(&fixed);
    reply.returns.iter().all(|returned| value(returned, payload, head))
}

/// Long times are rounded up. Readers that know no units see two seconds and more, too.
#[inline]
fn ran(ns: u64) -> u32 {
    if ns < u64::from(RAN_LONG) {
        return ns as u32;
    }
    RAN_LONG | ns.div_ceil(RAN_UNIT).min(u64::from(RAN_LONG - 1)) as u32
}

#[inline]
fn value(value: &WireValue, payload: &mut impl FnMut(Payload) -> usize, head: &mut Vec<u8>) -> bool {
    let Ok(contains) = u32::try_from(value.contains.len()) else { return false };
    match value.place {
        Place::Inline(handle) => {
            let len = payload(handle);
            head.extend_from_slice(&start(INLINE, u8::from(value.is_error), contains, len as u64));
        }
        Place::Arena(extent) => {
            head.extend_from_slice(&start(ARENA, u8::from(value.is_error), contains, 0)[..8]);
            head.extend_from_slice(&extent.to_bytes());
        }
    }
    value.contains.iter().for_each(|contained| reference(contained, head));
    true
}

fn reference(reference: &RefDescriptor, head: &mut Vec<u8>) {
    head.extend_from_slice(&reference.to_bytes());
}
