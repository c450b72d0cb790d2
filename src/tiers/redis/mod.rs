//! The Redis tier: a server or a cluster that several processes share. This is its face; below it
//!
//! - `address` and `tls` read the options, `keys` says what things are called in Redis,
//! - `link` is one server (`pool`) or a cluster (`cluster`, `map`, `slots`),
//! - a `pool` lends connections (`connection`, on a `stream` with deadlines, to an address that `resolve` has found),
//! - `mget` reads many keys of one server,
//! - `wire` packs commands and reads replies, `faults` says what refusals mean,
//! - `namespace` decides which of what is found may be believed, `scan` removes what nobody can name.
//!
//! Every call has one budget of time for all that it does, and does each thing once; only what went out on a connection that the
//! server had closed before goes out once more on a new one. All commands may be done twice.
//!
//! It starts no thread of its own, but for the lookup of a name.

mod address;
mod cluster;
mod connection;
mod faults;
mod keys;
mod link;
mod map;
mod mget;
mod namespace;
mod pool;
mod resolve;
mod scan;
mod slots;
mod stream;
#[cfg(all(test, not(miri)))]
mod tests;
mod tls;
mod wire;

use self::connection::Budget;
use self::faults::{complaint, Complaint};
use self::keys::Names;
use self::link::{exchange, Link};
use self::namespace::Namespace;
use self::pool::Shared;
use self::wire::{Batch, Reply, LONGEST_VALUE};
use super::{Fault, FaultKind, Figures, Inquiry, Outcome, Tier, What, Write};
use crate::clock::unix_micros;
use crate::error::Result as OpenResult;
use crate::fork::Hold;
use crate::options::RedisOptions;
use crate::pattern::KeySet;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long Redis keeps a tag that nobody uses. Arbitrary: longer than what lives long in practice, so that tags do not pile up for ever.
const TAG_LIFETIME: Duration = Duration::from_secs(400 * DAY.as_secs());

/// An entry with tags lives no longer, so that its tags outlive it.
const LONGEST_WITH_TAGS: Duration = Duration::from_secs(399 * DAY.as_secs());

/// A tag that Redis has lost counts as purged at this time before it is written anew: not never, for what it had been purged for would
/// come back; and not now, for the entry that it is written for was made a moment ago. Between an entry's birth and its arrival here lie
/// microseconds, or a moment in a queue; if it was longer, the entry is a miss.
const TAG_MARGIN: Duration = Duration::from_secs(1);

pub(crate) struct Redis {
    link: Link,
    names: Names,
    namespace: Namespace,
    shared: Arc<Shared>,
    /// Every exchange is inside; a fork waits until all are outside. None lasts longer than its budget.
    gate: RwLock<()>,
}

impl Redis {
    /// Makes no connection.
    pub(crate) fn open(options: &RedisOptions) -> OpenResult<Redis> {
        let (target, access) = address::read(options)?;
        let shared = Arc::new(Shared::new(access));
        Ok(Redis {
            link: Link::new(target, &shared),
            names: Names::new(&options.key_prefix),
            namespace: Namespace::new(),
            shared,
            gate: RwLock::new(()),
        })
    }

    /// Does something with a budget of its own, inside the gate.
    fn step<T>(&self, work: impl FnOnce(&Budget) -> Result<T, Fault>) -> Result<T, Fault> {
        let _inside = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        work(&Budget::new(&self.shared.access))
    }

    /// One exchange, with the namespace asked for on the way if it is time. The replies are those to what `fill` has put
    /// into the batch.
    fn exchange(&self, budget: &Budget, fill: impl FnOnce(&mut Batch)) -> Result<std::vec::IntoIter<Reply>, Fault> {
        let mut batch = self.link.batch();
        let is_due = self.namespace.is_due(budget.begun());
        if is_due {
            Namespace::ask(&self.names, &mut batch);
        }
        fill(&mut batch);
        let mut replies = self.link.run(&batch, budget)?.into_iter();
        if is_due {
            let reply = replies.next().unwrap_or(Reply::Nil);
            self.namespace.answered(&reply, &self.link, &self.names, budget)?;
        }
        Ok(replies)
    }

    /// The values of names, in one round trip.
    fn values<'a>(
        &self,
        names: impl ExactSizeIterator<Item = [&'a [u8]; 3]>,
        from_replica: bool,
    ) -> Result<Vec<Option<Vec<u8>>>, Fault> {
        let count = names.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        self.step(|budget| {
            let end = if from_replica { Batch::end_for_any } else { Batch::end };
            let mut replies = self.exchange(budget, |batch| {
                // Of most keys; others make the room grow.
                batch.reserve(64 * count);
                if self.link.is_cluster() {
                    for name in names {
                        batch.begin(2).text("GET").key(&name);
                        end(batch);
                    }
                } else {
                    batch.begin(1 + count).text("MGET");
                    for name in names {
                        batch.key(&name);
                    }
                    end(batch);
                }
            })?;
            if self.link.is_cluster() {
                return replies.map(|reply| value(Some(reply))).collect();
            }
            match replies.next() {
                Some(Reply::List(values)) if values.len() == count => {
                    values.into_iter().map(|reply| value(Some(reply))).collect()
                }
                Some(Reply::Error(line)) => Err(complaint(&line).into_fault()),
                _ => Err(garbled("MGET")),
            }
        })
    }

    fn pack(&self, batch: &mut Batch, write: &Write<'_>, now: u64) {
        let What::Put { envelope, expires, tags, if_absent } = write.what else {
            batch.begin(2).text("UNLINK").key(&self.names.key(write.key)).end();
            return;
        };
        for tag in tags {
            let purged = now.saturating_sub(TAG_MARGIN.as_micros() as u64);
            batch.begin(4).text("SET").key(&self.names.tag(tag)).number(purged).text("NX").end();
            batch.begin(3).text("EXPIRE").key(&self.names.tag(tag)).number(TAG_LIFETIME.as_secs()).end();
        }
        // What is over already goes in a moment: there may be an older value that it takes the place of.
        let millis = expires.map(|expires| expires.saturating_sub(now / 1000).max(1));
        let most = LONGEST_WITH_TAGS.as_millis() as u64;
        let millis = if tags.is_empty() { millis } else { Some(millis.map_or(most, |millis| millis.min(most))) };
        batch.begin(3 + 2 * usize::from(millis.is_some()) + usize::from(if_absent));
        batch.text("SET").key(&self.names.key(write.key)).text(envelope);
        if let Some(millis) = millis {
            batch.text("PX").number(millis);
        }
        if if_absent {
            batch.text("NX");
        }
        batch.end();
    }
}

/// How many commands a write is.
fn commands(write: &Write<'_>) -> usize {
    match write.what {
        What::Put { tags, .. } => 2 * tags.len() + 1,
        What::Remove => 1,
    }
}

/// What the replies to one write mean. Those of tags come first, and one that could not be written makes the entry a miss.
fn outcome(replies: impl Iterator<Item = Reply>) -> Result<Outcome, Fault> {
    let mut outcome = Outcome::Undone;
    for reply in replies {
        let now = match reply {
            Reply::Status(_) | Reply::Number(1..) => Outcome::Done,
            Reply::Nil | Reply::Number(_) => Outcome::Nothing,
            Reply::Error(line) => match complaint(&line) {
                Complaint::Server(fault) => return Err(fault),
                of_one => Outcome::Refused(of_one.into_fault()),
            },
            Reply::Bytes(_) | Reply::List(_) => return Err(garbled("a write")),
        };
        if !matches!(outcome, Outcome::Refused(_)) {
            outcome = now;
        }
    }
    Ok(outcome)
}

/// The reply to GET, or one of those to MGET.
fn value(reply: Option<Reply>) -> Result<Option<Vec<u8>>, Fault> {
    match reply {
        Some(Reply::Bytes(value)) => Ok(Some(value)),
        Some(Reply::Nil) => Ok(None),
        Some(Reply::Error(line)) => match complaint(&line) {
            Complaint::NotAValue => Ok(None),
            other => Err(other.into_fault()),
        },
        _ => Err(garbled("GET")),
    }
}

fn garbled(command: &str) -> Fault {
    Fault::new(FaultKind::Damaged, format!("Redis answered {command} with something else than it has to"))
}

impl Tier for Redis {
    fn answer(&self, inquiry: &mut dyn Inquiry<'_>) -> Result<(), Fault> {
        match &self.link {
            Link::Server(pool) => mget::answer(self, pool, inquiry),
            Link::Cluster(_) => {
                let keys: Vec<&[u8]> = std::iter::from_fn(|| inquiry.next_key()).collect();
                let values = self.values(keys.iter().map(|key| self.names.key(key)), true)?;
                values.iter().enumerate().for_each(|(number, value)| inquiry.found(number, value.as_deref()));
                Ok(())
            }
        }
    }

    fn read_one(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.step(|budget| {
            let mut replies = self.exchange(budget, |batch| {
                batch.begin(2).text("GET").key(&self.names.key(key)).end_for_any();
            })?;
            value(replies.next())
        })
    }

    fn write(&self, writes: &mut [Write<'_>]) -> Result<(), Fault> {
        for write in &mut *writes {
            if matches!(write.what, What::Put { envelope, .. } if envelope.len() > LONGEST_VALUE) {
                let fault = Fault::new(FaultKind::TooLarge, "Redis takes no value of more than 512 MiB");
                write.outcome = Outcome::Refused(fault);
            }
        }
        let now = unix_micros();
        let wanted = |write: &&mut Write<'_>| write.outcome == Outcome::Undone;
        if writes.iter().all(|write| write.outcome != Outcome::Undone) {
            return Ok(());
        }
        self.step(|budget| {
            self.namespace.learn(&self.link, &self.names, budget)?;
            let mut replies = self.exchange(budget, |batch| {
                let wanted = writes.iter().filter(|write| write.outcome == Outcome::Undone);
                wanted.for_each(|write| self.pack(batch, write, now));
            })?;
            for write in writes.iter_mut().filter(wanted) {
                let count = commands(write);
                write.outcome = outcome(replies.by_ref().take(count))?;
            }
            Ok(())
        })
    }

    /// Asks Redis for it if it is not known yet; 0 when that fails, which is never the number of any namespace.
    fn namespace(&self) -> u64 {
        if self.namespace.known() == 0 {
            // Whoever asked for it is about to write, and is told the fault there.
            let _ = self.step(|budget| self.namespace.learn(&self.link, &self.names, budget));
        }
        self.namespace.known()
    }

    fn is_purged(&self, tags: &[&[u8]], since: u64) -> Result<bool, Fault> {
        let purged = self.values(tags.iter().map(|tag| self.names.tag(tag)), false)?;
        // One that is gone, or that is no number, may have been purged at any time.
        let time = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u64>().ok();
        Ok(purged.iter().any(|value| value.as_deref().and_then(time).is_none_or(|time| time >= since)))
    }

    fn purge_tag(&self, tag: &[u8], at: u64) -> Result<(), Fault> {
        let name = self.names.tag(tag);
        let set = |time: u64| {
            self.step(|budget| {
                let mut replies = self.exchange(budget, |batch| {
                    batch.begin(2).text("GET").key(&name).end();
                    batch.begin(5).text("SET").key(&name).number(time);
                    batch.text("EX").number(TAG_LIFETIME.as_secs()).end();
                })?;
                let before = value(replies.next())?;
                match replies.next() {
                    Some(Reply::Error(line)) => Err(complaint(&line).into_fault()),
                    _ => Ok(before),
                }
            })
        };
        let before = set(at)?;
        let before = before.and_then(|text| std::str::from_utf8(&text).ok()?.parse::<u64>().ok());
        if let Some(later) = before.filter(|before| *before > at) {
            // Somebody's clock is ahead of ours, or we were slow.
            set(later)?;
        }
        Ok(())
    }

    fn purge_keys(&self, keys: KeySet<'_>) -> Result<u64, Fault> {
        scan::remove(self, Some(keys))
    }

    fn clear(&self) -> Result<u64, Fault> {
        self.step(|budget| self.namespace.raise(&self.link, &self.names, budget))?;
        scan::remove(self, None)
    }

    fn probe(&self) -> Result<(), Fault> {
        let mut ping = Batch::new(false);
        ping.begin(1).text("PING").end();
        self.step(|budget| {
            for pool in self.link.layout(budget)?.primaries() {
                if let Some(Reply::Error(line)) = exchange(pool, &ping, budget)?.first() {
                    return Err(complaint(line).into_fault());
                }
            }
            self.namespace.learn(&self.link, &self.names, budget)
        })
    }

    fn figures(&self) -> Figures {
        let (connections, connects) = (self.shared.open.load(Relaxed), self.shared.made.load(Relaxed));
        Figures { connections, connects, ..Figures::default() }
    }

    fn hold(&self) -> Box<dyn Hold + '_> {
        Box::new(self.gate.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// The child has copies of the parent's sockets: it closes them, which the server does not notice, and says nothing on them.
    fn after_fork_in_child(&self) {
        self.shared.resolver.after_fork_in_child();
        self.link.close_idle();
    }
}
