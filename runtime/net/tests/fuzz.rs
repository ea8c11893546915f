//! Whatever bytes a hostile peer puts into a lane or sends over the control socket: a message or an error, never a panic. How to
//! look for longer than a test does: `docs/fuzzing.md`.

use iosdk_net::{ControlReader, ReadError, frame};
use iosdk_types::message::peer::Payload;
use iosdk_types::message::{ProcessToRaylet, RayletToProcess};
use serde::de::DeserializeOwned;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// The good ones that are kept beside this file, to start from.
fn examples(test: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/__fuzz__").join(test).join("corpus");
    let files = std::fs::read_dir(dir).expect("a corpus");
    files.map(|file| std::fs::read(file.expect("an entry").path()).expect("a file")).collect()
}

/// One of the examples with some bytes changed: the first byte says which, three of the others where and to what.
fn edited(examples: &[Vec<u8>], bytes: &[u8]) -> Vec<u8> {
    let Some((&which, edits)) = bytes.split_first() else { return Vec::new() };
    let mut example = examples[which as usize % examples.len()].clone();
    for [low, high, value] in edits.as_chunks::<3>().0 {
        let at = usize::from(u16::from_le_bytes([*low, *high])) % example.len();
        example[at] = *value;
    }
    example
}

#[test]
fn frames() {
    let examples = examples("frames");
    bolero::check!().for_each(|bytes: &[u8]| {
        decodes_the_same_twice(bytes);
        decodes_the_same_twice(&edited(&examples, bytes));
    });
}

fn decodes_the_same_twice(bytes: &[u8]) {
    let mut payloads = Vec::new();
    let decoded = frame::decode(bytes, |payload| {
        payloads.push(payload.to_vec());
        Payload(payloads.len() as u32 - 1)
    });
    let Ok(message) = decoded else { return };
    // What was understood can be said, and means the same.
    let mut again = Vec::new();
    assert!(frame::encode(&message, |payload| payloads[payload.0 as usize].as_slice(), &mut again));
    let mut number = 0;
    let twice = frame::decode(&again, |_| {
        number += 1;
        Payload(number - 1)
    });
    assert_eq!(twice.as_ref(), Ok(&message));
}

#[test]
fn control_messages() {
    let examples = examples("control_messages");
    bolero::check!().for_each(|bytes: &[u8]| {
        // As they are, as the body of one message, and as changes of a good one.
        let one = [&(bytes.len() as u32).to_le_bytes(), bytes].concat();
        for sent in [bytes, &one, &edited(&examples, bytes)] {
            read_to_the_end::<ProcessToRaylet>(sent);
            read_to_the_end::<RayletToProcess>(sent);
        }
    });
}

/// The connection ends with the bytes: sooner or later that is what the reader says, or that they are bad.
fn read_to_the_end<T: DeserializeOwned>(bytes: &[u8]) {
    let (mut mine, theirs) = UnixStream::pair().expect("a pair of sockets");
    mine.write_all(bytes).expect("the socket takes that much");
    drop(mine);
    let mut reader = ControlReader::default();
    let end = loop {
        if let Err(end) = reader.read::<T>(theirs.as_fd()) {
            break end;
        }
    };
    assert!(matches!(end, ReadError::Closed | ReadError::Bad(_)), "{end}");
}
