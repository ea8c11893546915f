//! The control codec: backlog, descriptors, limits, damage, and neighbouring versions.

use iosdk_net::{ControlReader, ControlWriter, ReadError};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Said {
    Word { text: String, number: u64 },
    Block(#[serde(with = "serde_bytes")] Vec<u8>),
}

fn word(number: u64) -> Said {
    Said::Word { text: format!("word {number}"), number }
}

fn pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

fn read(reader: &mut ControlReader, stream: &UnixStream) -> Result<Vec<(Said, Vec<OwnedFd>)>, ReadError> {
    reader.read(stream.as_fd())
}

/// What one end of a pipe says when read from the descriptor that came.
fn content(fd: OwnedFd) -> String {
    let mut text = String::new();
    std::fs::File::from(fd).read_to_string(&mut text).unwrap();
    text
}

fn pipe_with(text: &str) -> OwnedFd {
    let (end, mut start) = std::io::pipe().unwrap();
    start.write_all(text.as_bytes()).unwrap();
    end.into()
}

#[test]
fn messages_and_descriptors_arrive_together() {
    let (mine, theirs) = pair();
    let (mut writer, mut reader) = (ControlWriter::default(), ControlReader::default());
    assert!(read(&mut reader, &theirs).unwrap().is_empty(), "a blocking socket without messages does not block");
    let (a, b, c) = (pipe_with("a"), pipe_with("b"), pipe_with("c"));
    writer.send(mine.as_fd(), &word(0), &[]).unwrap();
    writer.send(mine.as_fd(), &word(1), &[a.as_fd(), b.as_fd()]).unwrap();
    writer.send(mine.as_fd(), &word(2), &[]).unwrap();
    writer.send(mine.as_fd(), &word(3), &[c.as_fd()]).unwrap();
    assert!(!writer.wants_write());
    let mut got = Vec::new();
    while got.len() < 4 {
        got.extend(read(&mut reader, &theirs).unwrap());
    }
    let got: Vec<_> =
        got.into_iter().map(|(said, fds)| (said, fds.into_iter().map(content).collect::<String>())).collect();
    let expected = [(word(0), ""), (word(1), "ab"), (word(2), ""), (word(3), "c")];
    assert_eq!(got, expected.map(|(said, text)| (said, text.to_owned())));
    drop(mine);
    assert!(matches!(read(&mut reader, &theirs), Err(ReadError::Closed)));
}

#[test]
fn what_the_socket_does_not_take_waits_in_order() {
    let (mine, theirs) = pair();
    let (mut writer, mut reader) = (ControlWriter::default(), ControlReader::default());
    let block = Said::Block((0..3_000_000).map(|at: u32| (at * 7) as u8).collect());
    writer.send(mine.as_fd(), &block, &[pipe_with("first").as_fd()]).unwrap();
    for number in 0..100 {
        // The pipe is closed here at once: the writer must have kept a descriptor of its own.
        writer.send(mine.as_fd(), &word(number), &[pipe_with(&number.to_string()).as_fd()]).unwrap();
    }
    assert!(writer.wants_write());
    let mut got = Vec::new();
    while got.len() < 101 {
        writer.flush(mine.as_fd()).unwrap();
        got.extend(read(&mut reader, &theirs).unwrap());
    }
    assert!(!writer.wants_write());
    for (index, (said, mut fds)) in got.into_iter().enumerate() {
        assert_eq!(fds.len(), 1);
        let text = content(fds.remove(0));
        match index {
            0 => assert!(said == block && text == "first"),
            _ => assert_eq!((said, text), (word(index as u64 - 1), (index - 1).to_string())),
        }
    }
}

#[test]
fn limits_are_kept_on_both_sides() {
    let (mine, mut theirs) = pair();
    let mut writer = ControlWriter::default();
    assert!(writer.send(mine.as_fd(), &Said::Block(vec![0; (64 << 20) + 1]), &[]).is_err());
    let many = [mine.as_fd(); 16];
    assert!(writer.send(mine.as_fd(), &word(1), &many).is_err());
    assert!(!writer.wants_write(), "what is refused is not kept");
    theirs.write_all(&((64u32 << 20) + 1).to_le_bytes()).unwrap();
    assert!(matches!(read(&mut ControlReader::default(), &mine), Err(ReadError::Bad(_))));
}

fn encoded(message: &impl Serialize) -> Vec<u8> {
    let (mine, mut theirs) = pair();
    ControlWriter::default().send(mine.as_fd(), message, &[]).unwrap();
    drop(mine);
    let mut bytes = Vec::new();
    theirs.read_to_end(&mut bytes).unwrap();
    bytes
}

/// What a fresh reader makes of these bytes and the end of the connection.
fn decoded<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<Vec<T>, ReadError> {
    let (mut mine, theirs) = pair();
    mine.write_all(bytes).unwrap();
    drop(mine);
    let mut reader = ControlReader::default();
    let mut all = Vec::new();
    loop {
        match reader.read::<T>(theirs.as_fd()) {
            Ok(messages) => all.extend(messages.into_iter().map(|(message, _)| message)),
            Err(ReadError::Closed) => return Ok(all),
            Err(error) => return Err(error),
        }
    }
}

#[test]
fn damage_is_noticed() {
    let good = encoded(&word(7));
    assert_eq!(decoded::<Said>(&good).unwrap(), [word(7)]);
    assert!(matches!(decoded::<Said>(&good[..good.len() - 1]), Err(ReadError::Bad(_))), "cut off");
    let mut longer = good.clone();
    longer.push(0xc0);
    longer[0] += 1;
    assert!(matches!(decoded::<Said>(&longer), Err(ReadError::Bad(_))), "trailing byte");
    let mut promised = good.clone();
    promised[3] = 1 << 4;
    assert!(matches!(decoded::<Said>(&promised), Err(ReadError::Bad(_))), "a descriptor that did not come");
    let mut unknown = good;
    let at = unknown.iter().position(|byte| *byte == b'W').unwrap();
    unknown[at] = b'X';
    assert!(matches!(decoded::<Said>(&unknown), Err(ReadError::Bad(_))), "unknown variant");
    assert!(matches!(decoded::<Said>(&[]), Ok(none) if none.is_empty()));
}

/// What came before the damage or the end is not lost with it.
#[test]
fn messages_before_the_end_are_returned_first() {
    let (mut mine, theirs) = pair();
    mine.write_all(&[encoded(&word(1)), encoded(&word(2))].concat()).unwrap();
    drop(mine);
    let mut reader = ControlReader::default();
    let got = read(&mut reader, &theirs).unwrap();
    assert_eq!(got.len(), 2);
    assert!(matches!(read(&mut reader, &theirs), Err(ReadError::Closed)));
    assert!(matches!(read(&mut reader, &theirs), Err(ReadError::Closed)));
}

/// A neighbouring version's idea of the same message.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Newer {
    Word {
        number: u64,
        #[serde(default)]
        colour: Option<String>,
        text: String,
        #[serde(default)]
        weight: u32,
    },
}

#[test]
fn neighbouring_versions_understand_each_other() {
    let newer = Newer::Word { number: 3, colour: Some("red".into()), text: "word 3".into(), weight: 9 };
    assert_eq!(decoded::<Said>(&encoded(&newer)).unwrap(), [word(3)]);
    let defaulted = Newer::Word { number: 3, colour: None, text: "word 3".into(), weight: 0 };
    assert_eq!(decoded::<Newer>(&encoded(&word(3))).unwrap(), [defaulted]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// However the bytes are cut on their way, the messages are the same.
    #[test]
    fn cuts_do_not_matter(
        sizes in proptest::collection::vec(0usize..5000, 1..8),
        cuts in proptest::collection::vec(1usize..4000, 0..20),
    ) {
        let messages: Vec<_> = sizes.iter().map(|size| Said::Block(vec![*size as u8; *size])).collect();
        let bytes: Vec<u8> = messages.iter().flat_map(encoded).collect();
        let (mut mine, theirs) = pair();
        let (mut reader, mut got, mut rest) = (ControlReader::default(), Vec::new(), bytes.as_slice());
        for cut in cuts.into_iter().chain([usize::MAX]) {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            mine.write_all(now).unwrap();
            got.extend(read(&mut reader, &theirs).unwrap().into_iter().map(|(said, _)| said));
            rest = later;
        }
        while got.len() < messages.len() {
            got.extend(read(&mut reader, &theirs).unwrap().into_iter().map(|(said, _)| said));
        }
        prop_assert_eq!(got, messages);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), len in 0u8..200) {
        let framed = [&[len, 0, 0, 0], bytes.as_slice()].concat();
        let _either = decoded::<Said>(&bytes).is_ok();
        let _either = decoded::<Said>(&framed).is_ok();
        let _either = decoded::<iosdk_types::message::ProcessToRaylet>(&framed).is_ok();
    }
}
