//! Steps that store something, give it another end, or are refused.

use super::model::{deadline, tick};
use super::{bytes, Run, Stream, DEFAULT_TTL, KEYS, MAX_VALUE, TAGS};
use catzilla_cache::ffi::batch::{catzilla_cache_put_many, catzilla_put_t};
use catzilla_cache::ffi::cache::catzilla_cache_put;
use catzilla_cache::ffi::classic::{catzilla_cache_configure, catzilla_cache_resize, catzilla_cache_set};
use catzilla_cache::ffi::status::{
    CATZILLA_EXISTS, CATZILLA_NOT_A_NUMBER, CATZILLA_NOT_FOUND, CATZILLA_NUMBER_OVERFLOW, CATZILLA_OK,
    CATZILLA_VALUE_TOO_LARGE, CATZILLA_VERSION_MISMATCH,
};
use catzilla_cache::ffi::update::{
    catzilla_bytes_t, catzilla_cache_increment, catzilla_cache_put_with, catzilla_cache_touch, catzilla_put_options_t,
    CATZILLA_PUT_IF_ABSENT, CATZILLA_PUT_IF_PRESENT,
};
use std::ffi::{c_char, c_void};
use std::ptr::null_mut;

impl Run {
    pub(super) fn classic_set(&mut self, key: usize, seed: usize) {
        let value = self.next_value(seed);
        let ttl = seed % 4;
        let (text, data) = (KEYS[key].as_ptr(), value.as_ptr().cast::<c_void>());
        // SAFETY: a live cache, a text, and as many bytes as are told.
        let answer = unsafe { catzilla_cache_set(self.cache, text, data, value.len(), ttl as u32) };
        assert_eq!(answer, 0);
        self.model.store(key, value, if ttl == 0 { DEFAULT_TTL } else { ttl as u64 * 1_000 });
    }

    pub(super) fn put(&mut self, key: usize, seed: usize) {
        let value = self.next_value(seed);
        let ttl = match seed % 3 {
            0 => 0,
            1 => 1_500,
            _ => u64::MAX,
        };
        let (bytes, len) = bytes(key);
        // SAFETY: a live cache, and as many bytes as are told.
        let answer = unsafe { catzilla_cache_put(self.cache, bytes, len, value.as_ptr().cast(), value.len(), ttl) };
        assert_eq!(answer, CATZILLA_OK);
        self.model.store(key, value, if ttl == 0 { DEFAULT_TTL } else { ttl });
    }

    pub(super) fn put_many(&mut self, key: usize, stream: &mut Stream<'_>) {
        let keys = Self::several(key, stream);
        let values: Vec<Vec<u8>> = keys.iter().map(|_| self.next_value(stream.next())).collect();
        let item = |(key, value): (&usize, &Vec<u8>)| {
            let (key, key_len) = bytes(*key);
            catzilla_put_t {
                key,
                key_len,
                value: value.as_ptr().cast(),
                value_len: value.len(),
                ttl_ms: if value.len() % 2 == 0 { 1_500 } else { 0 },
                status: -1,
            }
        };
        let mut items: Vec<catzilla_put_t> = keys.iter().zip(&values).map(item).collect();
        // SAFETY: a live cache and as many items as are told, with as many bytes as each tells.
        assert_eq!(unsafe { catzilla_cache_put_many(self.cache, items.as_mut_ptr(), items.len()) }, CATZILLA_OK);
        for ((item, value), key) in items.iter().zip(values).zip(keys) {
            assert_eq!(item.status, CATZILLA_OK);
            self.model.store(key, value, if item.ttl_ms == 0 { DEFAULT_TTL } else { item.ttl_ms });
        }
    }

    pub(super) fn put_with(&mut self, key: usize, stream: &mut Stream<'_>) {
        let value = self.next_value(stream.next());
        let (kind, seed) = (stream.next(), stream.next());
        let model = &mut self.model;
        model.expire();
        let present = model.position(key).map(|at| model.entries[at].version);
        let mut options =
            catzilla_put_options_t { struct_size: size_of::<catzilla_put_options_t>(), ..Default::default() };
        options.ttl_ms = [0, 1_500, u64::MAX][seed % 3];
        let (tags, carried) = carried(stream.next());
        (options.tags, options.tag_count) = (tags.as_ptr(), tags.len());
        let expected = match kind % 5 {
            0 => CATZILLA_OK,
            1 => {
                options.flags = CATZILLA_PUT_IF_ABSENT;
                if present.is_some() {
                    CATZILLA_EXISTS
                } else {
                    CATZILLA_OK
                }
            }
            2 => {
                options.flags = CATZILLA_PUT_IF_PRESENT;
                if present.is_some() {
                    CATZILLA_OK
                } else {
                    CATZILLA_NOT_FOUND
                }
            }
            _ => {
                // The right one, if anybody knows it, or one that is or was another's.
                let known = present.flatten().filter(|_| kind % 5 == 3);
                options.expected_version = known.unwrap_or(1 + seed as u64 % (self.newest + 2));
                match present {
                    None => CATZILLA_NOT_FOUND,
                    Some(version) if version == Some(options.expected_version) => CATZILLA_OK,
                    Some(_) => CATZILLA_VERSION_MISMATCH,
                }
            }
        };
        let mut version = u64::MAX;
        let told = if seed % 2 == 0 { &raw mut version } else { null_mut() };
        let ((bytes, len), data) = (bytes(key), value.as_ptr().cast());
        // SAFETY: a live cache, as many bytes as are told, a struct and a number.
        let answer = unsafe { catzilla_cache_put_with(self.cache, bytes, len, data, value.len(), &options, told) };
        assert_eq!(answer, expected);
        if answer == CATZILLA_OK {
            self.model.store(key, value, if options.ttl_ms == 0 { DEFAULT_TTL } else { options.ttl_ms });
            self.model.entries.last_mut().expect("it was just stored").tags = carried;
        }
        match (told.is_null(), answer) {
            (true, _) => {}
            (false, CATZILLA_OK) => {
                assert!(version > self.newest, "a version that another value has had");
                self.newest = version;
                self.model.entries.last_mut().expect("it was just stored").version = Some(version);
            }
            (false, _) => assert_eq!(version, 0),
        }
    }

    pub(super) fn touch(&mut self, key: usize, seed: usize) {
        let ttl = [0, 1, 700, 1_500, 5_000, u64::MAX][seed % 6];
        let (bytes, len) = bytes(key);
        // SAFETY: a live cache, and as many bytes as are told.
        let answer = unsafe { catzilla_cache_touch(self.cache, bytes, len, ttl) };
        let found = self.model.meet(key);
        assert_eq!(answer, if found.is_some() { CATZILLA_OK } else { CATZILLA_NOT_FOUND });
        if let Some(at) = found {
            self.model.entries[at].deadline = deadline(self.model.now, if ttl == 0 { DEFAULT_TTL } else { ttl });
        }
    }

    pub(super) fn increment(&mut self, key: usize, seed: usize, amount: usize) {
        let delta = [1, -1, 1_000, -7, i64::MAX, i64::MIN][seed % 6];
        let initial = [0, -5, 1_000_000, i64::MAX][amount % 4];
        let ttl = [0, 1_500, u64::MAX][amount % 3];
        let ((bytes, len), mut result) = (bytes(key), -1);
        let told = if seed.is_multiple_of(5) { null_mut() } else { &raw mut result };
        // SAFETY: a live cache, as many bytes as are told, and a number or NULL.
        let answer = unsafe { catzilla_cache_increment(self.cache, bytes, len, delta, initial, ttl, told) };
        let now = tick(self.model.now);
        // A failure frees nothing that has expired.
        let present = self.model.entries.iter().find(|entry| entry.key == key && entry.deadline > now).cloned();
        let number = present.as_ref().map(|entry| {
            let text = std::str::from_utf8(&entry.value).ok()?;
            text.parse::<i64>().ok().filter(|number| number.to_string() == text)
        });
        let sum = match number {
            Some(None) => return assert_eq!(answer, CATZILLA_NOT_A_NUMBER),
            Some(Some(number)) => match number.checked_add(delta) {
                Some(sum) => sum,
                None => return assert_eq!(answer, CATZILLA_NUMBER_OVERFLOW),
            },
            None => initial,
        };
        assert_eq!(answer, CATZILLA_OK);
        assert!(told.is_null() || result == sum);
        self.model.store(key, sum.to_string().into_bytes(), if ttl == 0 { DEFAULT_TTL } else { ttl });
        if let Some(present) = present {
            let stored = self.model.entries.last_mut().expect("it was just stored");
            (stored.deadline, stored.tags) = (present.deadline, present.tags);
        }
    }

    /// What must change nothing.
    pub(super) fn refused(&mut self, key: usize) {
        let long = vec![1_u8; MAX_VALUE + 1];
        let (bytes, len) = bytes(key);
        // SAFETY: a live cache, as many bytes as are told; NULL is what is being tried.
        unsafe {
            let answer = catzilla_cache_put(self.cache, bytes, len, long.as_ptr().cast(), long.len(), 0);
            assert_eq!(answer, CATZILLA_VALUE_TOO_LARGE);
            let text: *const c_char = KEYS[key].as_ptr();
            assert_eq!(catzilla_cache_set(self.cache, text, long.as_ptr().cast(), long.len(), 1), -1);
            assert_eq!(catzilla_cache_set(self.cache, text, std::ptr::null(), 0, 1), -1);
            assert_eq!(catzilla_cache_resize(self.cache, 0), -1);
            assert_eq!(catzilla_cache_configure(self.cache, std::ptr::null()), -1);
        }
    }
}

/// The tags whose bits are set in the lower half, and in the upper half those that are given a second time.
fn carried(seed: usize) -> (Vec<catzilla_bytes_t>, u8) {
    let given = (0..8).filter(|bit| seed & 1 << bit != 0).map(|bit| bit % TAGS.len());
    let tag = |tag: usize| catzilla_bytes_t { data: TAGS[tag].as_ptr().cast(), len: TAGS[tag].count_bytes() };
    (given.clone().map(tag).collect(), given.fold(0, |bits, tag| bits | 1 << tag))
}
