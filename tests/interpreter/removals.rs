//! Steps that take entries out: removals, purges, time that passes, sweeps, and a smaller capacity.

use super::model::{tick, Expected};
use super::{bytes, Run, Stream, DEFAULT_TTL, KEYS, MAX_VALUE, PATTERNS, TAGS};
use catzilla_cache::ffi::batch::{catzilla_cache_remove_many, catzilla_remove_t};
use catzilla_cache::ffi::cache::{
    catzilla_cache_purge, catzilla_cache_remove, catzilla_cache_sweep, CATZILLA_PURGE_ALL, CATZILLA_PURGE_PATTERN,
    CATZILLA_PURGE_PREFIX, CATZILLA_PURGE_TAG,
};
use catzilla_cache::ffi::classic::{
    catzilla_cache_clear, catzilla_cache_configure, catzilla_cache_delete, catzilla_cache_expire_entries,
    catzilla_cache_resize,
};
use catzilla_cache::ffi::listener::{CATZILLA_CAUSE_EXPIRED, CATZILLA_CAUSE_PURGED};
use catzilla_cache::ffi::status::{CATZILLA_NOT_FOUND, CATZILLA_OK};
use catzilla_cache::ffi::types::cache_config_t;
use std::time::Duration;

impl Run {
    pub(super) fn delete(&mut self, key: usize, classic: bool) {
        let (bytes, len) = bytes(key);
        // SAFETY: a live cache, a text, as many bytes as are told.
        let (deleted, removed) = unsafe {
            match classic {
                true => (catzilla_cache_delete(self.cache, KEYS[key].as_ptr()), -1),
                false => (-1, catzilla_cache_remove(self.cache, bytes, len)),
            }
        };
        let expected = self.model.remove(key);
        if classic {
            assert_eq!(deleted == 0, expected);
        } else {
            assert_eq!(removed, if expected { CATZILLA_OK } else { CATZILLA_NOT_FOUND });
        }
    }

    pub(super) fn remove_many(&mut self, key: usize, stream: &mut Stream<'_>) {
        let keys = Self::several(key, stream);
        let item = |key: &usize| {
            let (key, key_len) = bytes(*key);
            catzilla_remove_t { key, key_len, status: -1 }
        };
        let mut items: Vec<catzilla_remove_t> = keys.iter().map(item).collect();
        // SAFETY: a live cache and as many items as are told, with as many bytes as each tells.
        assert_eq!(unsafe { catzilla_cache_remove_many(self.cache, items.as_mut_ptr(), items.len()) }, CATZILLA_OK);
        for (item, key) in items.iter().zip(keys) {
            assert_eq!(item.status == CATZILLA_OK, self.model.remove(key));
        }
    }

    pub(super) fn advance(&mut self, by: usize) {
        let millis = [1, 500, 999, 1_000, 2_500, DEFAULT_TTL][by % 6];
        self.time.advance(Duration::from_millis(millis));
        self.model.now += millis;
    }

    pub(super) fn expire(&mut self, classic: bool) {
        let before = self.model.expirations;
        self.model.expire();
        let mut expired = usize::MAX;
        // SAFETY: a live cache, and a number that may be written.
        unsafe {
            match classic {
                true => expired = catzilla_cache_expire_entries(self.cache),
                false => assert_eq!(catzilla_cache_sweep(self.cache, &mut expired), CATZILLA_OK),
            }
        }
        assert_eq!(expired as u64, self.model.expirations - before);
    }

    pub(super) fn resize(&mut self, capacity: usize, by_configure: bool) {
        let config = cache_config_t {
            capacity,
            bucket_count: 7,
            default_ttl: 0,
            max_value_size: MAX_VALUE,
            compression_enabled: capacity.is_multiple_of(2),
            jemalloc_enabled: true,
        };
        // SAFETY: a live cache and a struct.
        let answer = unsafe {
            match by_configure {
                true => catzilla_cache_configure(self.cache, &config),
                false => catzilla_cache_resize(self.cache, capacity),
            }
        };
        assert_eq!(answer, 0);
        self.model.shrink(capacity);
    }

    pub(super) fn clear(&mut self, classic: bool) {
        let mut removed = 0;
        // SAFETY: a live cache; no selector is needed.
        unsafe {
            match classic {
                true => catzilla_cache_clear(self.cache),
                false => {
                    let answer =
                        catzilla_cache_purge(self.cache, CATZILLA_PURGE_ALL, std::ptr::null(), 0, &mut removed);
                    assert_eq!((answer, removed), (CATZILLA_OK, self.model.entries.len() as u64));
                }
            }
        }
        self.model.leave_all(CATZILLA_CAUSE_PURGED, |_| true);
    }

    pub(super) fn purge_prefix(&mut self, key: usize) {
        let prefix = KEYS[key].to_bytes();
        self.purge(CATZILLA_PURGE_PREFIX, prefix, |entry| KEYS[entry.key].to_bytes().starts_with(prefix));
    }

    pub(super) fn purge_pattern(&mut self, pattern: usize) {
        let (pattern, fitting) = PATTERNS[pattern];
        self.purge(CATZILLA_PURGE_PATTERN, pattern, |entry| fitting.contains(&entry.key));
    }

    pub(super) fn purge_tag(&mut self, tag: usize) {
        self.purge(CATZILLA_PURGE_TAG, TAGS[tag].to_bytes(), |entry| entry.tags & 1 << tag != 0);
    }

    fn purge(&mut self, what: i32, selector: &[u8], is_meant: impl Fn(&Expected) -> bool) {
        let (selector, len) = (selector.as_ptr().cast(), selector.len());
        let mut removed = u64::MAX;
        // SAFETY: a live cache, as many bytes as are told.
        let answer = unsafe { catzilla_cache_purge(self.cache, what, selector, len, &mut removed) };
        let now = tick(self.model.now);
        let model = &mut self.model;
        model.expirations += model.leave_all(CATZILLA_CAUSE_EXPIRED, |entry| is_meant(entry) && entry.deadline <= now);
        let expected = model.leave_all(CATZILLA_CAUSE_PURGED, is_meant);
        assert_eq!((answer, removed), (CATZILLA_OK, expected));
    }
}
