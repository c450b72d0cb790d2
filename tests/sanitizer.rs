//! Proof that a run under a sanitizer is one: `CATZILLA_SANITIZER` names it, and its runtime has to be in this process.
//! Without the variable there is nothing to prove, which `make sanitize` never does.
#![allow(unsafe_code)]
#![cfg(not(miri))]

#[test]
fn the_sanitizer_that_was_asked_for_is_in_this_process() {
    let Ok(sanitizer) = std::env::var("CATZILLA_SANITIZER") else { return };
    let symbol = match sanitizer.as_str() {
        "address" => c"__asan_init",
        "thread" => c"__tsan_init",
        other => panic!("CATZILLA_SANITIZER is {other}; it can be address or thread"),
    };
    // SAFETY: looks a name up in what is loaded.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, symbol.as_ptr()) };
    assert!(!address.is_null(), "the {sanitizer} sanitizer is not in this process");
}
