//! The daemon's side of the fork server: starts the interpreter, asks for workers, hears of their ends.
//! The packets are described in `python/iosdk/_forkserver.py`.

use crate::config::Environment;
use iosdk_types::Exit;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::fs::OpenOptions;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Sets the search path, then becomes the server. The channel is its standard input.
const BOOT: &str = "\
import sys
first = sys.argv[1:]
sys.argv[1:] = []
sys.path[:] = first + [entry for entry in sys.path if entry and entry not in first]
from iosdk._forkserver import main
sys.exit(main())
";

/// Texts are bounded by the sender.
const PACKET_LIMIT: usize = 64 << 10;

pub(crate) struct ForkServer {
    pid: i32,
    channel: OwnedFd,
}

#[derive(Debug)]
pub(crate) enum Reply {
    Ready,
    CannotStart(String),
    Forked { process: u32, pid: i32, pidfd: OwnedFd },
    Refused { process: u32, why: String },
    Ended { pid: i32, exit: Exit },
}

impl ForkServer {
    /// `files`: the limit on open files that user processes shall have (the daemon's own is higher).
    pub(crate) fn start(environment: &Environment, log: &Path, files: Rlimit) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let (near, far) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        let log = OpenOptions::new().append(true).create(true).mode(0o600).open(log)?;
        let child = Command::new(&environment.python)
            .arg("-c")
            .arg(BOOT)
            .args(&environment.sys_path)
            .stdin(Stdio::from(far))
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| {
                io::Error::new(error.kind(), format!("starting {}: {error}", environment.python.display()))
            })?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        prlimit(Pid::from_raw(pid), Resource::Nofile, files)?;
        rustix::io::ioctl_fionbio(&near, true)?;
        Ok(Self { pid, channel: near })
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Readable when `receive` has something.
    pub(crate) fn channel(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }

    /// Few are outstanding at a time, so that they always fit into the socket.
    /// `setting`: see `_forkserver.py`; empty for a worker that runs as the server does.
    pub(crate) fn request(&self, process: u32, setting: &[u8], fds: [BorrowedFd<'_>; 3]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(io::Error::other("no room for three descriptors"));
        }
        let packet = process.to_le_bytes();
        sendmsg(&self.channel, &[IoSlice::new(&packet), IoSlice::new(setting)], &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// `None`: nothing more for now. An error of kind `UnexpectedEof`: the server has ended.
    pub(crate) fn receive(&self) -> io::Result<Option<Reply>> {
        let mut packet = vec![0; PACKET_LIMIT];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let got = loop {
            match recvmsg(&self.channel, &mut [IoSliceMut::new(&mut packet)], &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
                Ok(got) => break got.bytes,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::CONNRESET) => break 0,
                Err(error) => return Err(error.into()),
            }
        };
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut pidfd = None;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                pidfd = fds.last();
            }
        }
        parse(&packet[..got], pidfd).map(Some)
    }
}

fn parse(packet: &[u8], pidfd: Option<OwnedFd>) -> io::Result<Reply> {
    let bad = || io::Error::new(io::ErrorKind::InvalidData, format!("the fork server sent {packet:?}"));
    let (kind, rest) = packet.split_first().ok_or_else(bad)?;
    let word = |at: usize| {
        let bytes = rest.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(i32::from_le_bytes).ok_or_else(bad)
    };
    let text = |at: usize| String::from_utf8_lossy(rest.get(at..).unwrap_or_default()).into_owned();
    Ok(match kind {
        b'R' => Reply::Ready,
        b'E' => Reply::CannotStart(text(0)),
        b'F' => Reply::Forked { process: word(0)? as u32, pid: word(4)?, pidfd: pidfd.ok_or_else(bad)? },
        b'N' => Reply::Refused { process: word(0)? as u32, why: text(8) },
        b'X' => {
            let code = word(8)?;
            Reply::Ended { pid: word(4)?, exit: if code < 0 { Exit::Signal(-code) } else { Exit::Code(code) } }
        }
        _ => return Err(bad()),
    })
}

#[cfg(test)]
#[path = "fork_server_tests.rs"]
mod tests;
