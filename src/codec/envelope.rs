//! The form in which a value leaves the process: what Redis and the disk keep. Whoever reads one believes nothing in it before
//! the checksum over all of it, the key included, was found right.
//!
//! Numbers are little-endian:
//!
//! ```text
//!   0     2    3     4      6       8         16        24        32          40      44     48
//!   +-----+----+-----+------+-------+---------+---------+---------+-----------+-------+------+------+-----------+------
//!   | CZ  | 1  |flags| tags | later | check-  | created | expires | namespace | value | later| tags | for later | value
//!   |     |    |     | len  | len   | sum     |         |         |           | len   |      |      | versions  |
//!   +-----+----+-----+------+-------+---------+---------+---------+-----------+-------+------+------+-----------+------
//! ```
//!
//! `created` and `expires` are microseconds since the Unix epoch, the latter all ones for never. A tag is its length in a byte and its
//! bytes. The value is an LZ4 block if a flag says so, and `value len` its length before that. What a later version adds without
//! changing what is here goes into the part for later versions, which this one skips; anything else is another version
//! number, and is not read.

use super::lz4;
use xxhash_rust::xxh3::xxh3_64_with_seed;

const MAGIC: [u8; 2] = *b"CZ";
const VERSION: u8 = 1;
const HEADER: usize = 48;
/// Where what the checksum covers begins; what is before it goes into its seed.
const COVERED: usize = 16;

const LZ4: u8 = 1;
const DEFAULT_TTL: u8 = 2;
const KNOWN_FLAGS: u8 = LZ4 | DEFAULT_TTL;

/// `expires` of what never does.
const NEVER: u64 = u64::MAX;

/// An LZ4 block is at least this part of what it stands for: one that claims to be more is not unpacked.
const MOST_LZ4: u64 = 255;

/// The value of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body<'a> {
    Plain(&'a [u8]),
    /// An LZ4 block, and how long the value is.
    Lz4 {
        block: &'a [u8],
        len: u32,
    },
}

impl Body<'_> {
    /// How long the value is.
    pub(crate) fn len(&self) -> usize {
        match self {
            Body::Plain(value) => value.len(),
            Body::Lz4 { len, .. } => *len as usize,
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Body::Plain(value) => value,
            Body::Lz4 { block, .. } => block,
        }
    }

    /// Writes the value into a place of its length; false when the block is not one of that length.
    pub(crate) fn unpack(&self, value: &mut [u8]) -> bool {
        match self {
            Body::Plain(plain) if plain.len() == value.len() => {
                value.copy_from_slice(plain);
                true
            }
            Body::Plain(_) => false,
            Body::Lz4 { block, .. } => lz4::decompress(block, value),
        }
    }
}

/// What is in an envelope beside the key that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Envelope<'a> {
    /// Microseconds since the Unix epoch.
    pub(crate) created: u64,
    /// The same; `None`: never.
    pub(crate) expires: Option<u64>,
    /// Whether the lifetime is the tier's default, and not one that the caller has given.
    pub(crate) has_default_ttl: bool,
    /// Under which number of its tier it was written.
    pub(crate) namespace: u64,
    pub(crate) tags: Tags<'a>,
    pub(crate) body: Body<'a>,
}

/// The tags of an envelope, in their written form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tags<'a>(&'a [u8]);

impl<'a> Tags<'a> {
    /// The written form of these tags, each of at most 255 bytes; `None` when there is no memory.
    pub(crate) fn write(tags: &[&[u8]]) -> Option<Vec<u8>> {
        let mut written = Vec::new();
        written.try_reserve_exact(tags.iter().map(|tag| tag.len() + 1).sum()).ok()?;
        for tag in tags {
            written.push(u8::try_from(tag.len()).ok()?);
            written.extend_from_slice(tag);
        }
        Some(written)
    }

    /// Tags in their written form.
    pub(crate) fn written(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (&len, after) = rest.split_first()?;
            let (tag, after) = after.split_at_checked(usize::from(len))?;
            rest = after;
            Some(tag)
        })
    }

    /// Whether the lengths add up.
    fn are_whole(self) -> bool {
        self.iter().map(|tag| tag.len() + 1).sum::<usize>() == self.0.len()
    }
}

/// Why bytes are no envelope of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It does not begin as one does.
    Foreign,
    /// Of a version that this one does not know, or with a flag that it does not.
    Version,
    /// Cut short, changed on the way, or of another key.
    Damaged,
}

impl<'a> Envelope<'a> {
    /// The bytes of an envelope; `None` when there is no memory for them, or a part is longer than can be written.
    pub(crate) fn encode(&self, key: &[u8]) -> Option<Vec<u8>> {
        let body = self.body.bytes();
        let tags_len = u16::try_from(self.tags.0.len()).ok()?;
        let value_len = u32::try_from(self.body.len()).ok()?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(HEADER + self.tags.0.len() + body.len()).ok()?;
        let mut flags = 0;
        if let Body::Lz4 { .. } = self.body {
            flags |= LZ4;
        }
        if self.has_default_ttl {
            flags |= DEFAULT_TTL;
        }
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[VERSION, flags]);
        bytes.extend_from_slice(&tags_len.to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&self.created.to_le_bytes());
        bytes.extend_from_slice(&self.expires.unwrap_or(NEVER).to_le_bytes());
        bytes.extend_from_slice(&self.namespace.to_le_bytes());
        bytes.extend_from_slice(&value_len.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(self.tags.0);
        bytes.extend_from_slice(body);
        let sum = checksum(key, &bytes);
        bytes[8..COVERED].copy_from_slice(&sum.to_le_bytes());
        Some(bytes)
    }

    /// What is in these bytes, if they are an envelope of this key.
    pub(crate) fn decode(key: &[u8], bytes: &'a [u8]) -> Result<Self, Unreadable> {
        if bytes.get(..2) != Some(&MAGIC[..]) {
            return Err(Unreadable::Foreign);
        }
        if bytes.get(2) != Some(&VERSION) {
            return Err(if bytes.len() < HEADER { Unreadable::Damaged } else { Unreadable::Version });
        }
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else { return Err(Unreadable::Damaged) };
        if word(header, 8) != checksum(key, bytes) {
            return Err(Unreadable::Damaged);
        }
        Self::parts(header, rest)
    }

    /// What is in bytes that [`Envelope::decode`] has found right before.
    pub(crate) fn known(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
        Self::parts(header, rest).ok()
    }

    fn parts(header: &[u8; HEADER], rest: &'a [u8]) -> Result<Self, Unreadable> {
        let flags = header[3];
        if flags & !KNOWN_FLAGS != 0 {
            return Err(Unreadable::Version);
        }
        let tags_len = usize::from(u16::from_le_bytes([header[4], header[5]]));
        let later_len = usize::from(u16::from_le_bytes([header[6], header[7]]));
        let (tags, rest) = rest.split_at_checked(tags_len).ok_or(Unreadable::Damaged)?;
        let (_, body) = rest.split_at_checked(later_len).ok_or(Unreadable::Damaged)?;
        let len = u32::from_le_bytes([header[40], header[41], header[42], header[43]]);
        let body = match flags & LZ4 {
            0 if body.len() as u64 == u64::from(len) => Body::Plain(body),
            0 => return Err(Unreadable::Damaged),
            _ if u64::from(len) > body.len() as u64 * MOST_LZ4 => return Err(Unreadable::Damaged),
            _ => Body::Lz4 { block: body, len },
        };
        let tags = Tags(tags);
        if !tags.are_whole() {
            return Err(Unreadable::Damaged);
        }
        let expires = word(header, 24);
        Ok(Self {
            created: word(header, 16),
            expires: (expires != NEVER).then_some(expires),
            has_default_ttl: flags & DEFAULT_TTL != 0,
            namespace: word(header, 32),
            tags,
            body,
        })
    }

    /// How many microseconds are left at a time; `None`: no end. Never more than the whole lifetime, so a wall clock that has been put
    /// back makes nothing live for ever; 0 when it is over.
    pub(crate) fn remaining(&self, now: u64) -> Option<u64> {
        let expires = self.expires?;
        Some(expires.saturating_sub(now).min(expires.saturating_sub(self.created)))
    }
}

/// Over the key and everything but the checksum itself.
fn checksum(key: &[u8], bytes: &[u8]) -> u64 {
    let head = u64::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]]);
    // The length goes in as well: "ab" + "c" is not "a" + "bc".
    let seed = xxh3_64_with_seed(key, head ^ (key.len() as u64).rotate_left(32));
    xxh3_64_with_seed(&bytes[COVERED..], seed)
}

/// Makes the checksum right, of bytes that are to look like an envelope; false when they are too few. For whoever tries what is behind
/// it.
#[cfg(any(test, fuzzing))]
pub(crate) fn resum(key: &[u8], bytes: &mut [u8]) -> bool {
    if bytes.len() < HEADER {
        return false;
    }
    bytes[..3].copy_from_slice(&[MAGIC[0], MAGIC[1], VERSION]);
    let sum = checksum(key, bytes);
    bytes[8..COVERED].copy_from_slice(&sum.to_le_bytes());
    true
}

fn word(header: &[u8; HEADER], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&header[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest, Strategy};

    fn parts() -> impl Strategy<Value = (u64, Option<u64>, bool, u64, Vec<Vec<u8>>)> {
        let expires = proptest::option::of(0..u64::MAX);
        let tags = vec(vec(any::<u8>(), 0..=255), 0..17);
        (any::<u64>(), expires, any::<bool>(), any::<u64>(), tags)
    }

    fn written(tags: &[Vec<u8>]) -> Vec<u8> {
        let tags: Vec<&[u8]> = tags.iter().map(Vec::as_slice).collect();
        Tags::write(&tags).unwrap()
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out((created, expires, has_default_ttl, namespace, tags) in parts(),
                                  key in vec(any::<u8>(), 0..300), value in vec(any::<u8>(), 0..3_000)) {
            let tag_bytes = written(&tags);
            let body = Body::Plain(&value);
            let envelope =
                Envelope { created, expires, has_default_ttl, namespace, tags: Tags::written(&tag_bytes), body };
            let bytes = envelope.encode(&key).unwrap();
            let back = Envelope::decode(&key, &bytes).unwrap();
            prop_assert_eq!(back, envelope);
            prop_assert_eq!(back.tags.iter().map(<[u8]>::to_vec).collect::<Vec<_>>(), tags);
        }

        #[test]
        fn one_bit_less_or_more_is_noticed(key in vec(any::<u8>(), 0..20), value in vec(any::<u8>(), 0..200),
                                           at in any::<usize>(), bit in 0..8_u32) {
            let envelope = Envelope { created: 5, expires: Some(9), has_default_ttl: false, namespace: 3,
                                      tags: Tags::written(b"\x02ab"), body: Body::Plain(&value) };
            let mut bytes = envelope.encode(&key).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert!(Envelope::decode(&key, &bytes).is_err(), "byte {} bit {}", at, bit);
        }

        #[test]
        fn no_bytes_make_it_panic_or_unpack_more_than_they_can_hold(mut bytes in vec(any::<u8>(), 0..400), like in any::<bool>(),
                                                                   key in vec(any::<u8>(), 0..9)) {
            // Half of them are made to look right, up to the checksum, so that what is behind it is tried as well.
            if like && bytes.len() >= HEADER {
                bytes[3] &= KNOWN_FLAGS;
                resum(&key, &mut bytes);
            }
            if let Ok(envelope) = Envelope::decode(&key, &bytes) {
                let len = envelope.body.len();
                prop_assert!(len <= bytes.len() * MOST_LZ4 as usize);
                envelope.body.unpack(&mut vec![0; len]);
                envelope.tags.iter().count();
            }
        }

        #[test]
        fn an_envelope_of_another_key_is_not_read(key in vec(any::<u8>(), 0..40), other in vec(any::<u8>(), 0..40)) {
            let envelope = Envelope { created: 1, expires: None, has_default_ttl: true, namespace: 0,
                                      tags: Tags::default(), body: Body::Plain(b"value") };
            let bytes = envelope.encode(&key).unwrap();
            prop_assert_eq!(Envelope::decode(&other, &bytes).is_ok(), other == key);
        }

        #[test]
        fn every_cut_is_noticed(len in 0..200_usize, cut in any::<usize>()) {
            let value = vec![7; len];
            let envelope = Envelope { created: 1, expires: None, has_default_ttl: true, namespace: 0,
                                      tags: Tags::default(), body: Body::Plain(&value) };
            let bytes = envelope.encode(b"key").unwrap();
            prop_assert!(Envelope::decode(b"key", &bytes[..cut % bytes.len()]).is_err());
        }
    }

    #[cfg(feature = "lz4")]
    #[test]
    fn a_compressed_value_is_unpacked_once_and_a_claim_beyond_reason_is_refused() {
        let value = b"the same words again and ".repeat(50);
        let block = lz4::compress(&value).unwrap();
        let mut envelope = Envelope {
            created: 0,
            expires: None,
            has_default_ttl: false,
            namespace: 0,
            tags: Tags::default(),
            body: Body::Lz4 { block: &block, len: value.len() as u32 },
        };
        let bytes = envelope.encode(b"k").unwrap();
        let mut back = vec![0; value.len()];
        assert!(Envelope::decode(b"k", &bytes).unwrap().body.unpack(&mut back));
        assert_eq!(back, value);
        envelope.body = Body::Lz4 { block: &block, len: u32::MAX };
        let bytes = envelope.encode(b"k").unwrap();
        assert_eq!(Envelope::decode(b"k", &bytes), Err(Unreadable::Damaged));
    }

    /// What version 1 looks like is for ever: caches of other versions have it on their disks.
    #[test]
    fn these_bytes_stay_as_they_are() {
        let envelope = Envelope {
            created: 1_700_000_000_000_000,
            expires: Some(1_700_000_060_000_000),
            has_default_ttl: true,
            namespace: 7,
            tags: Tags::written(b"\x04news"),
            body: Body::Plain(b"hello"),
        };
        let bytes = envelope.encode(b"greeting").unwrap();
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, PINNED);
    }

    const PINNED: &str = "435a010205000000606892156108a4e900401e18240a060000c7b11b240a0600\
        07000000000000000500000000000000046e65777368656c6c6f";

    #[test]
    fn a_later_versions_additions_are_skipped_and_its_flags_and_number_are_not_read() {
        let envelope = Envelope {
            created: 1,
            expires: None,
            has_default_ttl: false,
            namespace: 0,
            tags: Tags::written(b"\x01t"),
            body: Body::Plain(b"value"),
        };
        let plain = envelope.encode(b"k").unwrap();
        let resummed = |mut bytes: Vec<u8>| {
            let sum = checksum(b"k", &bytes);
            bytes[8..16].copy_from_slice(&sum.to_le_bytes());
            bytes
        };
        let mut longer = plain.clone();
        longer[6] = 3;
        longer.splice(HEADER + 2..HEADER + 2, *b"new");
        assert_eq!(Envelope::decode(b"k", &resummed(longer)), Ok(envelope));
        let mut flagged = plain.clone();
        flagged[3] |= 64;
        assert_eq!(Envelope::decode(b"k", &resummed(flagged)), Err(Unreadable::Version));
        let mut newer = plain.clone();
        newer[2] = 2;
        assert_eq!(Envelope::decode(b"k", &resummed(newer)), Err(Unreadable::Version));
        assert_eq!(Envelope::decode(b"k", b"hello"), Err(Unreadable::Foreign));
        assert_eq!(Envelope::decode(b"k", b""), Err(Unreadable::Foreign));
    }

    #[test]
    fn a_clock_that_was_put_back_makes_nothing_live_longer_than_it_was_to() {
        let envelope = Envelope {
            created: 1_000,
            expires: Some(1_500),
            has_default_ttl: false,
            namespace: 0,
            tags: Tags::default(),
            body: Body::Plain(b""),
        };
        assert_eq!(envelope.remaining(1_200), Some(300));
        assert_eq!(envelope.remaining(10), Some(500));
        assert_eq!(envelope.remaining(1_500), Some(0));
        assert_eq!(envelope.remaining(u64::MAX), Some(0));
        assert_eq!(Envelope { expires: None, ..envelope }.remaining(7), None);
    }
}
