//! Descriptors that the parent left open for this process, named on the command line.
#![allow(unsafe_code)]

use rustix::io::{FdFlags, fcntl_setfd};
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Takes the control socket. The children of this process inherit neither it nor whatever else the driver left open.
/// To be called once per number.
pub fn control_socket(number: RawFd) -> io::Result<OwnedFd> {
    if number < 3 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{number} is no descriptor of a control socket"),
        ));
    }
    // SAFETY: used for the two calls below only, which fail on a number that is not open.
    let found = unsafe { BorrowedFd::borrow_raw(number) };
    let named = |error: rustix::io::Errno| {
        io::Error::new(io::Error::from(error).kind(), format!("descriptor {number} is not a control socket: {error}"))
    };
    rustix::net::sockopt::socket_peercred(found).map_err(named)?;
    fcntl_setfd(found, FdFlags::CLOEXEC).map_err(named)?;
    // Kernels before 5.11 do not know this; there workers still close everything, only the fork server does not.
    // SAFETY: sets a flag of descriptors, closes none.
    let _unknown_to_old_kernels = unsafe { libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC as i32) };
    // SAFETY: it is open, and the parent passed it for this process alone to own.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
