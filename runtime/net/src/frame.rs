//! The fixed layout of what processes say to each other over lanes. Little-endian, no padding but what is named here.
//!
//! A message is its *head*, then the bytes of its inline payloads one after the other, in the order in which the head
//! names them. So nothing is copied to encode: head and payloads go to the lane as parts.
//!
//! ```text
//! define      0 kind=1   4 function u32   8 length u64                                   | payload
//! call        0 kind=2   1 call kind u8   2 returns u16   4 function u32   8 key u64
//!            16 task [24]  40 depth u32  44 slot u32  48 generation u32  52 deps u32
//!            56 contains u32  60 args length u32
//!            64 deps x (value, 1 byte: has reference, [reference])   then contains x reference | args, deps' payloads
//! reply       0 kind=3   1 status u8   2 returns u16   4 ran u32      8 key u64
//!            16 returns x value                                                          | their payloads
//! fetch       0 kind=4   8 token u64   16 reference
//! value       0 kind=5   1 known u8    8 token u64   [16 value]                          | its payload
//! register    0 kind=6   8 token u64   16 reference
//! registered  0 kind=7   1 known u8    8 token u64
//! return      0 kind=8   4 times u32   8 reference
//! lend ack    0 kind=9   4 times u32   8 reference
//! free        0 kind=10  4 extent [36]
//! cancel      0 kind=11  1 force u8    8 key u64
//!
//! value       0 place u8 (0 inline, 1 arena)   1 error u8   2 zero u16   4 contains u32
//!             8 length u64 | extent [36]       then contains x reference
//! reference   `RefDescriptor::to_bytes`, 48 bytes. Bytes without a name are zero, and are checked.
//! ```

mod decode;
mod encode;
mod read;

pub use decode::{BadFrame, decode};
pub use encode::{Payloads, encode, encode_head};

use crate::lane::{Producer, Pushed};
use iosdk_types::message::peer::{Payload, PeerMessage};

const DEFINE: u8 = 1;
const CALL: u8 = 2;
const REPLY: u8 = 3;
const FETCH: u8 = 4;
const VALUE: u8 = 5;
const REGISTER: u8 = 6;
const REGISTERED: u8 = 7;
const RETURN: u8 = 8;
const LEND_ACK: u8 = 9;
const FREE: u8 = 10;
const CANCEL: u8 = 11;
const CANCEL_OBJECT: u8 = 12;

/// Times of two seconds and more are in units of so many nanoseconds, and have the top bit.
const RAN_UNIT: u64 = 1 << 20;
const RAN_LONG: u32 = 1 << 31;

const INLINE: u8 = 0;
const ARENA: u8 = 1;

/// Encodes right into the lane: the head is built in the producer's scratch space, payload bytes are copied once.
pub fn push<'a>(producer: &mut Producer, message: &PeerMessage, bytes: impl Fn(Payload) -> &'a [u8]) -> Pushed {
    let mut head = std::mem::take(&mut producer.scratch);
    head.clear();
    let mut payloads = Payloads::new();
    let pushed = if encode_head(message, bytes, &mut head, &mut payloads) {
        match payloads.as_slice() {
            [] => producer.push(&[&head]),
            [one] => producer.push(&[&head, one]),
            more => {
                let mut parts = smallvec::SmallVec::<[&[u8]; 8]>::new();
                parts.push(&head);
                parts.extend_from_slice(more);
                producer.push(&parts)
            }
        }
    } else {
        Pushed::TooLong
    };
    producer.scratch = head;
    pushed
}
