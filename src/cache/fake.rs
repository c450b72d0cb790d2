//! A tier for tests that can be brought to fail at a given moment, and to stand still in the middle of a call: what a real server
//! cannot be brought to do. Everything else is tested with real ones. In models it is the tier below memory, and each call on it a step.

use crate::fork::Hold;
use crate::pattern::KeySet;
use crate::sync::{this_thread, Mutex};
use crate::tiers::{Fault, FaultKind, Figures, Inquiry, Outcome, Tier, What, Write};
use std::collections::HashMap;
use std::sync::Arc;

type Hook = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// What a test has of a fake tier. A clone is the same tier.
#[derive(Clone, Default)]
pub(super) struct Fake(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    entries: HashMap<Vec<u8>, Vec<u8>>,
    purged: HashMap<Vec<u8>, u64>,
    fault: Option<FaultKind>,
    namespace: u64,
    /// Called with a key that was read, after it was, without a lock.
    after_read: Option<Hook>,
    /// Called with a key that will be written, before it is, without a lock.
    before_write: Option<Hook>,
    /// Called before keys are purged, without a lock.
    before_purge: Option<Hook>,
    /// Threads to whom something is being told in the middle of a call.
    telling: Vec<u64>,
    reads: u64,
    writes: u64,
    clears: u64,
}

impl Fake {
    pub(super) fn fail(&self, fault: Option<FaultKind>) {
        self.0.lock().unwrap().fault = fault;
    }

    pub(super) fn after_read(&self, hook: impl Fn(&[u8]) + Send + Sync + 'static) {
        self.0.lock().unwrap().after_read = Some(Arc::new(hook));
    }

    pub(super) fn before_write(&self, hook: impl Fn(&[u8]) + Send + Sync + 'static) {
        self.0.lock().unwrap().before_write = Some(Arc::new(hook));
    }

    pub(super) fn before_purge(&self, hook: impl Fn(&[u8]) + Send + Sync + 'static) {
        self.0.lock().unwrap().before_purge = Some(Arc::new(hook));
    }

    pub(super) fn no_hooks(&self) {
        let mut state = self.0.lock().unwrap();
        (state.after_read, state.before_write, state.before_purge) = (None, None, None);
    }

    /// The envelope of a key.
    pub(super) fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.lock().unwrap().entries.get(key).cloned()
    }

    /// As another process would.
    pub(super) fn set(&self, key: &[u8], envelope: Vec<u8>) {
        self.0.lock().unwrap().entries.insert(key.to_vec(), envelope);
    }

    pub(super) fn forget(&self, key: &[u8]) {
        self.0.lock().unwrap().entries.remove(key);
    }

    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap().entries.len()
    }

    pub(super) fn set_namespace(&self, namespace: u64) {
        self.0.lock().unwrap().namespace = namespace;
    }

    /// Calls so far: of reading, of writing, of clearing.
    pub(super) fn calls(&self) -> (u64, u64, u64) {
        let state = self.0.lock().unwrap();
        (state.reads, state.writes, state.clears)
    }

    /// Calls whoever asks, who may not call the tier meanwhile.
    fn telling<T>(&self, call: impl FnOnce() -> T) -> T {
        // In a model each lock is a choice more, and finds nothing.
        if cfg!(shuttle) {
            return call();
        }
        let me = this_thread();
        self.0.lock().unwrap().telling.push(me);
        let result = call();
        self.0.lock().unwrap().telling.retain(|thread| *thread != me);
        result
    }

    fn check(&self) -> Result<(), Fault> {
        let state = self.0.lock().unwrap();
        assert!(!state.telling.contains(&this_thread()), "the tier is called in the middle of an answer");
        match state.fault {
            Some(kind) => Err(Fault::new(kind, "as the test wants it")),
            None => Ok(()),
        }
    }
}

impl Tier for Fake {
    fn answer(&self, inquiry: &mut dyn Inquiry<'_>) -> Result<(), Fault> {
        let keys: Vec<&[u8]> = std::iter::from_fn(|| self.telling(|| inquiry.next_key())).collect();
        self.check()?;
        for (number, key) in keys.into_iter().enumerate() {
            // Each at a moment of its own, as a server may read them.
            let (found, hook) = {
                let mut state = self.0.lock().unwrap();
                state.reads += u64::from(number == 0);
                (state.entries.get(key).cloned(), state.after_read.clone())
            };
            if let Some(hook) = hook {
                hook(key);
            }
            self.telling(|| inquiry.found(number, found.as_deref()));
        }
        Ok(())
    }

    fn write(&self, writes: &mut [Write<'_>]) -> Result<(), Fault> {
        self.check()?;
        let hook = self.0.lock().unwrap().before_write.clone();
        if let Some(hook) = hook {
            writes.iter().for_each(|write| hook(write.key));
        }
        self.check()?;
        let mut state = self.0.lock().unwrap();
        state.writes += 1;
        for write in writes {
            write.outcome = match write.what {
                What::Put { if_absent: true, .. } if state.entries.contains_key(write.key) => Outcome::Nothing,
                What::Put { envelope, .. } if envelope.len() > 1 << 20 => {
                    Outcome::Refused(Fault::new(FaultKind::TooLarge, "more than this tier takes"))
                }
                What::Put { envelope, .. } => {
                    state.entries.insert(write.key.to_vec(), envelope.to_vec());
                    Outcome::Done
                }
                What::Remove if state.entries.remove(write.key).is_some() => Outcome::Done,
                What::Remove => Outcome::Nothing,
            };
        }
        Ok(())
    }

    fn namespace(&self) -> u64 {
        self.0.lock().unwrap().namespace
    }

    fn is_purged(&self, tags: &[&[u8]], since: u64) -> Result<bool, Fault> {
        self.check()?;
        let state = self.0.lock().unwrap();
        Ok(tags.iter().any(|tag| state.purged.get(*tag).is_some_and(|at| *at >= since)))
    }

    fn purge_tag(&self, tag: &[u8], at: u64) -> Result<(), Fault> {
        self.check()?;
        self.0.lock().unwrap().purged.insert(tag.to_vec(), at);
        Ok(())
    }

    fn purge_keys(&self, keys: KeySet<'_>) -> Result<u64, Fault> {
        self.check()?;
        let hook = self.0.lock().unwrap().before_purge.clone();
        if let Some(hook) = hook {
            hook(b"");
        }
        let mut state = self.0.lock().unwrap();
        let before = state.entries.len();
        state.entries.retain(|key, _| !keys.has(key));
        Ok((before - state.entries.len()) as u64)
    }

    fn clear(&self) -> Result<u64, Fault> {
        self.check()?;
        let mut state = self.0.lock().unwrap();
        state.clears += 1;
        let cleared = state.entries.len() as u64;
        state.entries.clear();
        Ok(cleared)
    }

    fn probe(&self) -> Result<(), Fault> {
        self.check()
    }

    fn figures(&self) -> Figures {
        Figures { entries: self.len() as u64, ..Figures::default() }
    }

    fn hold(&self) -> Box<dyn Hold + '_> {
        Box::new(self.0.lock().unwrap())
    }

    fn after_fork_in_child(&self) {}
}
