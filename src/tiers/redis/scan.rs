//! Removing many keys without knowing them: SCAN over all keys of a server, UNLINK of those that are ours, in small steps. Called when
//! the tier is cleared or keys are purged by what they are. What Redis makes of a pattern only has it send fewer names: which of them are
//! meant is decided here.

use super::faults::complaint;
use super::keys::{Names, Owner};
use super::link::exchange;
use super::pool::Pool;
use super::wire::{Batch, Reply};
use super::Redis;
use crate::pattern::KeySet;
use crate::tiers::{Fault, FaultKind};

/// Keys that a server looks at in one step, in which it serves nobody else. Measured in a database of a million small keys: 1000 take
/// 3 to 6 ms, so these take about half a millisecond.
const STEP: u64 = 100;

/// How often all is looked through again because a cluster has moved slots meanwhile: a key may have been carried past us.
const MOST_PASSES: usize = 3;

/// Removes these keys of the user's; `None`: all, and what the tier keeps for itself too, but for the namespace. Says how many keys
/// of the user's those were.
pub(super) fn remove(redis: &Redis, keys: Option<KeySet<'_>>) -> Result<u64, Fault> {
    let pattern = redis.names.pattern(keys.unwrap_or(KeySet::Beginning(b"")));
    let mut removed = 0;
    let mut layout = redis.step(|budget| redis.link.layout(budget))?;
    for _ in 0..MOST_PASSES {
        for pool in layout.primaries() {
            removed += remove_from(redis, pool, &pattern, keys)?;
        }
        let now = redis.step(|budget| redis.link.layout(budget))?;
        if now == layout {
            break;
        }
        layout = now;
    }
    Ok(removed)
}

fn remove_from(redis: &Redis, pool: &Pool, pattern: &[u8], keys: Option<KeySet<'_>>) -> Result<u64, Fault> {
    let (mut cursor, mut removed) = (b"0".to_vec(), 0);
    loop {
        let mut batch = Batch::new(false);
        batch.begin(6).text("SCAN").text(&cursor).text("MATCH").text(pattern).text("COUNT").number(STEP).end();
        let reply = redis.step(|budget| exchange(pool, &batch, budget))?.pop();
        let (next, found) = page(reply)?;
        let (of_user, of_tier) = ours(&redis.names, &found, keys);
        removed += unlink(redis, &of_user)?;
        unlink(redis, &of_tier)?;
        if next == b"0" {
            return Ok(removed);
        }
        cursor = next;
    }
}

/// What SCAN has answered: where to go on, and names.
fn page(reply: Option<Reply>) -> Result<(Vec<u8>, Vec<Vec<u8>>), Fault> {
    let garbled = || Fault::new(FaultKind::Damaged, "Redis answered SCAN with something else than names");
    let mut parts = match reply {
        Some(Reply::List(parts)) => parts.into_iter(),
        Some(Reply::Error(line)) => return Err(complaint(&line).into_fault()),
        _ => return Err(garbled()),
    };
    let (Some(Reply::Bytes(cursor)), Some(Reply::List(names))) = (parts.next(), parts.next()) else {
        return Err(garbled());
    };
    let bytes = |name| match name {
        Reply::Bytes(name) => Ok(name),
        _ => Err(garbled()),
    };
    Ok((cursor, names.into_iter().map(bytes).collect::<Result<_, _>>()?))
}

type Found<'a> = Vec<&'a [u8]>;

fn ours<'a>(names: &Names, found: &'a [Vec<u8>], keys: Option<KeySet<'_>>) -> (Found<'a>, Found<'a>) {
    let is_meant = |name: &&[u8]| match (names.owner(name), keys) {
        (Owner::User(key), Some(keys)) => keys.has(key),
        (owner, None) => matches!(owner, Owner::User(_)),
        _ => false,
    };
    let is_of_tier = |name: &&[u8]| keys.is_none() && names.owner(name) == Owner::Tier;
    let found = || found.iter().map(Vec::as_slice);
    (found().filter(is_meant).collect(), found().filter(is_of_tier).collect())
}

fn unlink(redis: &Redis, names: &[&[u8]]) -> Result<u64, Fault> {
    if names.is_empty() {
        return Ok(0);
    }
    let mut batch = redis.link.batch();
    if redis.link.is_cluster() {
        for name in names {
            batch.begin(2).text("UNLINK").key(&[name]).end();
        }
    } else {
        batch.begin(1 + names.len()).text("UNLINK");
        for name in names {
            batch.key(&[name]);
        }
        batch.end();
    }
    let mut removed = 0;
    for reply in redis.step(|budget| redis.link.run(&batch, budget))? {
        match reply {
            Reply::Number(number) => removed += u64::try_from(number).unwrap_or(0),
            Reply::Error(line) => return Err(complaint(&line).into_fault()),
            _ => {}
        }
    }
    Ok(removed)
}
