//! Descriptors of the kernel that say by becoming readable that something has
//! happened.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::unix::AsyncFd;

/// The descriptor, for tasks that wait for it.
#[allow(
    unsafe_code,
    reason = "the runtime must be told that the descriptor stays what it is"
)]
pub(super) fn readable(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open and nobody else's until it is dropped, which
    // is when the `AsyncFd` that takes it in is; it is never replaced in there.
    let registered = unsafe { AsyncFd::register(descriptor) };
    Ok(registered?)
}
