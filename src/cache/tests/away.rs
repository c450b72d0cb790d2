//! A tier that is away, and comes back.

use super::{stack, stack_with, wait_for};
use crate::cache::Purge;
use crate::clock::Ttl;
use crate::codec::envelope::Envelope;
use crate::pattern::Pattern;
use crate::tiers::memory::PutOptions;
use crate::tiers::{FaultKind, TierName};

#[test]
fn a_tier_that_comes_back_never_serves_what_was_overwritten_meanwhile() {
    for kind in [FaultKind::TimedOut, FaultKind::Unreachable, FaultKind::Refused, FaultKind::Full] {
        let stack = stack();
        for key in [b"a", b"b", b"c"] {
            stack.cache.put(key, b"old", Ttl::Default).unwrap();
        }
        stack.redis.fail(Some(kind));
        stack.cache.put(b"a", b"new", Ttl::Default).unwrap();
        assert!(stack.cache.remove(b"b"));
        assert!(!stack.cache.health(TierName::Redis).unwrap().is_up);
        assert_eq!(stack.value(b"a").unwrap(), b"new");
        stack.forget_in_memory(b"a");
        stack.forget_in_memory(b"c");
        assert_eq!(stack.value(b"a").unwrap(), b"new", "from disk");
        assert_eq!(stack.value(b"c").unwrap(), b"old", "from disk");
        let statistics = stack.cache.statistics().redis;
        assert_eq!((statistics.is_open, statistics.openings, statistics.owed), (true, 1, 2), "{kind:?}");
        assert!(Envelope::decode(b"a", &stack.redis.get(b"a").unwrap()).is_ok(), "the server still has what is old");
        stack.redis.fail(None);
        wait_for("the tier", || stack.cache.health(TierName::Redis).unwrap().is_up);
        assert!(stack.redis.get(b"a").is_none() && stack.redis.get(b"b").is_none());
        assert!(stack.redis.get(b"c").is_some());
        for key in [b"a", b"b"] {
            stack.forget_in_memory(key);
        }
        assert_eq!(stack.value(b"a").unwrap(), b"new");
        assert!(stack.value(b"b").is_none());
        assert_eq!(stack.cache.statistics().redis.owed, 0);
        assert!(stack.cache.health(TierName::Redis).unwrap().last_error.unwrap().contains("as the test wants"));
    }
}

// Miri would take an hour for a hundred thousand puts.
#[cfg(not(miri))]
#[test]
fn when_more_was_overwritten_than_can_be_remembered_the_tier_is_cleared_before_it_is_read() {
    let stack = stack_with(&[("memory.capacity", "10")], None, None);
    stack.cache.put(b"key", b"old", Ttl::Default).unwrap();
    stack.redis.fail(Some(FaultKind::Unreachable));
    for number in 0..=100_000_u32 {
        stack.cache.put(&number.to_le_bytes(), b"", Ttl::Default).unwrap();
    }
    let statistics = stack.cache.statistics().redis;
    assert_eq!((statistics.owed, statistics.owed_overflows), (0, 1));
    stack.redis.fail(None);
    wait_for("the tier", || stack.cache.health(TierName::Redis).unwrap().is_up);
    assert_eq!(stack.redis.calls().2, 1);
    assert!(stack.redis.get(b"key").is_none());
}

#[test]
fn a_purge_that_does_not_reach_a_tier_is_made_up_for_by_clearing_it() {
    let pattern = Pattern::new(b"*y").unwrap();
    for what in [Purge::All, Purge::Prefix(b"k"), Purge::Pattern(&pattern), Purge::Tag(b"tag")] {
        let stack = stack();
        let tagged = PutOptions { tags: &[b"tag"], ..PutOptions::default() };
        stack.cache.put_with(b"key", b"old", &tagged).unwrap();
        stack.redis.fail(Some(FaultKind::TimedOut));
        stack.cache.purge(what);
        assert!(stack.value(b"key").is_none(), "{what:?}");
        stack.redis.fail(None);
        wait_for("the tier", || stack.cache.health(TierName::Redis).unwrap().is_up);
        assert!(stack.value(b"key").is_none(), "{what:?}");
    }
}
