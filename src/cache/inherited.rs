//! What a forked child may not believe of a tier: of each key whose write waited when the child was made, what is older than that
//! write. The write itself is the parent's; a child that did it too, perhaps much later, would undo what the parent has written since. Kept
//! by `tended`, under its lock.

use std::collections::HashMap;
use std::sync::Arc;

#[derive(Default)]
pub(super) struct Inherited {
    /// What was created before that time, in microseconds since the Unix epoch, is of before.
    keys: HashMap<Arc<[u8]>, u64, ahash::RandomState>,
    /// The same for all keys.
    everything: u64,
}

impl Inherited {
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.everything == 0
    }

    /// A write of the key waits in the parent.
    pub(super) fn add(&mut self, key: Arc<[u8]>, created: u64) {
        let since = self.keys.entry(key).or_default();
        *since = created.max(*since);
    }

    /// The parent is about to clear the tier.
    pub(super) fn add_everything(&mut self, at: u64) {
        self.everything = self.everything.max(at);
    }

    /// Whether what the tier has of a key, and was created then, is of before. Forgets a key that has been written since.
    pub(super) fn outdates(&mut self, key: &[u8], created: u64) -> bool {
        match self.keys.get(key) {
            Some(since) if created < *since => true,
            // It waited to be written behind the clearing.
            Some(_) if self.everything > 0 => false,
            Some(_) => {
                self.keys.remove(key);
                false
            }
            None => created < self.everything,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_the_write_that_waited_is_not_believed_until_a_newer_one_is_seen() {
        let mut inherited = Inherited::default();
        assert!(inherited.is_empty() && !inherited.outdates(b"a", 0));
        inherited.add((*b"a").into(), 10);
        inherited.add((*b"a").into(), 5);
        assert!(inherited.outdates(b"a", 9) && inherited.outdates(b"a", 9));
        assert!(!inherited.outdates(b"b", 1));
        assert!(!inherited.outdates(b"a", 10), "the write itself");
        assert!(inherited.is_empty());
    }

    #[test]
    fn what_waited_to_be_cleared_holds_for_all_keys() {
        let mut inherited = Inherited::default();
        inherited.add((*b"a").into(), 5);
        inherited.add_everything(10);
        assert!(inherited.outdates(b"a", 4) && inherited.outdates(b"b", 9));
        assert!(!inherited.outdates(b"a", 5) && !inherited.outdates(b"a", 5) && !inherited.outdates(b"b", 10));
        assert!(!inherited.is_empty());
    }
}
