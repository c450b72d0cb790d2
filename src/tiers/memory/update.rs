//! Writes that depend on what is there: under a condition, with a version. Called by the cache. What they look at and what
//! they change is one step under the shard's lock; the step itself is that of every put, in `mod.rs`.

use super::entry::{EntryRef, Payload, MAX_TAGS};
use super::index::Hash;
use super::reclaim::Reader;
use super::shard::Locked;
use super::Memory;
use crate::clock::{Ttl, FOREVER};
use crate::codec::envelope::Body;
use crate::error::{Error, Result, Status};
use crate::sync::atomic::Ordering::Relaxed;
use crate::tiers::TierName;
use std::io::Write;

/// When a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Condition {
    /// Whatever is there.
    #[default]
    Always,
    /// Only if the key is not there.
    IfAbsent,
    /// Only if the key is there.
    IfPresent,
    /// Only if the key is there in this version: see [`crate::Value::version`].
    IfVersion(u64),
}

/// How a value is stored by [`crate::Cache::put_with`]. The default is what [`crate::Cache::put`] does.
#[derive(Clone, Copy, Debug, Default)]
pub struct PutOptions<'a> {
    /// For how long.
    pub ttl: Ttl,
    /// When at all.
    pub condition: Condition,
    /// Names that the entry can be purged by, together with others that carry them: see [`crate::Purge::Tag`]. At most
    /// [`MAX_TAGS`] of at most [`MAX_TAG_LEN`] bytes; two and eight for each make the entry larger.
    pub tags: &'a [&'a [u8]],
    /// The lowest tier that the value is for; `None`: all of them. What those below it have of the key is removed.
    pub lowest: Option<TierName>,
    /// Whether it is kept as it is, in all tiers, though compression is on: for what is read far more often than it is stored, or is
    /// compressed already.
    pub uncompressed: bool,
    /// Whether the new version is wanted. Costs some 24 bytes for as long as the value is there.
    pub tell_version: bool,
}

/// How a put under a condition went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// It was stored, as this version; 0 when that was not asked for, or when the entry was too heavy to be kept.
    Stored(u64),
    /// Not stored: the key is there.
    Exists,
    /// Not stored: the key is not there.
    NotFound,
    /// Not stored: the key is there in another version.
    VersionMismatch,
}

/// The longest tag, in bytes. Arbitrary: only its hash is kept.
pub const MAX_TAG_LEN: usize = 255;

/// What a put asks for beside key and value.
pub(super) struct Terms {
    pub(super) condition: Condition,
    /// Only if this entry, which the caller keeps alive, is still the one that is there; it keeps its end.
    pub(super) instead_of: Option<EntryRef>,
    pub(super) tell_version: bool,
    /// When the lifetime began, by [`crate::clock::Clock::nanos`], to which nothing may be added. `None`: it begins when it goes in.
    pub(super) since: Option<u64>,
}

impl Terms {
    /// What a put without a word about it asks for.
    pub(super) const NONE: Terms =
        Terms { condition: Condition::Always, instead_of: None, tell_version: false, since: None };

    /// Why nothing may be stored beside `present`, which is alive; `None`: it may.
    pub(super) fn refuse(&self, shard: &Locked<'_>, present: Option<EntryRef>) -> Option<PutOutcome> {
        if self.instead_of.is_some() {
            return (self.instead_of != present).then_some(PutOutcome::VersionMismatch);
        }
        match (self.condition, present) {
            (Condition::Always, _) | (Condition::IfAbsent, None) | (Condition::IfPresent, Some(_)) => None,
            (Condition::IfAbsent, Some(_)) => Some(PutOutcome::Exists),
            (Condition::IfPresent | Condition::IfVersion(_), None) => Some(PutOutcome::NotFound),
            (Condition::IfVersion(expected), Some(entry)) => {
                (shard.known_version(entry) != Some(expected)).then_some(PutOutcome::VersionMismatch)
            }
        }
    }
}

/// A value and how it is to be stored, as far as that can be seen to without a lock.
pub(crate) struct Ready<'a> {
    form: Form<'a>,
    tags: Tags,
    ttl: Ttl,
    /// As in [`Terms`].
    since: Option<u64>,
    tell_version: bool,
}

/// How the bytes of a value are kept.
enum Form<'a> {
    Plain(&'a [u8]),
    /// Its compressed form, and how long it is.
    Compressed(Vec<u8>, usize),
    Block(&'a [u8], usize),
    Unpacked(Vec<u8>),
}

impl Ready<'_> {
    /// The value as it is best written elsewhere, too.
    pub(crate) fn body(&self) -> Body<'_> {
        match &self.form {
            Form::Plain(value) => Body::Plain(value),
            Form::Unpacked(value) => Body::Plain(value),
            Form::Compressed(block, len) => Body::Lz4 { block, len: *len as u32 },
            Form::Block(block, len) => Body::Lz4 { block, len: *len as u32 },
        }
    }

    fn payload(&self) -> Payload<'_> {
        match self.body() {
            Body::Plain(value) => Payload::Plain(value),
            Body::Lz4 { block, len } => Payload::Lz4 { block, original_len: len },
        }
    }

    fn len(&self) -> usize {
        self.body().len()
    }
}

/// Tags of one entry, each once. Most entries have none, and to clear and to move room for all that there may be would cost them a tenth
/// of a put.
#[derive(Default)]
struct Tags(Vec<u64>);

impl Tags {
    fn add(&mut self, tag: u64) -> Result<()> {
        if self.0.contains(&tag) {
            return Ok(());
        }
        if self.0.len() == MAX_TAGS {
            return Err(Error::invalid_argument(format!("an entry carries at most {MAX_TAGS} tags")));
        }
        self.0.try_reserve(1).map_err(|_| Error::out_of_memory())?;
        self.0.push(tag);
        Ok(())
    }

    fn all(&self) -> &[u64] {
        &self.0
    }
}

impl Memory {
    /// [`Memory::put`], if what is there allows it.
    pub(crate) fn put_with(&self, key: &[u8], value: &[u8], options: &PutOptions<'_>) -> Result<PutOutcome> {
        self.check_lengths(key, value.len())?;
        self.put_ready(key, &self.make_ready(value, options)?, options.condition)
    }

    /// What a put does before it takes a lock; whoever holds one of its own does that before it.
    ///
    /// Fails for tags that cannot be, and for nothing else.
    pub(crate) fn make_ready<'a>(&self, value: &'a [u8], options: &PutOptions<'_>) -> Result<Ready<'a>> {
        let mut tags = Tags::default();
        for tag in options.tags {
            tags.add(self.tag(tag)?)?;
        }
        let PutOptions { ttl, tell_version, uncompressed, .. } = *options;
        let form = match if uncompressed { None } else { self.compressed(value) } {
            Some(block) => Form::Compressed(block, value.len()),
            None => Form::Plain(value),
        };
        Ok(Ready { form, tags, ttl, since: None, tell_version })
    }

    /// The same for what has come from a tier below, with what was left of its lifetime at a time: it gets nothing more, however long it
    /// has taken to come here. `None`: it cannot be unpacked, or there is no memory for that.
    pub(super) fn make_ready_from<'a>(
        &self,
        body: Body<'a>,
        tags: impl Iterator<Item = &'a [u8]>,
        ttl: Ttl,
        since: u64,
    ) -> Option<Ready<'a>> {
        let form = match body {
            Body::Plain(value) => Form::Plain(value),
            Body::Lz4 { block, len } if self.live.compression.load(Relaxed) => Form::Block(block, len as usize),
            Body::Lz4 { len, .. } => {
                let mut value = Vec::new();
                value.try_reserve_exact(len as usize).ok()?;
                value.resize(len as usize, 0);
                if !body.unpack(&mut value) {
                    return None;
                }
                Form::Unpacked(value)
            }
        };
        let mut known = Tags::default();
        for tag in tags {
            // More than an entry can carry, none of ours has written.
            known.add(self.tag(tag).ok()?).ok()?;
        }
        Some(Ready { form, tags: known, ttl, since: Some(since), tell_version: false })
    }

    /// Why a value would not be stored under a condition, if it were now; `None`: it would.
    pub(crate) fn refusal(&self, key: &[u8], condition: Condition) -> Option<PutOutcome> {
        let terms = Terms { condition, ..Terms::NONE };
        let hash = self.hash(key);
        let shard = self.lock_home(hash);
        let present = shard.find(hash, key).map(|(_, entry)| entry).filter(|entry| !self.is_expired(*entry));
        terms.refuse(&shard, present)
    }

    /// What `delta` makes of a number that a key has as its value.
    pub(crate) fn sum(value: &[u8], delta: i64) -> Result<i64> {
        number(Some(value))?.checked_add(delta).ok_or_else(|| overflow(value, delta))
    }

    /// The rest of it.
    pub(crate) fn put_ready(&self, key: &[u8], ready: &Ready<'_>, condition: Condition) -> Result<PutOutcome> {
        let Ready { tags, ttl, since, tell_version, .. } = ready;
        self.check_lengths(key, ready.len())?;
        let terms = Terms { condition, tell_version: *tell_version, instead_of: None, since: *since };
        let hash = self.hash(key);
        let draft = self.draft(key, ready.payload(), tags.all())?;
        self.timed_put(hash, || self.insert(hash, &draft, *ttl, Some(&terms)))
    }

    /// Adds to the number that a key has as its value, and says what that makes; a key that is not there gets `initial`.
    ///
    /// Looks without a lock, and stores if the entry is still the same: else somebody else has got on.
    pub(crate) fn increment(&self, key: &[u8], delta: i64, initial: i64, ttl: Ttl) -> Result<i64> {
        let reader = Reader::enter().ok_or_else(Error::out_of_memory)?;
        let hash = self.hash(key);
        self.timed_put(hash, || self.increment_in(&reader, hash, key, delta, initial, ttl))
    }

    fn increment_in(&self, reader: &Reader, hash: Hash, key: &[u8], delta: i64, initial: i64, ttl: Ttl) -> Result<i64> {
        loop {
            let present = self
                .search::<false>(reader.record(), reader.hazard(), self.seek_hashed(hash, key))
                .map(|(_, entry, _)| entry);
            let present = present.filter(|entry| !self.is_expired(*entry));
            let sum = match present {
                // One that is worth compressing is too long.
                Some(entry) => {
                    let value = entry.value().ok();
                    number(value)?.checked_add(delta).ok_or_else(|| overflow(value.unwrap_or_default(), delta))?
                }
                None => initial,
            };
            let mut tags = Tags::default();
            for carried in present.into_iter().flat_map(EntryRef::tags) {
                tags.add(carried.tag())?;
            }
            let terms = Terms { condition: Condition::IfAbsent, instead_of: present, ..Terms::NONE };
            let mut digits = [0; MOST_DIGITS];
            let text = decimal(sum, &mut digits);
            self.check_lengths(key, text.len())?;
            let draft = self.draft(key, Payload::Plain(text), tags.all())?;
            if let PutOutcome::Stored(_) = self.insert(hash, &draft, ttl, Some(&terms))? {
                return Ok(sum);
            }
        }
    }

    /// Gives a key a new lifetime, from now on; false when it was not there.
    pub(crate) fn touch(&self, key: &[u8], ttl: Ttl) -> bool {
        let hash = self.hash(key);
        let mut shard = self.lock_home(hash);
        let Some((_, entry)) = shard.find(hash, key) else { return false };
        if self.is_expired(entry) {
            self.expire(&mut shard, entry);
            return false;
        }
        let (deadline, lifetime) = match self.lifetime(&mut shard, ttl) {
            Some(lifetime) => (self.clock.deadline(lifetime), self.clock.ticks(lifetime)),
            None => (FOREVER, 0),
        };
        shard.touch(entry, hash, deadline, lifetime);
        shard.weed();
        self.settle(shard, hash, Some(entry));
        true
    }

    /// The hash that stands for a tag.
    pub(super) fn tag(&self, tag: &[u8]) -> Result<u64> {
        if tag.len() > MAX_TAG_LEN {
            let message = format!("a tag has {} bytes; at most {MAX_TAG_LEN} are allowed", tag.len());
            return Err(Error::invalid_argument(message));
        }
        Ok(self.hash(tag).0)
    }

    /// The version of an entry that somebody keeps alive; 0 when it is in the cache no more.
    pub(super) fn version_of(&self, entry: EntryRef) -> Result<u64> {
        let hash = self.hash(entry.key());
        let mut shard = self.lock_home(hash);
        // It is kept alive, so no other entry has its address.
        let is_here = shard.find(hash, entry.key()).is_some_and(|(_, found)| found == entry);
        if !is_here || self.is_expired(entry) {
            return Ok(0);
        }
        let version = shard.version(entry, || self.next_version()).ok_or_else(Error::out_of_memory)?;
        self.settle(shard, hash, Some(entry));
        Ok(version)
    }

    /// A number that no entry of the cache has had.
    pub(super) fn next_version(&self) -> u64 {
        self.versions.fetch_add(1, Relaxed) + 1
    }
}

/// Of a number of 64 bits, with its sign.
const MOST_DIGITS: usize = 20;

fn decimal(number: i64, digits: &mut [u8; MOST_DIGITS]) -> &[u8] {
    let mut rest = &mut digits[..];
    // There is room for the longest.
    let _ = write!(rest, "{number}");
    let len = MOST_DIGITS - rest.len();
    &digits[..len]
}

/// The number that a value is: as it would be written here, no zeros or signs before it.
fn number(value: Option<&[u8]>) -> Result<i64> {
    let text = value.filter(|text| text.len() <= MOST_DIGITS);
    let number = text.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    number.filter(|number| Some(decimal(*number, &mut [0; MOST_DIGITS])) == text).ok_or_else(|| {
        Error::new(
            Status::NotANumber,
            "the value is not a whole number of 64 bits in decimal digits; it stays as it is",
        )
    })
}

fn overflow(value: &[u8], delta: i64) -> Error {
    let text = String::from_utf8_lossy(value).into_owned();
    Error::new(Status::NumberOverflow, format!("{text} and {delta} do not fit into 64 bits; the value stays as it is"))
}
