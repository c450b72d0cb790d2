//! What is checked after every step: what is held, what the listener was told, and the figures.

use super::model::Left;
use super::{Run, KEYS};
use catzilla_cache::ffi::classic::{catzilla_cache_get_stats, catzilla_cache_memory_usage};
use catzilla_cache::ffi::listener::{
    catzilla_departed_cause, catzilla_departed_key, catzilla_departed_key_size, catzilla_departed_t,
    catzilla_departed_value, catzilla_departed_value_size,
};
use catzilla_cache::ffi::statistics::{catzilla_cache_statistics, catzilla_statistics_t};
use catzilla_cache::ffi::status::CATZILLA_OK;
use catzilla_cache::ffi::value::{catzilla_value_data, catzilla_value_size};
use std::cell::RefCell;
use std::ffi::c_void;

impl Run {
    pub(super) fn check_what_is_held(&self) {
        for (data, expected) in &self.results {
            // SAFETY: the result is still within its lifetime; that this reads right is what is being tested.
            let found = unsafe { std::slice::from_raw_parts(*data, expected.len()) };
            assert_eq!(found, expected);
        }
        for (value, expected, _) in &self.values {
            // SAFETY: acquired and not released.
            let found = unsafe {
                std::slice::from_raw_parts(catzilla_value_data(*value).cast::<u8>(), catzilla_value_size(*value))
            };
            assert_eq!(found, expected);
        }
    }

    /// Who has left was told to whoever listens, once, and nobody else was.
    pub(super) fn check_what_left(&mut self) {
        let mut left = std::mem::take(&mut self.model.left);
        if let Some(told) = &self.told {
            let mut told = std::mem::take(&mut *told.borrow_mut());
            // What one call makes leave may be told in any order.
            told.sort();
            left.sort();
            assert_eq!(told, left);
        }
    }

    pub(super) fn check_figures(&self) {
        // SAFETY: a live cache.
        let (figures, usage) =
            unsafe { (catzilla_cache_get_stats(self.cache), catzilla_cache_memory_usage(self.cache)) };
        let model = &self.model;
        assert_eq!((figures.hits, figures.misses), (model.hits, model.misses));
        assert_eq!(figures.total_requests, model.hits + model.misses);
        assert_eq!(figures.evictions, model.evictions);
        assert_eq!(figures.size, model.entries.len() as u64);
        assert_eq!(figures.capacity, model.capacity as u64);
        assert_eq!(figures.memory_usage, usage as u64);
        let keys: usize = model.entries.iter().map(|entry| KEYS[entry.key].count_bytes()).sum();
        assert!(usage >= keys + 28 * model.entries.len());
        let mut statistics =
            catzilla_statistics_t { struct_size: size_of::<catzilla_statistics_t>(), ..Default::default() };
        // SAFETY: a live cache and a struct of that size.
        assert_eq!(unsafe { catzilla_cache_statistics(self.cache, &mut statistics) }, CATZILLA_OK);
        assert_eq!(statistics.memory_expirations, model.expirations);
        assert_eq!((statistics.loads, statistics.load_failures), (model.loads, model.load_failures));
        assert_eq!(statistics.memory_untold_departures, 0);
        assert_eq!(statistics.memory_bytes, usage as u64);
        let entries = usage as u64 - statistics.memory_index_bytes;
        assert_eq!(entries == 0, model.entries.is_empty());
    }
}

pub(super) unsafe extern "C" fn listen(user: *mut c_void, departed: *const catzilla_departed_t) {
    // SAFETY: the list that was given, and an entry that can be asked until this returns.
    let (list, key, value, cause) = unsafe {
        let key = (catzilla_departed_key(departed), catzilla_departed_key_size(departed));
        let value = (catzilla_departed_value(departed), catzilla_departed_value_size(departed));
        let bytes = |(data, len): (*const c_void, usize)| std::slice::from_raw_parts(data.cast::<u8>(), len).to_vec();
        (&*user.cast::<RefCell<Vec<Left>>>(), bytes(key), bytes(value), catzilla_departed_cause(departed))
    };
    list.borrow_mut().push((key, value, cause));
}
