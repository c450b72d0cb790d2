//! What keys are called in Redis: the prefix, then the key, so that `redis-cli get catzilla:page` finds `page`.
//!
//! What the tier keeps for itself begins with the prefix and a zero byte, so that rules by prefix (ACLs) hold for it too.
//! A key of the user's that begins with a zero byte gets a second one, so that it can never be one of those.

/// Behind the prefix: the number of the namespace, see `namespace`.
const NAMESPACE: &[u8] = b"\0namespace";

/// Behind the prefix, before a tag.
const TAG: &[u8] = b"\0tag:";

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

    /// A pattern for SCAN that fits all names of keys that begin with `beginning`, and for an empty one our own too.
    pub(super) fn pattern(&self, beginning: &[u8]) -> Vec<u8> {
        let mut pattern = Vec::new();
        for byte in self.key(beginning).concat() {
            if b"*?[]\\".contains(&byte) {
                pattern.push(b'\\');
            }
            pattern.push(byte);
        }
        pattern.push(b'*');
        pattern
    }

    /// What a name in Redis stands for.
    pub(super) fn owner(&self, name: &[u8]) -> Owner {
        match name.strip_prefix(&self.prefix[..]) {
            None => Owner::Somebody,
            Some(NAMESPACE) => Owner::Namespace,
            Some([0, 0, ..]) => Owner::User,
            Some([0, ..]) => Owner::Tier,
            Some(_) => Owner::User,
        }
    }
}

/// Whose a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Not ours.
    Somebody,
    /// A key that was put.
    User,
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

    #[test]
    fn no_key_of_the_users_is_called_like_one_of_the_tiers() {
        let names = Names::new("p:");
        for key in [&b"\0namespace"[..], b"\0tag:a", b"\0\0namespace", b"\0", b"", b"namespace"] {
            let name = names.key(key).concat();
            assert_eq!(names.owner(&name), Owner::User, "{key:?}");
        }
        assert_eq!(names.owner(&names.namespace().concat()), Owner::Namespace);
        assert_eq!(names.owner(&names.tag(b"").concat()), Owner::Tier);
        assert_eq!(names.owner(b"p"), Owner::Somebody);
        assert_eq!(names.key(b"page").concat(), b"p:page");
        assert_eq!(names.key(b"\0x").concat(), b"p:\0\0x");
    }

    #[test]
    fn a_pattern_takes_every_character_as_it_is() {
        assert_eq!(Names::new("a*:").pattern(b"[b]?\\"), b"a\\*:\\[b\\]\\?\\\\*");
        assert_eq!(Names::new("p:").pattern(b"\0x"), b"p:\0\0x*");
        assert_eq!(Names::new("p:").pattern(b""), b"p:*");
    }
}
