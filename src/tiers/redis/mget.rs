//! Many keys of one server in one round trip, in pieces. Called by the tier's face; a cluster, where a command has one key, goes another way.
//!
//! Redis executes what one read of its has brought, and sends the replies at the end of that turn. With all keys in one MGET the caller
//! would wait while Redis works, and Redis has nothing to do while the caller works. So the keys go out in several MGETs, each as soon as
//! its keys are there and none waiting for a reply; and each value is handed on as it arrives, out of the buffer that it was received
//! into. There is one deadline for all of it.

use super::faults::complaint;
use super::keys::Names;
use super::namespace::Namespace;
use super::pool::Pool;
use super::wire::Batch;
use super::Redis;
use crate::tiers::{Fault, Inquiry};

/// Keys of the first piece, and how many times as many each next one has: so a batch of 100 is two. What a piece costs beyond its keys,
/// a call of the kernel here and a turn of the server's, is 5% of such a batch where both run on one core, and there is nothing to gain;
/// where they run on two, 2 to 4 pieces of 16 to 50 save 3 to 7%, all much alike.
const FIRST: usize = 32;
const GROWTH: usize = 4;

pub(super) fn answer<'k>(redis: &Redis, pool: &Pool, inquiry: &mut dyn Inquiry<'k>) -> Result<(), Fault> {
    let (mut keys, mut wanted) = (Vec::with_capacity(FIRST), FIRST);
    take(inquiry, &mut keys, wanted);
    if keys.is_empty() {
        return Ok(());
    }
    redis.step(|budget| {
        let mut lease = pool.lease(budget)?;
        let mut batch = Batch::new(false);
        let (mut pieces, mut sent) = (Vec::with_capacity(4), (0, 0));
        let asks_namespace = redis.namespace.is_due(budget.begun());
        if asks_namespace {
            Namespace::ask(&redis.names, &mut batch);
        }
        while !keys.is_empty() {
            pack(&redis.names, &keys, &mut batch);
            lease.send_more(&batch, sent, budget)?;
            sent = (batch.bytes().len(), batch.len());
            pieces.push(keys.len());
            keys.clear();
            wanted *= GROWTH;
            take(inquiry, &mut keys, wanted);
        }
        let mut unsure = None;
        if asks_namespace {
            let reply = lease.receive_one(&batch, budget)?;
            if !redis.namespace.accepts(&reply, budget) {
                unsure = Some(reply);
            }
        }
        let (mut begun, mut refused, mut kept) = (0, None, Vec::new());
        for count in pieces {
            let said = lease.receive_values(&batch, count, budget, &mut |number, value| match unsure {
                None => inquiry.found(begun + number, value),
                Some(_) => kept.push((begun + number, value.map(<[u8]>::to_vec))),
            })?;
            begun += count;
            // The rest is received all the same, and the connection can be used again.
            refused = refused.or(said);
        }
        drop(lease);
        if let Some(line) = refused {
            return Err(complaint(&line).into_fault());
        }
        if let Some(reply) = unsure {
            // To find out which number holds takes another exchange, for which there may be no other connection.
            redis.namespace.answered(&reply, &redis.link, &redis.names, budget)?;
            kept.iter().for_each(|(number, value)| inquiry.found(*number, value.as_deref()));
        }
        Ok(())
    })
}

fn take<'k>(inquiry: &mut dyn Inquiry<'k>, keys: &mut Vec<&'k [u8]>, wanted: usize) {
    keys.extend(std::iter::from_fn(|| inquiry.next_key()).take(wanted));
}

fn pack(names: &Names, keys: &[&[u8]], batch: &mut Batch) {
    // Of most keys; others make the room grow.
    batch.reserve(64 * keys.len());
    batch.begin(1 + keys.len()).text("MGET");
    keys.iter().for_each(|key| {
        batch.key(&names.key(key));
    });
    batch.end();
}
