//! The loaded library: which functions, options and version it has, and why a call of this thread has failed.

use std::mem::ManuallyDrop;
use std::path::Path;

use super::header::{Batches, Functions, Loads, Updates, ABI};
use super::text::text;

/// The loaded library.
pub struct Library {
    pub(super) functions: Functions,
    pub(super) batches: Option<Batches>,
    pub(super) updates: Option<Updates>,
    pub(super) loads: Option<Loads>,
    /// Names and ranges of the table of options.
    pub options: Vec<(String, String)>,
    pub version: String,
    /// Keeps the functions mapped. Never unloaded: the library is linked to stay until the process ends.
    _object: ManuallyDrop<libloading::Library>,
}

impl Library {
    pub fn load(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        // SAFETY: the user names a build of catzilla-cache, whose initialisers need nothing from us.
        let object = unsafe { libloading::Library::new(path) }.map_err(|error| format!("{shown}: {error}"))?;
        let functions = Functions::of(&object).map_err(|name| format!("{shown}: has no function {name}"))?;
        // SAFETY: takes nothing and returns a number in every ABI there has been.
        let abi = unsafe { (functions.abi_version)() };
        if abi != ABI {
            return Err(format!("{shown}: has ABI {abi}, this program needs {ABI}"));
        }
        // SAFETY: the version is a static text; each row of the table is static and so are its texts.
        let (version, options) = unsafe {
            let row = |index| (functions.option_info)(index).as_ref().map(|row| (text(row.name), text(row.range)));
            (text((functions.version)()), (0..(functions.option_count)()).map_while(row).collect())
        };
        let batches = Batches::of(&object).ok();
        let updates = Updates::of(&object).ok();
        let loads = Loads::of(&object).ok();
        Ok(Self { functions, batches, updates, loads, options, version, _object: ManuallyDrop::new(object) })
    }

    pub fn has_batches(&self) -> bool {
        self.batches.is_some()
    }

    pub fn has_updates(&self) -> bool {
        self.updates.is_some()
    }

    pub fn has_loads(&self) -> bool {
        self.loads.is_some()
    }

    /// The allowed values of an option; `None` when the library has no such option.
    pub fn range(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|row| row.0 == name).map(|row| &*row.1)
    }

    /// What went wrong in this thread's last failing call.
    pub fn last_error(&self) -> String {
        // SAFETY: never NULL, and good until this thread's next failing call.
        unsafe { text((self.functions.last_error_message)()) }
    }

    pub fn release_results(&self) {
        // SAFETY: whoever calls it forgets its results.
        unsafe { (self.functions.release_results)() }
    }
}
