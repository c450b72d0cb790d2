//! As whom this process acts, which the standard library does not tell. Asked by `folder.rs`.
#![allow(unsafe_code)]

/// The owner of what this process makes.
pub(super) fn effective_user() -> u32 {
    // SAFETY: only reads, and cannot fail.
    unsafe { libc::geteuid() }
}
