//! What the daemon needs of its link to the GCS, however that travels.

use iosdk_types::message::{GcsToRaylet, RayletToGcs};
use std::os::fd::BorrowedFd;

#[derive(Debug)]
pub enum GcsEvent {
    Up,
    Down,
    Message(GcsToRaylet),
}

pub trait GcsLink {
    /// Never waits. Lost when the link is down.
    fn send(&mut self, message: RayletToGcs);
    fn try_recv(&mut self) -> Option<GcsEvent>;
    /// An eventfd, readable when `try_recv` may have something.
    fn wake(&self) -> BorrowedFd<'_>;
}
