//! Options by name: filling an options object, and reading the table that says which there are.

use super::boundary::{boundary, output, utf8};
use super::status::catzilla_status_t;
use crate::error::Status;
use crate::options::{OptionInfo, TABLE};
use crate::Options;
use std::ffi::{c_char, CString};
use std::sync::atomic::{AtomicPtr, Ordering};

/// How a cache is to be made, filled by name.
pub struct catzilla_options {
    pub(super) options: Options,
}

/// See `struct catzilla_options`.
pub type catzilla_options_t = catzilla_options;

/// A row of the table of options. New members are only ever added at the end.
#[repr(C)]
pub struct catzilla_option_info {
    /// `tier.option`, as `catzilla_options_set` takes it.
    pub name: *const c_char,
    /// `count`, `size`, `duration`, `percent`, `switch` or `policy`.
    pub r#type: *const c_char,
    /// The text that stands for what is used when nobody sets the option.
    pub default_value: *const c_char,
    /// What is allowed, in words.
    pub range: *const c_char,
    /// One line of help.
    pub help: *const c_char,
    /// Whether the option can change while a cache runs.
    pub live: bool,
}

/// See `struct catzilla_option_info`.
pub type catzilla_option_info_t = catzilla_option_info;

/// Makes an options object that holds the defaults.
///
/// Ownership: ended by `catzilla_options_destroy`. Threads: an options object belongs to one thread at a time.
#[no_mangle]
pub extern "C" fn catzilla_options_create() -> *mut catzilla_options_t {
    boundary(|| Ok(Box::into_raw(Box::new(catzilla_options_t { options: Options::new() }))))
}

/// Sets the option `name` to what the text `value` says: `"10000"`, `"512MiB"`, `"300ms"`, `"on"`, `"unlimited"`.
///
/// Returns: `CATZILLA_OK`; `CATZILLA_UNKNOWN_OPTION`, `CATZILLA_INVALID_OPTION` or `CATZILLA_OPTION_OUT_OF_RANGE` with a
/// last error that names the option, what was given and what is allowed. The options are as they were then.
#[no_mangle]
pub unsafe extern "C" fn catzilla_options_set(
    options: *mut catzilla_options_t,
    name: *const c_char,
    value: *const c_char,
) -> catzilla_status_t {
    boundary(|| {
        let options = output(options, "options")?;
        let (name, value) = (utf8(name, "name")?, utf8(value, "value")?);
        options.options.set(name, value)?;
        Ok(Status::Ok)
    })
}

/// Ends an options object; NULL is fine. Caches that were opened with it are not touched.
#[no_mangle]
pub unsafe extern "C" fn catzilla_options_destroy(options: *mut catzilla_options_t) {
    boundary(|| {
        if !options.is_null() {
            // SAFETY: not NULL, so from `catzilla_options_create` and not destroyed before.
            drop(unsafe { Box::from_raw(options) });
        }
        Ok(())
    })
}

/// How many options there are.
#[no_mangle]
pub extern "C" fn catzilla_option_count() -> usize {
    TABLE.len()
}

/// The row `index` of the table of options.
///
/// Returns: the row, which is good for ever; NULL past the end.
#[no_mangle]
pub extern "C" fn catzilla_option_info(index: usize) -> *const catzilla_option_info_t {
    boundary(|| Ok(rows().get(index).map_or(std::ptr::null(), |row| &raw const row.info)))
}

/// A row and the texts it points to.
struct Row {
    info: catzilla_option_info_t,
    _texts: [CString; 5],
}

// SAFETY: the pointers in a row are to its own texts, which never change.
unsafe impl Send for Row {}
// SAFETY: as above.
unsafe impl Sync for Row {}

/// The rows, made when somebody first asks. Not a `OnceLock`: a fork in the middle of one would leave the child waiting
/// for a thread that it does not have. Two threads that make them at once make one set too many, which goes again.
fn rows() -> &'static [Row] {
    static ROWS: AtomicPtr<Vec<Row>> = AtomicPtr::new(std::ptr::null_mut());
    // SAFETY: NULL or what was published below, which is never freed.
    if let Some(rows) = unsafe { ROWS.load(Ordering::Acquire).as_ref() } {
        return rows;
    }
    let made = Box::into_raw(Box::new(TABLE.iter().map(Row::new).collect::<Vec<_>>()));
    match ROWS.compare_exchange(std::ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire) {
        // SAFETY: just made, and published for good.
        Ok(_) => unsafe { &*made },
        Err(others) => {
            // SAFETY: made above and seen by nobody else.
            drop(unsafe { Box::from_raw(made) });
            // SAFETY: published by somebody else for good.
            unsafe { &*others }
        }
    }
}

impl Row {
    fn new(option: &OptionInfo) -> Self {
        let text = |text: &str| CString::new(text).unwrap_or_default();
        let texts = [option.name, option.type_name(), option.default, &option.range(), option.help].map(text);
        let [name, r#type, default_value, range, help] = &texts;
        let info = catzilla_option_info_t {
            name: name.as_ptr(),
            r#type: r#type.as_ptr(),
            default_value: default_value.as_ptr(),
            range: range.as_ptr(),
            help: help.as_ptr(),
            live: option.live,
        };
        Self { info, _texts: texts }
    }
}
