//! Writes on their way to a tier: what waits, in which order, what readers of this process see of it. Owned by `tended`, whose lock is
//! around it and whose thread takes batches out; decides nothing about when.
//!
//! A key waits once: what is written later takes the place of what was to be written (the order among different keys does not matter to a
//! cache). A write stays here, and is what readers find, until the tier has it.

use ahash::RandomState;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Beside key and value, what a write that waits takes: its places in the map and in the order, two allocations' headers.
/// Counted in an example, not exact.
const OVERHEAD: usize = 128;

/// Keys that wait to be removed and no more: beyond that everything in the tier is.
const MOST_REMOVALS: usize = 100_000;

/// What is to become of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// To be stored as this envelope, which ends at that time in milliseconds since the Unix epoch.
    Put {
        envelope: Arc<Vec<u8>>,
        expires: Option<u64>,
        if_absent: bool,
    },
    Remove,
}

impl Op {
    fn bytes(&self) -> usize {
        match self {
            Op::Put { envelope, .. } => envelope.len(),
            Op::Remove => 0,
        }
    }

    fn is_removal(&self) -> usize {
        usize::from(*self == Op::Remove)
    }
}

/// A write, of all that were ever queued.
pub(super) type Number = u64;

#[derive(Default)]
pub(super) struct Queue {
    waiting: HashMap<Arc<[u8]>, Waiting, RandomState>,
    /// Those that no batch has taken, the oldest first.
    order: VecDeque<Arc<[u8]>>,
    bytes: usize,
    removals: usize,
    last: Number,
    /// Everything in the tier is to go before what waits is written.
    clears: bool,
}

struct Waiting {
    op: Op,
    number: Number,
    /// Whether it is in the order, and not in a batch.
    is_in_order: bool,
}

/// Some writes, taken out to be done.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) clears: bool,
    pub(super) writes: Vec<(Arc<[u8]>, Number, Op)>,
}

/// What a reader finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Put(Arc<Vec<u8>>),
    /// It is to be removed, or was.
    Removed,
    /// Nothing waits: the tier knows.
    Nothing,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && !self.clears
    }

    /// Keys that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// What is held, as far as it is counted.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes that no batch has taken.
    pub(super) fn in_order(&self) -> usize {
        self.order.len()
    }

    /// How much more this would be.
    pub(super) fn cost(key: &[u8], op: &Op) -> usize {
        key.len() + op.bytes() + OVERHEAD
    }

    /// Has a write wait. `None` when there is no memory.
    pub(super) fn push(&mut self, key: &[u8], op: Op) -> Option<Number> {
        self.waiting.try_reserve(1).ok()?;
        self.order.try_reserve(1).ok()?;
        self.last += 1;
        let number = self.last;
        self.bytes += op.bytes();
        self.removals += op.is_removal();
        let Some(waiting) = self.waiting.get_mut(key) else {
            self.bytes += key.len() + OVERHEAD;
            let key: Arc<[u8]> = key.into();
            self.waiting.insert(key.clone(), Waiting { op, number, is_in_order: true });
            self.order.push_back(key);
            return Some(number);
        };
        self.bytes -= waiting.op.bytes();
        self.removals -= waiting.op.is_removal();
        let was_in_order = std::mem::replace(waiting, Waiting { op, number, is_in_order: true }).is_in_order;
        if !was_in_order {
            // A batch has it, with what it was.
            if let Some((key, _)) = self.waiting.get_key_value(key) {
                self.order.push_back(key.clone());
            }
        }
        Some(number)
    }

    /// Has a key wait to be removed, though there is no room for more; if too many do, everything is removed.
    pub(super) fn push_removal(&mut self, key: &[u8]) {
        if self.removals >= MOST_REMOVALS || self.push(key, Op::Remove).is_none() {
            self.clear();
        }
    }

    /// What waits is given up, and everything in the tier is to go.
    pub(super) fn clear(&mut self) {
        self.forget();
        self.clears = true;
    }

    /// What waits is given up. Says how many writes that were.
    pub(super) fn forget(&mut self) -> usize {
        let given_up = self.waiting.len();
        self.waiting = HashMap::default();
        self.order = VecDeque::new();
        (self.bytes, self.removals) = (0, 0);
        given_up
    }

    /// Has all that waits of the keys that are chosen be removals, so that no reader finds what is in the tier. Says which of them were
    /// removals before, and up to which number they are now.
    pub(super) fn remove_where(&mut self, chosen: impl Fn(&[u8]) -> bool) -> (Vec<Arc<[u8]>>, Number) {
        let (removed, stored): (Vec<_>, Vec<_>) =
            self.waiting.iter().filter(|(key, _)| chosen(key)).partition(|(_, waiting)| waiting.op == Op::Remove);
        let keys = |waiting: Vec<(&Arc<[u8]>, _)>| waiting.into_iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
        let (removed, stored) = (keys(removed), keys(stored));
        for key in &stored {
            if self.push(key, Op::Remove).is_none() {
                self.clear();
                break;
            }
        }
        (removed, self.last)
    }

    /// Gives up removals of the keys that are chosen which have come up to a number: the tier has nothing of these keys any more.
    pub(super) fn forget_removals(&mut self, upto: Number, chosen: impl Fn(&[u8]) -> bool) {
        let (mut bytes, mut removals) = (0, 0);
        self.waiting.retain(|key, waiting| {
            let goes = waiting.op == Op::Remove && waiting.number <= upto && chosen(key);
            if goes {
                bytes += key.len() + OVERHEAD;
                removals += 1;
            }
            !goes
        });
        self.bytes -= bytes;
        self.removals -= removals;
        self.order.retain(|key| self.waiting.contains_key(key));
    }

    /// Gives up everything without a trace. Says whether the tier was to be cleared, and what waited for which key, but for what may
    /// stay undone.
    pub(super) fn hand_over(&mut self) -> (bool, impl Iterator<Item = (Arc<[u8]>, Op)>) {
        let Queue { waiting, clears, last, .. } = std::mem::take(self);
        self.last = last;
        let matters = |op: &Op| !matches!(op, Op::Put { if_absent: true, .. });
        (clears, waiting.into_iter().map(|(key, waiting)| (key, waiting.op)).filter(move |(_, op)| matters(op)))
    }

    /// Whether any write of the key waits.
    pub(super) fn has(&self, key: &[u8]) -> bool {
        self.waiting.contains_key(key)
    }

    /// Whether everything in the tier is to go first.
    pub(super) fn clears(&self) -> bool {
        self.clears
    }

    /// What a reader finds of a key.
    pub(super) fn look(&self, key: &[u8]) -> Seen {
        match self.waiting.get(key).map(|waiting| &waiting.op) {
            Some(Op::Put { envelope, if_absent: false, .. }) => Seen::Put(envelope.clone()),
            // What is there may be another, and stays.
            Some(Op::Put { .. }) if !self.clears => Seen::Nothing,
            Some(Op::Put { envelope, .. }) => Seen::Put(envelope.clone()),
            Some(Op::Remove) => Seen::Removed,
            None if self.clears => Seen::Removed,
            None => Seen::Nothing,
        }
    }

    /// Whether this write, or what has taken its place, still waits.
    pub(super) fn is_waiting(&self, key: &[u8], number: Number) -> bool {
        self.waiting.get(key).is_some_and(|waiting| waiting.number <= number)
    }

    /// Takes a batch out: its writes stay, for readers, until it is done.
    pub(super) fn take(&mut self, most_writes: usize, most_bytes: usize) -> Batch {
        let mut batch = Batch { clears: self.clears, writes: Vec::new() };
        let mut bytes = 0;
        while batch.writes.len() < most_writes && bytes < most_bytes {
            let Some(key) = self.order.pop_front() else { break };
            let Some(waiting) = self.waiting.get_mut(&key) else { continue };
            waiting.is_in_order = false;
            bytes += waiting.op.bytes();
            batch.writes.push((key, waiting.number, waiting.op.clone()));
        }
        batch
    }

    /// The tier has everything of the batch.
    pub(super) fn done(&mut self, batch: &Batch) {
        for (key, number, _) in &batch.writes {
            if self.waiting.get(key).is_some_and(|waiting| waiting.number == *number) {
                if let Some(waiting) = self.waiting.remove(key) {
                    self.bytes -= key.len() + OVERHEAD + waiting.op.bytes();
                    self.removals -= waiting.op.is_removal();
                }
            }
        }
    }

    /// The tier was cleared, as was to be done before what waits.
    pub(super) fn cleared(&mut self) {
        self.clears = false;
    }

    /// The tier may have nothing of the batch: it waits again, before all others.
    pub(super) fn put_back(&mut self, batch: Batch) {
        for (key, number, _) in batch.writes.into_iter().rev() {
            if let Some(waiting) = self.waiting.get_mut(&key).filter(|waiting| waiting.number == number) {
                waiting.is_in_order = true;
                self.order.push_front(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(text: &str) -> Op {
        Op::Put { envelope: Arc::new(text.into()), expires: None, if_absent: false }
    }

    fn seen(text: &str) -> Seen {
        Seen::Put(Arc::new(text.into()))
    }

    fn keys(batch: &Batch) -> Vec<&[u8]> {
        batch.writes.iter().map(|(key, _, _)| &**key).collect()
    }

    #[test]
    fn a_key_waits_once_and_readers_find_what_was_written_last() {
        let mut queue = Queue::default();
        queue.push(b"a", put("1"));
        queue.push(b"b", put("2"));
        queue.push(b"a", put("three"));
        assert_eq!((queue.len(), queue.look(b"a"), queue.look(b"b")), (2, seen("three"), seen("2")));
        queue.push(b"b", Op::Remove);
        assert_eq!((queue.look(b"b"), queue.look(b"c")), (Seen::Removed, Seen::Nothing));
        let batch = queue.take(10, 1_000);
        assert_eq!(keys(&batch), [b"a", b"b"]);
        assert_eq!(queue.look(b"a"), seen("three"), "until the tier has it");
        queue.done(&batch);
        assert!(queue.is_empty());
        assert_eq!((queue.bytes(), queue.look(b"a")), (0, Seen::Nothing));
    }

    #[test]
    fn what_is_written_while_a_batch_is_on_its_way_comes_after_it() {
        let mut queue = Queue::default();
        queue.push(b"a", put("old"));
        let batch = queue.take(10, 1_000);
        let number = queue.push(b"a", put("new")).unwrap();
        queue.done(&batch);
        assert_eq!(queue.look(b"a"), seen("new"));
        assert!(queue.is_waiting(b"a", number));
        let batch = queue.take(10, 1_000);
        assert_eq!(batch.writes[0].2, put("new"));
        queue.done(&batch);
        assert!(queue.is_empty() && !queue.is_waiting(b"a", number));
    }

    #[test]
    fn a_batch_that_failed_is_the_next_again_but_for_what_was_written_meanwhile() {
        let mut queue = Queue::default();
        for key in [b"a", b"b", b"c"] {
            queue.push(key, put("1"));
        }
        let batch = queue.take(2, 1_000);
        queue.push(b"a", put("2"));
        queue.push(b"d", put("1"));
        queue.put_back(batch);
        assert_eq!(keys(&queue.take(10, 1_000)), [b"b", b"c", b"a", b"d"]);
    }

    #[test]
    fn batches_are_bounded_by_count_and_by_bytes() {
        let mut queue = Queue::default();
        for number in 0..10_u8 {
            queue.push(&[number], put("12345"));
        }
        assert_eq!(queue.take(3, 1_000).writes.len(), 3);
        assert_eq!(queue.take(100, 11).writes.len(), 3);
        assert_eq!(queue.in_order(), 4);
    }

    #[test]
    fn bytes_are_those_of_what_waits() {
        let mut queue = Queue::default();
        queue.push(b"key", put("12345"));
        assert_eq!(queue.bytes(), Queue::cost(b"key", &put("12345")));
        queue.push(b"key", put("1"));
        assert_eq!(queue.bytes(), Queue::cost(b"key", &put("1")));
        queue.push(b"key2", Op::Remove);
        assert_eq!(queue.bytes(), Queue::cost(b"key", &put("1")) + Queue::cost(b"key2", &Op::Remove));
        queue.forget();
        assert_eq!((queue.bytes(), queue.removals), (0, 0));
    }

    #[test]
    fn what_is_purged_waits_to_be_removed_until_the_tier_has_nothing_of_it() {
        let mut queue = Queue::default();
        queue.push(b"on its way", put("1"));
        let batch = queue.take(1, 99);
        queue.push(b"stored", put("1"));
        queue.push(b"removed", Op::Remove);
        queue.push(b"other", put("1"));
        let chosen = |key: &[u8]| key != b"other";
        let (removed, upto) = queue.remove_where(chosen);
        assert_eq!(removed, [(*b"removed").into()]);
        queue.done(&batch);
        for key in [&b"on its way"[..], b"stored", b"removed"] {
            assert_eq!(queue.look(key), Seen::Removed);
        }
        assert_eq!(queue.look(b"other"), seen("1"));
        queue.push(b"stored", put("later"));
        queue.forget_removals(upto, chosen);
        assert_eq!((queue.len(), queue.removals), (2, 0));
        assert_eq!(queue.bytes(), Queue::cost(b"stored", &put("later")) + Queue::cost(b"other", &put("1")));
        assert_eq!((queue.look(b"stored"), queue.look(b"on its way")), (seen("later"), Seen::Nothing));
        assert_eq!(keys(&queue.take(9, 99)), [&b"stored"[..], b"other"]);
    }

    #[test]
    fn a_clear_is_seen_at_once_and_done_before_what_comes_later() {
        let mut queue = Queue::default();
        queue.push(b"a", put("1"));
        queue.clear();
        queue.push(b"b", put("2"));
        assert_eq!((queue.look(b"a"), queue.look(b"b")), (Seen::Removed, seen("2")));
        assert!(!queue.is_empty());
        let batch = queue.take(9, 99);
        assert!(batch.clears);
        assert_eq!(keys(&batch), [b"b"]);
        queue.cleared();
        queue.done(&batch);
        assert!(queue.is_empty());
        assert_eq!(queue.look(b"a"), Seen::Nothing);
    }

    #[test]
    fn what_is_handed_over_waits_no_more() {
        let mut queue = Queue::default();
        queue.push(b"a", put("1"));
        queue.push(b"b", Op::Remove);
        queue.push(b"filled", Op::Put { envelope: Arc::default(), expires: None, if_absent: true });
        let number = queue.push(b"c", put("2")).unwrap();
        queue.clear();
        queue.push(b"d", put("3"));
        queue.push(b"e", Op::Remove);
        let (clears, waited) = queue.hand_over();
        let mut waited: Vec<_> = waited.collect();
        waited.sort_by(|(a, _), (b, _)| a.cmp(b));
        assert!(clears);
        assert_eq!(waited, [((*b"d").into(), put("3")), ((*b"e").into(), Op::Remove)]);
        assert!(queue.is_empty() && queue.bytes() == 0 && queue.in_order() == 0);
        assert!(queue.push(b"a", put("1")) > Some(number), "numbers go on");
        queue.push(b"filled", Op::Put { envelope: Arc::default(), expires: None, if_absent: true });
        assert_eq!(queue.hand_over().1.count(), 1);
    }

    // Miri would take half an hour for a hundred thousand removals.
    #[cfg(not(miri))]
    #[test]
    fn more_removals_than_can_be_kept_remove_everything() {
        let mut queue = Queue::default();
        for number in 0..=MOST_REMOVALS {
            queue.push_removal(&number.to_le_bytes());
        }
        assert!(queue.clears && queue.waiting.is_empty());
        assert_eq!(queue.look(b"any"), Seen::Removed);
    }
}
