//! The fixed layout of peer messages: pinned bytes, round trips, and arbitrary bytes.

use iosdk_net::frame::{self, BadFrame};
use iosdk_net::{OwnMailbox, PeerMailbox, Pushed, mailbox};
use iosdk_types::message::peer::{
    CallKind, Claim, Payload, PeerMessage, Place, ReplyStatus, WireCall, WireDep, WireReply, WireValue,
};
use iosdk_types::{Address, Extent, ObjectId, RefDescriptor, TaskId};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use smallvec::smallvec;
use std::os::fd::AsFd;

/// Message and payload table together.
type Case = (PeerMessage, Vec<Vec<u8>>);

fn encode((message, payloads): &Case) -> Vec<u8> {
    let mut out = Vec::new();
    assert!(frame::encode(message, |payload| payloads[payload.0 as usize].as_slice(), &mut out));
    out
}

/// Handles are numbered in the order in which the payloads lie in the message.
fn decode(bytes: &[u8]) -> Result<Case, BadFrame> {
    let mut payloads = Vec::new();
    let message = frame::decode(bytes, |payload| {
        payloads.push(payload.to_vec());
        Payload(payloads.len() as u32 - 1)
    })?;
    Ok((message, payloads))
}

fn a_reference(seed: u8) -> RefDescriptor {
    let owner = Address { node: 1, epoch: 2, process: u32::from(seed) };
    RefDescriptor { object: ObjectId([seed; 28]), owner, key: 0x0102_0304_0506_0708 }
}

fn an_extent() -> Extent {
    Extent { segment: 1, generation: 2, offset: 0x20_0040, len: 9, holder: Address { node: 3, epoch: 4, process: 5 } }
}

fn inline(handle: u32) -> WireValue {
    WireValue { place: Place::Inline(Payload(handle)), is_error: false, contains: Vec::new() }
}

/// One of each, with the bytes they have had since version 1.
fn golden() -> Vec<(Case, &'static str)> {
    let call = WireCall {
        key: 0x1_0000_0002,
        task: TaskId([0xaa; 24]),
        function: 7,
        depth: 3,
        returns: 2,
        kind: CallKind::Method,
        claim: Claim { slot: 511, generation: 9 },
        args: Payload(0),
        deps: smallvec![
            WireDep { value: inline(1), reference: None },
            WireDep {
                value: WireValue {
                    place: Place::Arena(an_extent()),
                    is_error: false,
                    contains: vec![a_reference(0x11)]
                },
                reference: Some(a_reference(0x22)),
            },
        ],
        contains: vec![a_reference(0x33)],
    };
    let reply = WireReply {
        key: 0x1_0000_0002,
        status: ReplyStatus::RetryableError,
        ran_ns: 1000,
        returns: smallvec![inline(0), WireValue { is_error: true, ..inline(1) }],
    };
    let bytes = |payloads: &[&str]| payloads.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>();
    let (object, token, times) = (a_reference(0x44), 0xfe, 6);
    let messages = [
        (PeerMessage::Define { function: 7, payload: Payload(0) }, bytes(&["def"])),
        (PeerMessage::Call(call), bytes(&["args", "dep"])),
        (PeerMessage::Reply(reply), bytes(&["one", "two"])),
        (PeerMessage::Fetch { object, token }, vec![]),
        (PeerMessage::Value { token, value: Some(inline(0)) }, bytes(&["val"])),
        (PeerMessage::Value { token, value: None }, vec![]),
        (PeerMessage::Register { object, token }, vec![]),
        (PeerMessage::Registered { token, known: true }, vec![]),
        (PeerMessage::Return { object, times }, vec![]),
        (PeerMessage::LendAck { object, times }, vec![]),
        (PeerMessage::Free { extent: an_extent() }, vec![]),
        (PeerMessage::Cancel { key: 0x1_0000_0002, force: true }, vec![]),
        (PeerMessage::CancelObject { object, force: true }, vec![]),
    ];
    let pinned = include_str!("golden/frame.hex").lines();
    messages.into_iter().zip(pinned).collect()
}

#[test]
fn the_layout_does_not_change() {
    let golden = golden();
    assert_eq!(golden.len(), 13);
    for (case, pinned) in golden {
        let hex: String = encode(&case).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, pinned, "{:?}", case.0);
        assert_eq!(decode(&encode(&case)), Ok(case));
    }
}

#[test]
fn a_long_time_is_rounded_up() {
    let sent_as = |ran_ns| {
        let reply = WireReply { key: 1, status: ReplyStatus::Ok, ran_ns, returns: smallvec![] };
        let Ok((PeerMessage::Reply(reply), _)) = decode(&encode(&(PeerMessage::Reply(reply), vec![]))) else {
            panic!()
        };
        reply.ran_ns
    };
    let two_seconds = 1 << 31;
    assert_eq!(sent_as(two_seconds - 1), two_seconds - 1);
    assert_eq!(sent_as(two_seconds), two_seconds);
    assert_eq!(sent_as(two_seconds + 1), two_seconds + (1 << 20));
    let days = 24 * 3600 * 1_000_000_000;
    assert!((25 * days..25 * days + (1 << 20)).contains(&sent_as(25 * days)));
    assert!((26 * days..27 * days).contains(&sent_as(u64::MAX)));
    // A short time is not said in the units of a long one.
    let (case, _) = golden().swap_remove(2);
    let mut bytes = encode(&case);
    bytes[4..8].copy_from_slice(&(1u32 << 31 | 2047).to_le_bytes());
    assert_eq!(decode(&bytes), Err(BadFrame::Unknown("time")));
}

#[test]
fn every_shorter_or_longer_message_is_refused() {
    for (case, _) in golden() {
        let mut bytes = encode(&case);
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_err(), "{:?} cut to {len}", case.0);
        }
        bytes.push(0);
        assert_eq!(decode(&bytes), Err(BadFrame::Long));
    }
}

#[test]
fn a_refused_message_stores_nothing() {
    let mut bytes = encode(&golden()[2].0);
    bytes.pop();
    assert_eq!(frame::decode(&bytes, |_| panic!("stored a payload of a bad message")), Err(BadFrame::Short));
}

#[test]
fn lying_counts_reserve_no_memory() {
    let mut call = encode(&golden()[1].0);
    call[52..60].fill(0xff);
    assert_eq!(decode(&call), Err(BadFrame::Short));
    let mut define = encode(&golden()[0].0);
    define[8..16].fill(0xff);
    assert_eq!(decode(&define), Err(BadFrame::Short));
}

fn reference() -> impl Strategy<Value = RefDescriptor> {
    any::<[u8; 48]>().prop_map(|bytes| RefDescriptor::from_bytes(&bytes))
}

/// A value whose payload, if inline, is still to be numbered.
fn value() -> impl Strategy<Value = (WireValue, Option<Vec<u8>>)> {
    let place = prop_oneof![
        vec(any::<u8>(), 0..300).prop_map(|bytes| (Place::Inline(Payload(0)), Some(bytes))),
        any::<[u8; 36]>().prop_map(|bytes| (Place::Arena(Extent::from_bytes(&bytes)), None)),
    ];
    (place, any::<bool>(), vec(reference(), 0..4))
        .prop_map(|((place, bytes), is_error, contains)| (WireValue { place, is_error, contains }, bytes))
}

fn number(value: &mut WireValue, bytes: Option<Vec<u8>>, payloads: &mut Vec<Vec<u8>>) {
    if let Some(bytes) = bytes {
        value.place = Place::Inline(Payload(payloads.len() as u32));
        payloads.push(bytes);
    }
}

fn call() -> impl Strategy<Value = Case> {
    let kind = prop_oneof![
        Just(CallKind::Task),
        Just(CallKind::CreateActor),
        Just(CallKind::Method),
        Just(CallKind::Terminate)
    ];
    let fixed = (any::<u64>(), any::<[u8; 24]>(), any::<[u32; 4]>(), any::<u16>(), kind);
    let dep = (value(), option::of(reference()));
    (fixed, vec(any::<u8>(), 0..300), vec(dep, 0..4), vec(reference(), 0..4)).prop_map(
        |((key, task, words, returns, kind), args, deps, contains)| {
            let mut payloads = vec![args];
            let deps = deps.into_iter().map(|((mut value, bytes), reference)| {
                number(&mut value, bytes, &mut payloads);
                WireDep { value, reference }
            });
            let deps = deps.collect();
            let [function, depth, slot, generation] = words;
            let claim = Claim { slot, generation };
            let task = TaskId(task);
            let args = Payload(0);
            let call = WireCall { key, task, function, depth, returns, kind, claim, args, deps, contains };
            (PeerMessage::Call(call), payloads)
        },
    )
}

/// Times that a frame keeps as they are.
fn ran_ns() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..1 << 31, (1u64 << 11..1 << 31).prop_map(|units| units << 20)]
}

fn reply() -> impl Strategy<Value = Case> {
    let status = prop_oneof![
        Just(ReplyStatus::Ok),
        Just(ReplyStatus::Error),
        Just(ReplyStatus::RetryableError),
        Just(ReplyStatus::NotStarted)
    ];
    (any::<u64>(), status, ran_ns(), vec(value(), 0..5)).prop_map(|(key, status, ran_ns, returned)| {
        let mut payloads = Vec::new();
        let returns = returned.into_iter().map(|(mut value, bytes)| {
            number(&mut value, bytes, &mut payloads);
            value
        });
        let returns = returns.collect();
        (PeerMessage::Reply(WireReply { key, status, ran_ns, returns }), payloads)
    })
}

fn small() -> impl Strategy<Value = Case> {
    let fields = (reference(), any::<u64>(), any::<u32>(), any::<bool>(), any::<[u8; 36]>());
    (0..9, fields, option::of(value())).prop_map(|(which, (object, token, times, flag, extent), content)| {
        let mut payloads = Vec::new();
        let message = match which {
            0 => PeerMessage::Fetch { object, token },
            1 => PeerMessage::Register { object, token },
            2 => PeerMessage::Registered { token, known: flag },
            3 => PeerMessage::Return { object, times },
            4 => PeerMessage::LendAck { object, times },
            5 => PeerMessage::Free { extent: Extent::from_bytes(&extent) },
            6 => PeerMessage::Cancel { key: token, force: flag },
            7 => PeerMessage::CancelObject { object, force: flag },
            _ => {
                let value = content.map(|(mut value, bytes)| {
                    number(&mut value, bytes, &mut payloads);
                    value
                });
                PeerMessage::Value { token, value }
            }
        };
        (message, payloads)
    })
}

fn define() -> impl Strategy<Value = Case> {
    (any::<u32>(), vec(any::<u8>(), 0..3000))
        .prop_map(|(function, bytes)| (PeerMessage::Define { function, payload: Payload(0) }, vec![bytes]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_encoded_is_decoded(case in prop_oneof![call(), reply(), small(), define()]) {
        prop_assert_eq!(decode(&encode(&case)), Ok(case));
    }

    /// A changed message is refused or is another valid one: then it is what its own encoding says.
    #[test]
    fn changed_bytes_are_refused_or_mean_something(
        case in prop_oneof![call(), reply(), small()],
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = encode(&case);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(other) = decode(&bytes) {
            prop_assert_eq!(encode(&other), bytes);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(kind in 0u8..13, mut bytes in vec(any::<u8>(), 1..400)) {
        bytes[0] = kind;
        if let Ok(case) = decode(&bytes) {
            prop_assert_eq!(encode(&case), bytes);
        }
    }
}

#[test]
fn messages_go_through_a_lane_in_parts() {
    let fd = mailbox::create(1).unwrap();
    let mut producer = PeerMailbox::map(fd.as_fd()).unwrap().producer(fd.as_fd(), 0).unwrap();
    let mut consumer = OwnMailbox::map(fd).unwrap().open_lane(0).unwrap();
    let mut out = Vec::new();
    for (case, _) in golden() {
        let pushed = frame::push(&mut producer, &case.0, |payload| case.1[payload.0 as usize].as_slice());
        assert_eq!(pushed, Pushed::Done);
        assert!(consumer.pop(&mut out).unwrap());
        assert_eq!(decode(&out), Ok(case));
    }
}
