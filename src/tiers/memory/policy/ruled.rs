//! The two queues of a shard, its ghost, and the rule by which they are emptied: the books of `s3fifo` and of `adaptive`.

use super::super::entry::EntryRef;
use super::super::index::Hash;
use super::super::list::{self, List};
use super::ghost::Ghost;
use super::rule::{Queue, Queues, Rule, Ruling, MOST};
use super::COUNT;

const WINDOW: u8 = 0;
const MAIN: u8 = 1;

/// In this order: what every put writes on a line of its own, see `shard::State`, and what it only reads behind.
#[repr(C)]
pub(super) struct Ruled {
    lists: Lists,
    ruling: Ruling,
    ghost: Ghost,
}

#[repr(C)]
struct Lists {
    window: List,
    main: List,
}

impl Lists {
    #[inline(always)]
    fn of(&mut self, queue: Queue) -> &mut List {
        match queue {
            Queue::Window => &mut self.window,
            Queue::Main => &mut self.main,
        }
    }

    #[inline(always)]
    fn oldest_of(&self, queue: Queue) -> Option<EntryRef> {
        match queue {
            Queue::Window => self.window.oldest(),
            Queue::Main => self.main.oldest(),
        }
    }

    #[inline(always)]
    fn len_of_all(&self) -> usize {
        self.window.len() + self.main.len()
    }
}

impl Queues for Lists {
    #[inline(always)]
    fn len(&self, queue: Queue) -> usize {
        match queue {
            Queue::Window => self.window.len(),
            Queue::Main => self.main.len(),
        }
    }

    #[inline(always)]
    fn oldest(&self, queue: Queue) -> Option<u32> {
        // What was counted or stamped under another policy may be more.
        self.oldest_of(queue).map(|entry| MOST.min(entry.mark() & COUNT))
    }

    fn requeue(&mut self, from: Queue, to: Queue, hits: u32) {
        if let Some(entry) = self.of(from).pop() {
            entry.set_mark(hits);
            self.of(to).push(entry);
        }
    }
}

/// The queue that an entry is in.
fn queue_of(entry: EntryRef) -> Queue {
    if list::tag(entry) == WINDOW {
        Queue::Window
    } else {
        Queue::Main
    }
}

impl Ruled {
    pub(super) const fn new(rule: Rule) -> Self {
        let lists = Lists { window: List::new(WINDOW), main: List::new(MAIN) };
        Self { lists, ghost: Ghost::new(), ruling: Ruling::new(rule) }
    }

    pub(super) fn len(&self) -> usize {
        self.lists.len_of_all()
    }

    /// Another rule takes over, if it is another one.
    #[inline(always)]
    pub(super) fn set_rule(&mut self, rule: Rule) {
        if rule != self.ruling.rule() {
            self.ruling.change(rule, &self.lists);
        }
    }

    #[inline(always)]
    pub(super) fn expect(&self, hash: Hash) {
        self.ghost.prefetch(hash);
        self.lists.window.expect();
        self.lists.main.expect();
    }

    #[inline(always)]
    pub(super) fn insert(&mut self, entry: EntryRef, hash: Hash) {
        let queue = self.ruling.place(&mut self.lists, self.ghost.take(hash));
        self.lists.of(queue).push(entry);
        self.ruling.inserted(&mut self.lists);
    }

    #[inline(always)]
    pub(super) fn replace(&mut self, old: EntryRef, new: EntryRef) {
        new.set_mark(MOST.min((old.mark() & COUNT) + 1));
        self.lists.of(queue_of(old)).replace(old, new);
    }

    pub(super) fn remove(&mut self, entry: EntryRef) {
        self.lists.of(queue_of(entry)).remove(entry);
        // An empty shard remembers nothing: only then is all of the cache's memory there for one entry that is nearly as
        // large.
        if self.lists.len_of_all() == 0 {
            self.ghost = Ghost::new();
        }
    }

    #[inline(always)]
    pub(super) fn victim(&mut self) -> Option<EntryRef> {
        let queue = self.ruling.victim(&mut self.lists)?;
        self.lists.oldest_of(queue)
    }

    #[inline(always)]
    pub(super) fn evict(&mut self, entry: EntryRef, hash: Hash) {
        // A victim is the oldest of its queue, which says where it is without a look at its links.
        let queue = if self.lists.window.oldest() == Some(entry) { Queue::Window } else { Queue::Main };
        if self.ruling.evicted(queue) {
            self.ghost.remember(hash, self.len());
        }
        if self.lists.oldest_of(queue) == Some(entry) && self.len() > 1 {
            self.lists.of(queue).pop();
        } else {
            self.remove(entry);
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.ghost.bytes()
    }
}
