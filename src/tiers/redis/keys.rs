//! What keys are called in Redis: the prefix, then the key, so that `redis-cli get catzilla:page` finds `page`.
//!
//! What the tier keeps for itself begins with the prefix and a zero byte, so that rules by prefix (ACLs) hold for it too.
//! A key of the user's that begins with a zero byte gets a second one, so that it can never be one of those.

use crate::pattern::{Element, KeySet};

/// Behind the prefix: the number of the namespace, see `namespace`.
const NAMESPACE: &[u8] = b"\0namespace";

/// Behind the prefix, before a tag.
const TAG: &[u8] = b"\0tag:";

/// Stars in a pattern for SCAN. Servers of before 2023 try all ways to share a name among them and serve nobody meanwhile
/// (CVE-2022-36021), later ones find nothing that is behind a thousand (CVE-2024-31228). Behind so few there is little left to filter.
const MOST_STARS: usize = 3;

pub(super) struct Names {
    prefix: Vec<u8>,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into() }
    }

    /// The parts of a key's name.
    pub(super) fn key<'a>(&'a self, key: &'a [u8]) -> [&'a [u8]; 3] {
        [&self.prefix, escape(key), key]
    }

    pub(super) fn namespace(&self) -> [&[u8]; 2] {
        [&self.prefix, NAMESPACE]
    }

    pub(super) fn tag<'a>(&'a self, tag: &'a [u8]) -> [&'a [u8]; 3] {
        [&self.prefix, TAG, tag]
    }

    /// A pattern for SCAN that fits the names of all these keys, and perhaps of others: for those of all keys our own names too.
    pub(super) fn pattern(&self, keys: KeySet<'_>) -> Vec<u8> {
        let mut pattern = Vec::new();
        let literal = |pattern: &mut Vec<u8>, byte| {
            if b"*?[]\\".contains(&byte) {
                pattern.push(b'\\');
            }
            pattern.push(byte);
        };
        self.prefix.iter().for_each(|byte| literal(&mut pattern, *byte));
        let mut stars = 0;
        for (at, element) in keys.elements().enumerate() {
            match element {
                Element::Byte(byte) => {
                    if at == 0 {
                        pattern.extend_from_slice(escape(&[byte]));
                    }
                    literal(&mut pattern, byte);
                }
                Element::AnyByte if at > 0 => pattern.push(b'?'),
                // A first byte that is zero is two in the name.
                Element::AnyByte | Element::AnyBytes => {
                    pattern.push(b'*');
                    stars += 1;
                    if stars == MOST_STARS {
                        break;
                    }
                }
            }
        }
        pattern
    }

    /// What a name in Redis stands for.
    pub(super) fn owner<'a>(&self, name: &'a [u8]) -> Owner<'a> {
        match name.strip_prefix(&self.prefix[..]) {
            None => Owner::Somebody,
            Some(NAMESPACE) => Owner::Namespace,
            Some([0, key @ ..]) if key.first() == Some(&0) => Owner::User(key),
            Some([0, ..]) => Owner::Tier,
            Some(key) => Owner::User(key),
        }
    }
}

/// Whose a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner<'a> {
    /// Not ours.
    Somebody,
    /// This key, that was put.
    User(&'a [u8]),
    /// The one name that is never removed.
    Namespace,
    /// Another one that the tier keeps for itself.
    Tier,
}

fn escape(key: &[u8]) -> &'static [u8] {
    if key.first() == Some(&0) {
        b"\0"
    } else {
        b""
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::Pattern;

    #[test]
    fn no_key_of_the_users_is_called_like_one_of_the_tiers() {
        let names = Names::new("p:");
        for key in [&b"\0namespace"[..], b"\0tag:a", b"\0\0namespace", b"\0", b"", b"namespace"] {
            let name = names.key(key).concat();
            assert_eq!(names.owner(&name), Owner::User(key), "{key:?}");
        }
        assert_eq!(names.owner(&names.namespace().concat()), Owner::Namespace);
        assert_eq!(names.owner(&names.tag(b"").concat()), Owner::Tier);
        assert_eq!(names.owner(b"p"), Owner::Somebody);
        assert_eq!(names.key(b"page").concat(), b"p:page");
        assert_eq!(names.key(b"\0x").concat(), b"p:\0\0x");
    }

    #[test]
    fn a_pattern_takes_every_character_as_it_is() {
        let pattern = |prefix, key| Names::new(prefix).pattern(KeySet::Beginning(key));
        assert_eq!(pattern("a*:", b"[b]?\\"), b"a\\*:\\[b\\]\\?\\\\*");
        assert_eq!(pattern("p:", b"\0x"), b"p:\0\0x*");
        assert_eq!(pattern("p:", b""), b"p:*");
    }

    #[test]
    fn a_pattern_of_ours_becomes_one_of_redis_that_fits_no_fewer_names() {
        let pattern = |text| Names::new("p[x]").pattern(KeySet::Fitting(&Pattern::new(text).unwrap()));
        assert_eq!(pattern(b"a?[b-c]*d"), b"p\\[x\\]a?\\[b-c\\]*d");
        assert_eq!(pattern(br"\*\?\\x"), br"p\[x\]\*\?\\x");
        assert_eq!(pattern(b"a"), br"p\[x\]a");
        assert_eq!(pattern(b""), br"p\[x\]");
        // The name of a key that begins with a zero byte has one more.
        assert_eq!(pattern(b"?a"), br"p\[x\]*a");
        assert_eq!(pattern(b"\0a"), b"p\\[x\\]\0\0a");
        // What a server would be slow at is left to us.
        assert_eq!(pattern(b"a*b*c*d*e*f"), br"p\[x\]a*b*c*");
    }
}
