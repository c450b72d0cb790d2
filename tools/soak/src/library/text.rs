//! Texts as C takes and gives them.

use std::ffi::{c_char, CStr, CString};

pub(super) fn c_text(text: &str) -> CString {
    CString::new(text).expect("texts of this program have no zero in them")
}

/// # Safety
///
/// `address` is NULL or a text that ends in a zero and lives until this returns.
pub(super) unsafe fn text(address: *const c_char) -> String {
    if address.is_null() {
        return String::new();
    }
    // SAFETY: not NULL, and the rest is the caller's promise.
    unsafe { CStr::from_ptr(address) }.to_string_lossy().into_owned()
}
