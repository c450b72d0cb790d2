//! A heap of entries, the one that should leave first on top; each entry knows its place in it by one of its links, so that
//! any can be taken out.
//!
//! Entries are filed under a number that the policy makes of what it knew at the time. Hits change what it would be and do
//! not tell, so a policy looks at the top again before it believes it.

use super::super::entry::EntryRef;

/// Children of a node: four of sixteen bytes are one line.
const CHILDREN: usize = 4;

/// What [`super::super::list::tag`] says of an entry in a heap: what no list says.
const TAG: u64 = 0xF;
/// Where in the link the place stands: above the tag.
const PLACE_SHIFT: u32 = 4;

pub(super) struct Heap {
    filed: Vec<(u64, EntryRef)>,
    /// Whether the first of two numbers goes first.
    before: fn(u64, u64) -> bool,
}

impl Heap {
    pub(super) const fn new(before: fn(u64, u64) -> bool) -> Self {
        Self { filed: Vec::new(), before }
    }

    pub(super) fn bytes(&self) -> u64 {
        (self.filed.capacity() * size_of::<(u64, EntryRef)>()) as u64
    }

    /// Sees to it that the next [`Heap::push`] finds room. False when there is no memory.
    pub(super) fn reserve(&mut self) -> bool {
        self.filed.len() < self.filed.capacity() || self.filed.try_reserve(1).is_ok()
    }

    /// Takes in an entry that is in no list; [`Heap::reserve`] has been called since the last one.
    pub(super) fn push(&mut self, entry: EntryRef, number: u64) {
        let place = self.filed.len();
        self.filed.push((number, entry));
        self.rise(place);
    }

    pub(super) fn top(&self) -> Option<(u64, EntryRef)> {
        self.filed.first().copied()
    }

    /// Files the top anew.
    pub(super) fn refile_top(&mut self, number: u64) {
        if let Some((filed, _)) = self.filed.first_mut() {
            *filed = number;
            self.sink(0);
        }
    }

    /// Takes out an entry that is in the heap; says under which number.
    pub(super) fn remove(&mut self, entry: EntryRef) -> u64 {
        let place = Self::place(entry);
        let (number, _) = self.filed.swap_remove(place);
        if self.filed.is_empty() {
            self.filed = Vec::new();
        }
        self.settle_anew(place);
        number
    }

    /// Puts `new` in the place of `old`, and files it anew.
    pub(super) fn replace(&mut self, old: EntryRef, new: EntryRef, number: u64) {
        let place = Self::place(old);
        self.filed[place] = (number, new);
        self.settle_anew(place);
    }

    /// Changes all numbers in a way that keeps their order.
    pub(super) fn renumber(&mut self, number: impl Fn(u64, EntryRef) -> u64) {
        for (filed, entry) in &mut self.filed {
            *filed = number(*filed, *entry);
        }
    }

    fn place(entry: EntryRef) -> usize {
        (entry.links().older() >> PLACE_SHIFT) as usize
    }

    fn settle_anew(&mut self, place: usize) {
        if place < self.filed.len() {
            let place = self.rise(place);
            self.sink(place);
        }
    }

    fn is_before(&self, a: usize, b: usize) -> bool {
        (self.before)(self.filed[a].0, self.filed[b].0)
    }

    fn settle(&self, place: usize) {
        self.filed[place].1.links().set_older((place as u64) << PLACE_SHIFT | TAG);
    }

    fn rise(&mut self, mut place: usize) -> usize {
        while place > 0 && self.is_before(place, (place - 1) / CHILDREN) {
            let parent = (place - 1) / CHILDREN;
            self.filed.swap(place, parent);
            self.settle(place);
            place = parent;
        }
        self.settle(place);
        place
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let first = place * CHILDREN + 1;
            let children = first..self.filed.len().min(first + CHILDREN);
            let next = children.reduce(|a, b| if self.is_before(b, a) { b } else { a });
            let Some(child) = next.filter(|child| self.is_before(*child, place)) else { break };
            self.filed.swap(place, child);
            self.settle(place);
            place = child;
        }
        self.settle(place);
    }
}
