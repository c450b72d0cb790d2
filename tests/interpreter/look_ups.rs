//! Steps that look something up: copies, classic results, values that are held, loads, and a walk through the keys.

use super::model::{tick, Expected};
use super::{bytes, Run, Stream, KEYS, MAX_VALUE};
use catzilla_cache::ffi::batch::{catzilla_cache_get_many, catzilla_get_t};
use catzilla_cache::ffi::cache::{catzilla_cache_contains, catzilla_cache_read};
use catzilla_cache::ffi::classic::{catzilla_cache_exists, catzilla_cache_get, catzilla_cache_resize};
use catzilla_cache::ffi::iterator::{catzilla_iterator_close, catzilla_iterator_next, catzilla_iterator_open};
use catzilla_cache::ffi::load::{catzilla_cache_get_or_load, catzilla_loaded_set, catzilla_loaded_t};
use catzilla_cache::ffi::status::{
    catzilla_status_t, CATZILLA_LOAD_FAILED, CATZILLA_NOT_FOUND, CATZILLA_OK, CATZILLA_TRUNCATED,
};
use catzilla_cache::ffi::value::{catzilla_cache_acquire, catzilla_value_release, catzilla_value_version};
use catzilla_cache::CLASSIC_RESULT_LIFETIME;
use std::ffi::c_void;
use std::ptr::null_mut;

impl Run {
    pub(super) fn classic_get(&mut self, key: usize) {
        // SAFETY: a live cache and a text.
        let result = unsafe { catzilla_cache_get(self.cache, KEYS[key].as_ptr()) };
        let expected = self.model.request(key);
        assert_eq!(result.found, expected.is_some());
        let data = result.data.cast_const().cast::<u8>();
        if let Some(expected) = expected {
            assert!(!data.is_null() && data.addr() % 16 == 0);
            assert_eq!(result.size, expected.len());
            self.results.push_back((data, expected));
        } else {
            assert!(data.is_null() && result.size == 0);
            self.results.push_back((std::ptr::NonNull::dangling().as_ptr(), Vec::new()));
        }
        if self.results.len() > CLASSIC_RESULT_LIFETIME {
            self.results.pop_front();
        }
    }

    pub(super) fn read(&mut self, key: usize, capacity: usize) {
        let mut buffer = vec![0xAA_u8; if capacity.is_multiple_of(2) { MAX_VALUE } else { capacity }];
        let mut len = usize::MAX;
        let (bytes, key_len) = bytes(key);
        let out = buffer.as_mut_ptr().cast();
        // SAFETY: a live cache, as many bytes as are told, and a buffer of that capacity.
        let answer = unsafe { catzilla_cache_read(self.cache, bytes, key_len, out, buffer.len(), &mut len) };
        self.check_read(key, &buffer, answer, len);
    }

    /// Holds a read against the model. The buffer was full of 0xAA.
    fn check_read(&mut self, key: usize, buffer: &[u8], answer: i32, len: usize) {
        match self.model.request(key) {
            None => assert_eq!((answer, len), (CATZILLA_NOT_FOUND, 0)),
            Some(value) if value.len() > buffer.len() => {
                // Used, but not answered yet.
                self.model.hits -= 1;
                assert_eq!((answer, len), (CATZILLA_TRUNCATED, value.len()));
                assert!(buffer.iter().all(|byte| *byte == 0xAA));
            }
            Some(value) => {
                assert_eq!((answer, len), (CATZILLA_OK, value.len()));
                assert_eq!(&buffer[..len], value);
                assert!(buffer[len..].iter().all(|byte| *byte == 0xAA));
            }
        }
    }

    pub(super) fn get_many(&mut self, key: usize, stream: &mut Stream<'_>) {
        let keys = Self::several(key, stream);
        let mut buffers: Vec<Vec<u8>> = keys.iter().map(|_| vec![0xAA; stream.next() % 3 * MAX_VALUE / 2]).collect();
        let item = |(key, buffer): (&usize, &mut Vec<u8>)| {
            let ((key, key_len), capacity) = (bytes(*key), buffer.len());
            let buffer = buffer.as_mut_ptr().cast();
            catzilla_get_t { key, key_len, buffer, capacity, value_len: usize::MAX, status: -1 }
        };
        let mut items: Vec<catzilla_get_t> = keys.iter().zip(&mut buffers).map(item).collect();
        // SAFETY: a live cache and as many items as are told, with as many bytes as each tells.
        assert_eq!(unsafe { catzilla_cache_get_many(self.cache, items.as_mut_ptr(), items.len()) }, CATZILLA_OK);
        for ((item, buffer), key) in items.iter().zip(&buffers).zip(keys) {
            self.check_read(key, buffer, item.status, item.value_len);
        }
    }

    pub(super) fn acquire(&mut self, key: usize) {
        let mut value = null_mut();
        let (bytes, len) = bytes(key);
        // SAFETY: a live cache, and as many bytes as are told.
        let answer = unsafe { catzilla_cache_acquire(self.cache, bytes, len, &mut value) };
        match self.model.request_entry(key) {
            None => assert!(answer == CATZILLA_NOT_FOUND && value.is_null()),
            Some(expected) => {
                assert_eq!(answer, CATZILLA_OK);
                self.values.push((value, expected.value, expected.number));
            }
        }
    }

    pub(super) fn get_or_load(&mut self, key: usize, seed: usize) {
        let loaded = match seed % 4 {
            0 => Err(CATZILLA_NOT_FOUND),
            1 => Err(CATZILLA_LOAD_FAILED),
            _ => Ok(self.next_value(seed)),
        };
        let ((bytes, len), mut value) = (bytes(key), null_mut());
        let user = std::ptr::from_ref(&loaded).cast_mut().cast();
        // SAFETY: a live cache, as many bytes as are told, and what the loader wants.
        let answer = unsafe { catzilla_cache_get_or_load(self.cache, bytes, len, Some(load), user, 0, &mut value) };
        let present = self.model.request_entry(key);
        self.model.loads += u64::from(present.is_none());
        match (present, loaded) {
            (Some(expected), _) => {
                assert_eq!(answer, CATZILLA_OK);
                self.values.push((value, expected.value, expected.number));
            }
            (None, Ok(loaded)) => {
                assert_eq!(answer, CATZILLA_OK);
                self.model.store(key, loaded.clone(), 1_500);
                self.values.push((value, loaded, self.model.stored));
            }
            (None, Err(status)) => {
                assert!(answer == status && value.is_null());
                self.model.load_failures += u64::from(status == CATZILLA_LOAD_FAILED);
            }
        }
    }

    /// Asks a value that is held for its version: 0 when its key has gone on without it.
    pub(super) fn version(&mut self, which: usize) {
        if self.values.is_empty() {
            return;
        }
        let (value, _, number) = self.values[which % self.values.len()];
        // SAFETY: acquired and not released.
        let version = unsafe { catzilla_value_version(value) };
        let now = tick(self.model.now);
        let entry = self.model.entries.iter_mut().find(|entry| entry.number == number && entry.deadline > now);
        match entry {
            None => assert_eq!(version, 0),
            Some(Expected { version: Some(known), .. }) => assert_eq!(version, *known),
            Some(entry) => {
                assert!(version > self.newest, "a version that another value has had");
                self.newest = version;
                entry.version = Some(version);
            }
        }
    }

    pub(super) fn release(&mut self, which: usize) {
        if !self.values.is_empty() {
            let (value, ..) = self.values.swap_remove(which % self.values.len());
            // SAFETY: acquired and not released before.
            unsafe { catzilla_value_release(value) };
        }
    }

    pub(super) fn exists(&mut self, key: usize) {
        let (bytes, len) = bytes(key);
        // SAFETY: a live cache, a text, as many bytes as are told.
        let (exists, contains) = unsafe {
            (catzilla_cache_exists(self.cache, KEYS[key].as_ptr()), catzilla_cache_contains(self.cache, bytes, len))
        };
        let expected =
            self.model.position(key).is_some_and(|at| self.model.entries[at].deadline > tick(self.model.now));
        assert_eq!(exists, expected);
        assert_eq!(contains == CATZILLA_OK, expected);
    }

    /// Tells the keys with a prefix, with a call in the middle that changes nothing for them but where they are.
    pub(super) fn iterate(&mut self, key: usize, seed: usize) {
        let ((prefix, len), mut iterator) = (bytes(key), null_mut());
        let mut told = Vec::new();
        // SAFETY: a live cache, as many bytes as are told, and places for what is told. A key is good until the next call.
        unsafe {
            assert_eq!(catzilla_iterator_open(self.cache, prefix, len, &mut iterator), CATZILLA_OK);
            let (mut found, mut len) = (std::ptr::null(), 0);
            while catzilla_iterator_next(iterator, &mut found, &mut len) == CATZILLA_OK {
                told.push(std::slice::from_raw_parts(found.cast::<u8>(), len).to_vec());
                if told.len() == seed % 3 {
                    let capacity = self.model.capacity;
                    assert_eq!(catzilla_cache_resize(self.cache, capacity + 5_000), 0);
                    assert_eq!(catzilla_cache_resize(self.cache, capacity), 0);
                }
            }
            catzilla_iterator_close(iterator);
        }
        let (prefix, now) = (KEYS[key].to_bytes(), tick(self.model.now));
        let there = self.model.entries.iter().filter(|entry| entry.deadline > now);
        let mut expected: Vec<_> = there.map(|entry| KEYS[entry.key].to_bytes().to_vec()).collect();
        expected.retain(|key| key.starts_with(prefix));
        told.sort();
        expected.sort();
        assert_eq!(told, expected);
    }
}

/// Gives what the test has made, or says what it says.
unsafe extern "C" fn load(
    user: *mut c_void,
    _key: *const c_void,
    _len: usize,
    loaded: *mut catzilla_loaded_t,
) -> catzilla_status_t {
    // SAFETY: `get_or_load` gives its own variable, and waits for this.
    match unsafe { &*user.cast::<Result<Vec<u8>, i32>>() } {
        // SAFETY: as many bytes as are told.
        Ok(value) => unsafe { catzilla_loaded_set(loaded, value.as_ptr().cast(), value.len(), 1_500) },
        Err(status) => *status,
    }
}
