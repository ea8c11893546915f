//! The codec of every RPC: MessagePack with field names, so that a reader one version older or newer understands it.

use bytes::{Buf, BufMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::Cursor;
use std::marker::PhantomData;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Encodes `E`, decodes `D`.
pub struct Rmp<E, D>(PhantomData<fn() -> (E, D)>);

impl<E, D> Default for Rmp<E, D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

pub struct RmpEncoder<E>(PhantomData<fn() -> E>);
pub struct RmpDecoder<D>(PhantomData<fn() -> D>);

impl<E: Serialize + Send + 'static, D: DeserializeOwned + Send + 'static> Codec for Rmp<E, D> {
    type Encode = E;
    type Decode = D;
    type Encoder = RmpEncoder<E>;
    type Decoder = RmpDecoder<D>;

    fn encoder(&mut self) -> Self::Encoder {
        RmpEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        RmpDecoder(PhantomData)
    }
}

impl<E: Serialize> Encoder for RmpEncoder<E> {
    type Item = E;
    type Error = Status;

    fn encode(&mut self, item: E, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        rmp_serde::encode::write_named(&mut dst.writer(), &item)
            .map_err(|error| Status::internal(format!("cannot encode a message: {error}")))
    }
}

impl<D: DeserializeOwned> Decoder for RmpDecoder<D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        // A whole message lies contiguous in one chunk; copying is the exception.
        let len = src.remaining();
        let item =
            if src.chunk().len() == len { decode_all(src.chunk()) } else { decode_all(&src.copy_to_bytes(len)) }?;
        src.advance(src.remaining());
        Ok(Some(item))
    }
}

/// Bytes left over mean that the two sides do not speak of the same thing.
fn decode_all<D: DeserializeOwned>(bytes: &[u8]) -> Result<D, Status> {
    let mut reader = rmp_serde::Deserializer::new(Cursor::new(bytes));
    let item =
        D::deserialize(&mut reader).map_err(|error| Status::invalid_argument(format!("bad message: {error}")))?;
    let left = bytes.len() as u64 - reader.position();
    if left != 0 {
        return Err(Status::invalid_argument(format!("bad message: {left} bytes after its end")));
    }
    Ok(item)
}

#[cfg(test)]
mod tests {
    use super::*;
    use iosdk_types::JobId;
    use iosdk_types::message::GcsToRaylet;

    #[test]
    fn what_follows_a_message_is_an_error() {
        let mut bytes = rmp_serde::to_vec_named(&JobId::from_index(3)).unwrap();
        assert_eq!(decode_all::<JobId>(&bytes).unwrap(), JobId::from_index(3));
        bytes.push(0xc0);
        assert!(decode_all::<JobId>(&bytes).unwrap_err().message().contains("1 bytes after its end"));
    }

    #[test]
    fn a_truncated_or_foreign_message_is_an_error() {
        let bytes = rmp_serde::to_vec_named(&GcsToRaylet::Joined { version: 1 }).unwrap();
        for cut in 0..bytes.len() {
            assert!(decode_all::<GcsToRaylet>(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert!(decode_all::<GcsToRaylet>(b"\x93\x01\x02\x03").is_err());
    }
}
