//! Many keys looked up in a level at once: what still waits to be written is seen without the tier, of the rest each is judged as soon
//! as the tier has answered it. Called by `level` for `descent`, which has something to do with each, and for who wants a list.

use super::level::{Bytes, Hit, Left, Look};
use super::queue::Seen;
use super::tended::{Judged, Tended};
use crate::clock::Moment;
use crate::codec::envelope::Envelope;
use crate::tiers::Inquiry;
use std::sync::Arc;
use std::time::Instant;

/// Who looks several keys up. Of a key that it is told nothing of, nothing could be learned. As with [`Inquiry`], neither call may call
/// the tier.
pub(super) trait Seeker<'k> {
    /// The next key; `None`: that was the last.
    fn next_key(&mut self) -> Option<&'k [u8]>;

    /// What is to be believed of the key that came as the `number`th, from 0; in no order.
    fn sees(&mut self, number: usize, sight: Sight<'_>);
}

/// What a look-up finds, where it lies.
pub(super) enum Sight<'a> {
    Found {
        bytes: &'a [u8],
        /// What is in them.
        envelope: &'a Envelope<'a>,
        left: Left,
    },
    Absent,
}

/// Looks up for a seeker. `counts`: whether these are look-ups of a caller's.
pub(super) fn look_each(tended: &Tended, seeker: &mut dyn Seeker<'_>, counts: bool) {
    let mut eye =
        Eye { tended, seeker, seen: 0, asked: Vec::new(), tagged: Vec::new(), looked: None, hits: 0, misses: 0 };
    if tended.is_usable() {
        let begun = Instant::now();
        let read = tended.tier.answer(&mut eye);
        if !eye.asked.is_empty() {
            tended.reads.add(begun.elapsed().as_nanos() as u64);
        }
        if let Err(fault) = read {
            tended.fault(&fault);
        }
    }
    // Those that wait to be written are seen all the same.
    while eye.next_key().is_some() {}
    eye.see_tagged();
    if counts {
        tended.count_looks(eye.hits, eye.misses);
    }
}

/// The same for keys that are all there already.
pub(super) fn look_all(tended: &Tended, keys: &[&[u8]]) -> Vec<Look> {
    let mut list = List { keys: keys.iter(), looks: keys.iter().map(|_| Look::Away).collect() };
    look_each(tended, &mut list, false);
    list.looks
}

struct Tagged<'k> {
    key: &'k [u8],
    /// Which one it is to the seeker.
    number: usize,
    bytes: Bytes,
    is_of_tier: bool,
}

/// Stands between a seeker and the tier.
struct Eye<'e, 'k> {
    tended: &'e Tended,
    seeker: &'e mut dyn Seeker<'k>,
    /// Keys that the seeker has given.
    seen: usize,
    /// Those of them that the tier was asked for, and which they are to the seeker.
    asked: Vec<(&'k [u8], usize)>,
    /// What there is of keys with tags: the tier is asked for those when it is done.
    tagged: Vec<Tagged<'k>>,
    /// When it was last looked at the clock.
    looked: Option<Moment>,
    hits: u64,
    misses: u64,
}

impl<'k> Eye<'_, 'k> {
    fn tell(&mut self, number: usize, bytes: &[u8], judged: Judged<'_>) {
        match judged {
            Judged::Believed { envelope, left } => {
                self.hits += 1;
                self.seeker.sees(number, Sight::Found { bytes, envelope: &envelope, left });
            }
            Judged::Absent => self.miss(number),
            Judged::Unknown => {}
        }
    }

    fn now(&mut self) -> Moment {
        self.tended.clock.moment_near(&mut self.looked)
    }

    fn miss(&mut self, number: usize) {
        self.misses += 1;
        self.seeker.sees(number, Sight::Absent);
    }

    fn see_tagged(&mut self) {
        for Tagged { key, number, bytes, is_of_tier } in std::mem::take(&mut self.tagged) {
            let now = self.now();
            let judged = self.tended.judge(key, &bytes, now, is_of_tier);
            self.tell(number, &bytes, judged);
        }
    }

    /// What waits to be written of a key.
    fn waits(&mut self, key: &'k [u8], number: usize, bytes: Arc<Vec<u8>>) {
        let now = self.now();
        match self.tended.judge_alone(key, &bytes, now, false) {
            Judged::Believed { envelope, .. } if !envelope.tags.is_empty() => {
                self.tagged.push(Tagged { key, number, bytes: Bytes::Shared(bytes.clone()), is_of_tier: false });
            }
            judged => self.tell(number, &bytes, judged),
        }
    }
}

impl<'k> Inquiry<'k> for Eye<'_, 'k> {
    fn next_key(&mut self) -> Option<&'k [u8]> {
        loop {
            let key = self.seeker.next_key()?;
            let number = self.seen;
            self.seen += 1;
            match self.tended.seen_in_queue(key) {
                Seen::Nothing => {
                    self.asked.push((key, number));
                    return Some(key);
                }
                Seen::Removed => self.miss(number),
                Seen::Put(bytes) => self.waits(key, number, bytes),
            }
        }
    }

    fn found(&mut self, number: usize, envelope: Option<&[u8]>) {
        let (key, number) = self.asked[number];
        let Some(bytes) = envelope else { return self.miss(number) };
        let now = self.now();
        match self.tended.judge_alone(key, bytes, now, true) {
            Judged::Believed { envelope, .. } if !envelope.tags.is_empty() => {
                self.tagged.push(Tagged { key, number, bytes: Bytes::Own(bytes.to_vec()), is_of_tier: true });
            }
            judged => self.tell(number, bytes, judged),
        }
    }
}

struct List<'l, 'k> {
    keys: std::slice::Iter<'l, &'k [u8]>,
    looks: Vec<Look>,
}

impl<'k> Seeker<'k> for List<'_, 'k> {
    fn next_key(&mut self) -> Option<&'k [u8]> {
        self.keys.next().copied()
    }

    fn sees(&mut self, number: usize, sight: Sight<'_>) {
        self.looks[number] = match sight {
            Sight::Found { bytes, left, .. } => Look::Found(Hit { bytes: Bytes::Own(bytes.to_vec()), left }),
            Sight::Absent => Look::Absent,
        };
    }
}
