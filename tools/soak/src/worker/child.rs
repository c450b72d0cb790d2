//! What a forked child calls, and what it looks at.

use std::sync::atomic::Ordering;

use super::judge::wrong;
use crate::blackbox::{about_to, Op};
use crate::flock::{Flock, Slot};
use crate::library::{FOREVER, NOT_FOUND, OK, VALUE_TOO_LARGE};
use crate::random::Random;
use crate::value;

/// In a forked child, where only this thread is left: every kind of call on every cache. Claims may be held by threads that
/// are not here, so values are all that is checked, and what this process itself has put.
pub fn use_in_child(flock: &Flock<'_>, seed: u64) {
    let mut random = Random::of(&[seed]);
    let (mut value, mut buffer) = (Vec::new(), vec![0; 4 << 20]);
    for (cache, member) in flock.members.iter().enumerate() {
        let prove = |bytes: &[u8], slot: &Slot| {
            value::prove(bytes, slot.id).unwrap_or_else(|what| wrong(member, &format!("in a forked child: {what}")))
        };
        for _ in 0..30 {
            let number = random.below(member.slots.len());
            let slot = &member.slots[number];
            about_to(Op::InTheChild, cache, number);
            let oldest = slot.oldest.load(Ordering::Acquire);
            if let (OK, len) = member.cache.read(&slot.key, &mut buffer) {
                let version = prove(&buffer[..len], slot);
                if version != 0 && version < oldest {
                    wrong(member, &format!("a forked child sees version {version}, {oldest} had taken its place"));
                }
            }
            if let Some(text) = &slot.text {
                let lent = member.cache.get(text);
                if lent.found {
                    // SAFETY: no look-up since.
                    #[allow(unsafe_code)]
                    prove(unsafe { lent.bytes() }, slot);
                }
            }
            let version = u64::MAX - random.below(1_000) as u64;
            value::make(&mut value, slot.id, version, 100 + random.below(900));
            let status = member.cache.put(&slot.key, &value, FOREVER);
            if status != OK && status != VALUE_TOO_LARGE {
                wrong(member, &format!("put in a forked child: status {status}"));
            }
            if let (OK, Some(held)) = member.cache.acquire(&slot.key) {
                if prove(held.bytes(), slot) != version && status == OK {
                    wrong(member, "a forked child reads something else than it has put");
                }
            }
            member.cache.remove(&slot.key);
            if member.cache.contains(&slot.key) != NOT_FOUND {
                wrong(member, "a forked child finds what it has removed");
            }
        }
        member.cache.sweep();
        if random.one_in(2) {
            member.cache.purge(None);
        }
        if member.cache.statistics().0 != OK {
            wrong(member, "no statistics in a forked child");
        }
    }
}
