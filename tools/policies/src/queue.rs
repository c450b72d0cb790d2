//! A queue of keys out of whose middle one can be taken: what all policies are made of. Not more than a doubly linked list
//! whose links stand in an array, since keys are small numbers; each key is in it once at most.

/// In place of a neighbour: the key is at that end.
const END: u32 = u32::MAX;
/// In place of both neighbours: the key is not in the queue.
const ABSENT: Links = Links { older: u32::MAX - 1, newer: u32::MAX - 1 };

#[derive(Clone, Copy, PartialEq)]
struct Links {
    older: u32,
    newer: u32,
}

pub struct Queue {
    links: Vec<Links>,
    oldest: u32,
    newest: u32,
    len: usize,
}

impl Queue {
    pub const fn new() -> Self {
        Self { links: Vec::new(), oldest: END, newest: END, len: 0 }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn contains(&self, key: u32) -> bool {
        self.links.get(key as usize).is_some_and(|links| *links != ABSENT)
    }

    pub fn oldest(&self) -> Option<u32> {
        (self.oldest != END).then_some(self.oldest)
    }

    /// The next newer key than `key`, which is in the queue.
    pub fn newer(&self, key: u32) -> Option<u32> {
        let newer = self.links[key as usize].newer;
        (newer != END).then_some(newer)
    }

    /// Makes `key`, which is not in the queue, its newest.
    pub fn push(&mut self, key: u32) {
        debug_assert!(!self.contains(key));
        if self.links.len() <= key as usize {
            self.links.resize(key as usize + 1, ABSENT);
        }
        self.links[key as usize] = Links { older: self.newest, newer: END };
        match self.newest {
            END => self.oldest = key,
            newest => self.links[newest as usize].newer = key,
        }
        self.newest = key;
        self.len += 1;
    }

    /// Takes the oldest key out.
    pub fn pop(&mut self) -> Option<u32> {
        let oldest = self.oldest()?;
        self.remove(oldest);
        Some(oldest)
    }

    /// Takes `key` out; whether it was there.
    pub fn remove(&mut self, key: u32) -> bool {
        if !self.contains(key) {
            return false;
        }
        let Links { older, newer } = self.links[key as usize];
        match older {
            END => self.oldest = newer,
            older => self.links[older as usize].newer = newer,
        }
        match newer {
            END => self.newest = older,
            newer => self.links[newer as usize].older = older,
        }
        self.links[key as usize] = ABSENT;
        self.len -= 1;
        true
    }

    /// Makes `key`, which is in the queue, its newest.
    pub fn renew(&mut self, key: u32) {
        self.remove(key);
        self.push(key);
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    #[test]
    fn it_does_what_a_deque_does() {
        let (mut queue, mut model) = (Queue::new(), VecDeque::new());
        let mut random = 0x5EED_u64;
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = (random >> 40) as u32 % 20;
            let at = model.iter().position(|other| *other == key);
            match (at, random >> 62) {
                (None, _) => {
                    queue.push(key);
                    model.push_back(key);
                }
                (Some(at), 0) => {
                    assert!(queue.remove(key));
                    model.remove(at);
                    assert!(!queue.remove(key));
                }
                (Some(at), 1) => {
                    queue.renew(key);
                    model.remove(at);
                    model.push_back(key);
                }
                _ => assert_eq!(queue.pop(), model.pop_front()),
            }
            let mut in_order = Vec::new();
            let mut next = queue.oldest();
            while let Some(key) = next {
                in_order.push(key);
                next = queue.newer(key);
            }
            assert_eq!(in_order, Vec::from(model.clone()));
            assert_eq!((queue.len(), queue.is_empty()), (model.len(), model.is_empty()));
            assert!((0..30).all(|key| queue.contains(key) == model.contains(&key)));
        }
    }
}
