//! Reading messages. The bytes come from a peer: everything is checked, nothing is trusted, nothing panics.

use super::read::Cursor;
use super::{
    ARENA, CALL, CANCEL, CANCEL_OBJECT, DEFINE, FETCH, FREE, INLINE, LEND_ACK, RAN_LONG, RAN_UNIT, REGISTER,
    REGISTERED, REPLY, RETURN, VALUE,
};
use iosdk_types::message::peer::{
    CallKind, Claim, Payload, PeerMessage, Place, ReplyStatus, WireCall, WireDep, WireReply, WireValue,
};
use iosdk_types::{Extent, RefDescriptor, TaskId};
use smallvec::SmallVec;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    #[error("message ends too early")]
    Short,
    #[error("bytes after the message")]
    Long,
    #[error("unknown {0}")]
    Unknown(&'static str),
    #[error("reserved bytes are not zero")]
    Reserved,
}

/// The least a value takes.
const VALUE_MIN: usize = 16;
const DEP_MIN: usize = VALUE_MIN + 1;

/// Handles of payloads before their bytes are reached: the number of the payload within the message.
type Lengths = SmallVec<[u64; 4]>;

/// Decodes one whole message; `store` takes the bytes of each payload and names them. If the message turns out to be bad,
/// `store` was not called.
pub fn decode(bytes: &[u8], mut store: impl FnMut(&[u8]) -> Payload) -> Result<PeerMessage, BadFrame> {
    let mut cursor = Cursor::new(bytes);
    let mut lengths = Lengths::new();
    let mut message = head(&mut cursor, &mut lengths)?;
    if let [len] = *lengths.as_slice() {
        // Most calls and replies.
        let payload = cursor.slice(len)?;
        cursor.end()?;
        resolve(&mut message, &[store(payload)]);
        return Ok(message);
    }
    let mut slices = SmallVec::<[&[u8]; 4]>::new();
    for len in lengths {
        slices.push(cursor.slice(len)?);
    }
    cursor.end()?;
    let handles: SmallVec<[Payload; 4]> = slices.into_iter().map(store).collect();
    resolve(&mut message, &handles);
    Ok(message)
}

#[inline]
fn head(cursor: &mut Cursor<'_>, lengths: &mut Lengths) -> Result<PeerMessage, BadFrame> {
    Ok(match cursor.u8()? {
        DEFINE => {
            cursor.zeros::<3>()?;
            let function = cursor.u32()?;
            PeerMessage::Define { function, payload: inline(cursor.u64()?, lengths) }
        }
        CALL => PeerMessage::Call(call(cursor, lengths)?),
        REPLY => PeerMessage::Reply(reply(cursor, lengths)?),
        FETCH => {
            cursor.zeros::<7>()?;
            let token = cursor.u64()?;
            PeerMessage::Fetch { object: reference(cursor)?, token }
        }
        VALUE => {
            let known = cursor.flag()?;
            cursor.zeros::<6>()?;
            let token = cursor.u64()?;
            PeerMessage::Value { token, value: if known { Some(value(cursor, lengths)?) } else { None } }
        }
        REGISTER => {
            cursor.zeros::<7>()?;
            let token = cursor.u64()?;
            PeerMessage::Register { object: reference(cursor)?, token }
        }
        REGISTERED => {
            let known = cursor.flag()?;
            cursor.zeros::<6>()?;
            PeerMessage::Registered { token: cursor.u64()?, known }
        }
        RETURN => {
            cursor.zeros::<3>()?;
            let times = cursor.u32()?;
            PeerMessage::Return { object: reference(cursor)?, times }
        }
        LEND_ACK => {
            cursor.zeros::<3>()?;
            let times = cursor.u32()?;
            PeerMessage::LendAck { object: reference(cursor)?, times }
        }
        FREE => {
            cursor.zeros::<3>()?;
            PeerMessage::Free { extent: Extent::from_bytes(cursor.array()?) }
        }
        CANCEL => {
            let force = cursor.flag()?;
            cursor.zeros::<6>()?;
            PeerMessage::Cancel { key: cursor.u64()?, force }
        }
        CANCEL_OBJECT => {
            let force = cursor.flag()?;
            cursor.zeros::<6>()?;
            PeerMessage::CancelObject { object: reference(cursor)?, force }
        }
        _ => return Err(BadFrame::Unknown("message")),
    })
}

#[inline]
fn call(cursor: &mut Cursor<'_>, lengths: &mut Lengths) -> Result<WireCall, BadFrame> {
    let kind = match cursor.u8()? {
        0 => CallKind::Task,
        1 => CallKind::CreateActor,
        2 => CallKind::Method,
        3 => CallKind::Terminate,
        _ => return Err(BadFrame::Unknown("kind of call")),
    };
    let returns = cursor.u16()?;
    let function = cursor.u32()?;
    let key = cursor.u64()?;
    let task = TaskId(*cursor.array()?);
    let depth = cursor.u32()?;
    let claim = Claim { slot: cursor.u32()?, generation: cursor.u32()? };
    let (dep_count, contains) = (cursor.u32()?, cursor.u32()?);
    let args = inline(u64::from(cursor.u32()?), lengths);
    let dep_count = cursor.can_hold(dep_count, DEP_MIN)?;
    let mut deps = SmallVec::with_capacity(dep_count);
    for _ in 0..dep_count {
        let value = value(cursor, lengths)?;
        let reference = if cursor.flag()? { Some(reference(cursor)?) } else { None };
        deps.push(WireDep { value, reference });
    }
    let contains = references(cursor, contains)?;
    Ok(WireCall { key, task, function, depth, returns, kind, claim, args, deps, contains })
}

#[inline]
fn reply(cursor: &mut Cursor<'_>, lengths: &mut Lengths) -> Result<WireReply, BadFrame> {
    let status = match cursor.u8()? {
        0 => ReplyStatus::Ok,
        1 => ReplyStatus::Error,
        2 => ReplyStatus::RetryableError,
        3 => ReplyStatus::NotStarted,
        _ => return Err(BadFrame::Unknown("status")),
    };
    let count = cursor.u16()?;
    let ran = cursor.u32()?;
    let ran_ns = match u64::from(ran & !RAN_LONG) {
        ns if ran & RAN_LONG == 0 => ns,
        units if units * RAN_UNIT >= u64::from(RAN_LONG) => units * RAN_UNIT,
        _ => return Err(BadFrame::Unknown("time")),
    };
    let key = cursor.u64()?;
    let count = cursor.can_hold(u32::from(count), VALUE_MIN)?;
    let mut returns = SmallVec::with_capacity(count);
    for _ in 0..count {
        returns.push(value(cursor, lengths)?);
    }
    Ok(WireReply { key, status, ran_ns, returns })
}

#[inline]
fn value(cursor: &mut Cursor<'_>, lengths: &mut Lengths) -> Result<WireValue, BadFrame> {
    let place = cursor.u8()?;
    let is_error = cursor.flag()?;
    cursor.zeros::<2>()?;
    let contains = cursor.u32()?;
    let place = match place {
        INLINE => Place::Inline(inline(cursor.u64()?, lengths)),
        ARENA => Place::Arena(Extent::from_bytes(cursor.array()?)),
        _ => return Err(BadFrame::Unknown("place")),
    };
    Ok(WireValue { place, is_error, contains: references(cursor, contains)? })
}

#[inline]
fn references(cursor: &mut Cursor<'_>, count: u32) -> Result<Vec<RefDescriptor>, BadFrame> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let count = cursor.can_hold(count, RefDescriptor::WIDTH)?;
    (0..count).map(|_| reference(cursor)).collect()
}

#[inline]
fn reference(cursor: &mut Cursor<'_>) -> Result<RefDescriptor, BadFrame> {
    Ok(RefDescriptor::from_bytes(cursor.array()?))
}

#[inline]
fn inline(len: u64, lengths: &mut Lengths) -> Payload {
    let number = Payload(lengths.len() as u32);
    lengths.push(len);
    number
}

/// Puts the real handles where the numbers are.
fn resolve(message: &mut PeerMessage, handles: &[Payload]) {
    let set = |payload: &mut Payload| *payload = handles[payload.0 as usize];
    let set_value = |value: &mut WireValue| match &mut value.place {
        Place::Inline(payload) => set(payload),
        Place::Arena(_) => {}
    };
    match message {
        PeerMessage::Define { payload, .. } => set(payload),
        PeerMessage::Call(call) => {
            set(&mut call.args);
            call.deps.iter_mut().for_each(|dep| set_value(&mut dep.value));
        }
        PeerMessage::Reply(reply) => reply.returns.iter_mut().for_each(set_value),
        PeerMessage::Value { value, .. } => value.iter_mut().for_each(set_value),
        PeerMessage::Fetch { .. }
        | PeerMessage::Register { .. }
        | PeerMessage::Registered { .. }
        | PeerMessage::Return { .. }
        | PeerMessage::LendAck { .. }
        | PeerMessage::Free { .. }
        | PeerMessage::Cancel { .. }
        | PeerMessage::CancelObject { .. } => {}
    }
}
