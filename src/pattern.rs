//! Which keys a purge is about: those that begin with something, or fit a pattern. The one place that decides it; memory, the tiers
//! below it, and whoever outdates what is being read or loaded all ask here.
//!
//! The time that a key takes does not depend on where it begins to fit and then does not: no part of it is looked at again.
//! What is between two stars is looked for from left to right, by the method called Shift-And (Baeza-Yates and Gonnet, "A new
//! approach to text searching", 1992), in which `?` costs nothing: 64 places of the pattern a step. The first place where a part
//! fits is as good as any, since a star takes whatever is left.

use crate::error::{Error, Result};

/// The longest pattern, in bytes. Arbitrary, and more than an URL has: a key takes a step for each 64 bytes between two stars.
pub const MAX_PATTERN_LEN: usize = 4096;

/// Bits in a word of states.
const BITS: usize = u64::BITS as usize;

/// Keys that look alike: `*` stands for any bytes, also none, `?` for one byte, and `\` before a byte takes that as it is. Every
/// other byte stands for itself; bytes are compared, not characters.
///
/// ```
/// # use catzilla_cache::{Cache, Options, Pattern, Purge, Ttl};
/// let cache = Cache::open(&Options::new())?;
/// cache.put(b"page:1:en", b"<html>", Ttl::Default)?;
/// cache.put(b"page:1:de", b"<html>", Ttl::Default)?;
/// assert_eq!(cache.purge(Purge::Pattern(&Pattern::new(b"page:?:e*")?)), 1);
/// # Ok::<(), catzilla_cache::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Vec<u8>,
    /// What every key begins with, as far as it is known by bytes.
    beginning: Vec<u8>,
    /// What comes behind that, before the first star.
    head: Vec<Option<u8>>,
    /// What comes behind the last star; `None`: there is no star.
    tail: Option<Vec<Option<u8>>>,
    /// What is between two stars each.
    between: Vec<Part>,
    /// All bytes that are no stars, behind the beginning.
    least: usize,
}

/// One element of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    Byte(u8),
    AnyByte,
    AnyBytes,
}

impl Element {
    fn place(self) -> Option<u8> {
        match self {
            Element::Byte(byte) => Some(byte),
            Element::AnyByte | Element::AnyBytes => None,
        }
    }
}

impl Pattern {
    /// Reads a pattern. A `\` at its end stands for itself.
    ///
    /// # Errors
    ///
    /// It is longer than [`MAX_PATTERN_LEN`], or there is no memory.
    pub fn new(text: &[u8]) -> Result<Self> {
        if text.len() > MAX_PATTERN_LEN {
            let message = format!("a pattern has {} bytes; at most {MAX_PATTERN_LEN} are allowed", text.len());
            return Err(Error::invalid_argument(message));
        }
        let elements: Vec<Element> = elements(text).collect();
        let mut parts = elements.split(|element| *element == Element::AnyBytes);
        let head = parts.next().unwrap_or_default();
        let bytes = head.iter().map_while(|element| element.place());
        let beginning: Vec<u8> = bytes.collect();
        let head = places(&head[beginning.len()..]);
        let tail = parts.next_back().map(places);
        let between = parts.filter(|part| !part.is_empty()).map(|part| Part::new(&places(part)));
        let between = between.collect::<Result<Vec<Part>>>()?;
        let between_least: usize = between.iter().map(|part| part.len).sum();
        let least = head.len() + between_least + tail.as_ref().map_or(0, Vec::len);
        Ok(Self { text: text.to_vec(), beginning, head, tail, between, least })
    }

    /// Whether a key fits.
    pub fn fits(&self, key: &[u8]) -> bool {
        let Some(rest) = key.strip_prefix(&self.beginning[..]) else { return false };
        if rest.len() < self.least {
            return false;
        }
        let (head, rest) = rest.split_at(self.head.len());
        if !fit(&self.head, head) {
            return false;
        }
        let Some(tail) = &self.tail else { return rest.is_empty() };
        let (mut between, end) = rest.split_at(rest.len() - tail.len());
        if !fit(tail, end) {
            return false;
        }
        for part in &self.between {
            match part.end_in(between) {
                Some(end) => between = &between[end..],
                None => return false,
            }
        }
        true
    }

    #[cfg(any(test, feature = "redis"))]
    fn elements(&self) -> impl Iterator<Item = Element> + '_ {
        elements(&self.text)
    }
}

impl std::fmt::Debug for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pattern(\"{}\")", self.text.escape_ascii())
    }
}

fn elements(text: &[u8]) -> impl Iterator<Item = Element> + '_ {
    let mut bytes = text.iter().copied();
    std::iter::from_fn(move || {
        Some(match bytes.next()? {
            b'*' => Element::AnyBytes,
            b'?' => Element::AnyByte,
            b'\\' => Element::Byte(bytes.next().unwrap_or(b'\\')),
            byte => Element::Byte(byte),
        })
    })
}

fn places(elements: &[Element]) -> Vec<Option<u8>> {
    elements.iter().map(|element| element.place()).collect()
}

fn fit(places: &[Option<u8>], bytes: &[u8]) -> bool {
    places.iter().zip(bytes).all(|(place, byte)| place.is_none_or(|wanted| wanted == *byte))
}

/// What is between two stars: at least one place.
#[derive(Clone, PartialEq, Eq)]
struct Part {
    len: usize,
    /// For each of the 256 bytes so many words in which a bit is set for every place where the byte fits.
    places: Vec<u64>,
    words: usize,
}

impl Part {
    fn new(wanted: &[Option<u8>]) -> Result<Self> {
        let words = wanted.len().div_ceil(BITS);
        let mut places = Vec::new();
        places.try_reserve_exact(256 * words).map_err(|_| Error::out_of_memory())?;
        places.resize(256 * words, 0);
        for (at, wanted) in wanted.iter().enumerate() {
            let bytes = wanted.map_or(0..=u8::MAX, |byte| byte..=byte);
            for byte in bytes {
                places[usize::from(byte) * words + at / BITS] |= 1_u64 << (at % BITS);
            }
        }
        Ok(Self { len: wanted.len(), places, words })
    }

    /// Where the part ends that is the first in `bytes`.
    fn end_in(&self, bytes: &[u8]) -> Option<usize> {
        // A bit is set for each place up to which the bytes before fit.
        let mut room = [0_u64; MAX_PATTERN_LEN / BITS];
        let states = &mut room[..self.words];
        let (last, last_bit) = (self.words - 1, 1_u64 << ((self.len - 1) % BITS));
        for (at, byte) in bytes.iter().enumerate() {
            let places = &self.places[usize::from(*byte) * self.words..][..self.words];
            // The part may begin at every byte.
            let mut carried = 1;
            for (state, places) in states.iter_mut().zip(places) {
                let overflowing = *state >> (BITS - 1);
                *state = (*state << 1 | carried) & places;
                carried = overflowing;
            }
            if states[last] & last_bit != 0 {
                return Some(at + 1);
            }
        }
        None
    }
}

/// Keys, by what they are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KeySet<'a> {
    /// All that begin so.
    Beginning(&'a [u8]),
    /// All that fit.
    Fitting(&'a Pattern),
}

impl KeySet<'_> {
    pub(crate) fn has(&self, key: &[u8]) -> bool {
        match self {
            KeySet::Beginning(prefix) => key.starts_with(prefix),
            KeySet::Fitting(pattern) => pattern.fits(key),
        }
    }

    /// The same as elements of a pattern, for a server that knows patterns of its own.
    #[cfg(any(test, feature = "redis"))]
    pub(crate) fn elements(&self) -> impl Iterator<Item = Element> + '_ {
        let (prefix, pattern) = match self {
            KeySet::Beginning(prefix) => (Some(*prefix), None),
            KeySet::Fitting(pattern) => (None, Some(pattern.elements())),
        };
        let bytes = prefix.unwrap_or_default().iter().map(|byte| Element::Byte(*byte));
        let open_end = prefix.map(|_| Element::AnyBytes);
        bytes.chain(open_end).chain(pattern.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &[u8], key: &[u8]) -> bool {
        let pattern = Pattern::new(pattern).unwrap();
        assert_eq!(KeySet::Fitting(&pattern).has(key), pattern.fits(key));
        pattern.fits(key)
    }

    /// By what the signs mean, one after the other: up to which bytes of the key what was read of the pattern fits.
    fn fits_by_definition(pattern: &[Element], key: &[u8]) -> bool {
        let mut fits_up_to = vec![false; key.len() + 1];
        fits_up_to[0] = true;
        for element in pattern {
            let before = fits_up_to.clone();
            for at in 0..=key.len() {
                let one_less = at > 0 && before[at - 1];
                fits_up_to[at] = match element {
                    Element::AnyBytes => before[..=at].contains(&true),
                    Element::AnyByte => one_less,
                    Element::Byte(byte) => one_less && key[at - 1] == *byte,
                };
            }
        }
        fits_up_to[key.len()]
    }

    #[test]
    fn a_star_is_any_bytes_a_question_mark_one_and_all_else_stands_for_itself() {
        type Keys = [&'static [u8]];
        let all: [(&[u8], &Keys, &Keys); 14] = [
            (b"", &[b""], &[b"a"]),
            (b"*", &[b"", b"a", b"\0\xff\n"], &[]),
            (b"**", &[b"", b"a", b"ab"], &[]),
            (b"?", &[b"a", b"?", b"\0", b"\xff"], &[b"", b"ab"]),
            (b"?*", &[b"a", b"ab"], &[b""]),
            (b"page", &[b"page"], &[b"", b"pag", b"pages", b"Page"]),
            (b"page:*", &[b"page:", b"page:1"], &[b"page", b"apage:1"]),
            (b"*:en", &[b":en", b"page:en", b":en:en"], &[b"en", b"page:en2"]),
            (b"page:*:en", &[b"page::en", b"page:1:en", b"page:1:2:en"], &[b"page:en", b"page:1:end"]),
            (b"*b?d*", &[b"bcd", b"abbd", b"babcde", b"bbbd"], &[b"bd", b"abcabc", b"dcb"]),
            (b"a*a", &[b"aa", b"aba", b"aaa"], &[b"a", b"ab"]),
            (b"*ab*ab*", &[b"abab", b"xabxabx"], &[b"ab", b"aba", b"aab"]),
            (b"[a-c]{x}", &[b"[a-c]{x}"], &[b"b", b"bx"]),
            (b"*\xc3\xa4?", &[b"x\xc3\xa4y"], &[b"\xc3\xa4\xc3\xb6"]),
        ];
        for (pattern, fitting, others) in all {
            for key in fitting {
                assert!(fits(pattern, key), "{} {}", pattern.escape_ascii(), key.escape_ascii());
            }
            for key in others {
                assert!(!fits(pattern, key), "{} {}", pattern.escape_ascii(), key.escape_ascii());
            }
        }
    }

    #[test]
    fn a_backslash_takes_what_follows_as_it_is_and_itself_where_nothing_does() {
        assert!(fits(br"\*", b"*") && !fits(br"\*", b"a") && !fits(br"\*", br"\*"));
        assert!(fits(br"*\?*", b"a?b") && !fits(br"*\?*", b"ab"));
        assert!(fits(br"\\*", br"\x") && !fits(br"\\*", b"x"));
        assert!(fits(br"\a\[", b"a["));
        assert!(fits(b"a\\", b"a\\") && !fits(b"a\\", b"a"));
        assert!(fits(br"*\\\*", br"x\*") && !fits(br"*\\\*", b"x*"));
    }

    #[test]
    fn every_short_pattern_fits_what_it_fits_by_definition() {
        let mut keys: Vec<Vec<u8>> = vec![Vec::new()];
        let mut patterns = keys.clone();
        let longer = |all: &[Vec<u8>], signs: &[u8]| -> Vec<Vec<u8>> {
            let one_more = |text: &Vec<u8>| signs.iter().map(|sign| [&text[..], &[*sign]].concat()).collect::<Vec<_>>();
            all.iter().flat_map(one_more).collect()
        };
        let (mut last_keys, mut last_patterns) = (keys.clone(), patterns.clone());
        for _ in 0..if cfg!(miri) { 2 } else { 5 } {
            last_keys = longer(&last_keys, b"ab");
            keys.extend_from_slice(&last_keys);
            last_patterns = longer(&last_patterns, b"ab?*\\");
            patterns.extend_from_slice(&last_patterns);
        }
        for text in &patterns {
            let pattern = Pattern::new(text).unwrap();
            let elements: Vec<Element> = pattern.elements().collect();
            for key in &keys {
                let expected = fits_by_definition(&elements, key);
                assert_eq!(pattern.fits(key), expected, "{pattern:?} {}", key.escape_ascii());
            }
        }
    }

    /// Parts of more than one word, and keys made to fit nearly or fully.
    #[test]
    fn random_patterns_of_any_length_fit_what_they_fit_by_definition() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |bound: usize| {
            // Marsaglia's xorshift64.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % bound as u64) as usize
        };
        let mut fitted = 0;
        let rounds = if cfg!(miri) { 20 } else { 1_000 };
        for round in 0..rounds {
            let (mut text, mut key) = (Vec::new(), Vec::new());
            for _ in 0..random(4) {
                if round % 2 == 0 || !text.is_empty() {
                    text.push(b'*');
                    (0..random(90)).for_each(|_| key.push(b"ab"[random(2)]));
                }
                for _ in 0..random(200) {
                    let byte = b"ab"[random(2)];
                    text.push(if random(8) == 0 { b'?' } else { byte });
                    key.push(byte);
                }
            }
            if random(2) == 0 {
                text.push(b'*');
            }
            if random(3) == 0 && !key.is_empty() {
                let at = random(key.len());
                match random(3) {
                    0 => key[at] ^= 3,
                    1 => drop(key.remove(at)),
                    _ => key.insert(at, b'a'),
                }
            }
            let pattern = Pattern::new(&text).unwrap();
            let elements: Vec<Element> = pattern.elements().collect();
            let expected = fits_by_definition(&elements, &key);
            assert_eq!(pattern.fits(&key), expected, "{pattern:?} {}", key.escape_ascii());
            fitted += usize::from(expected);
        }
        assert!(fitted > rounds / 10 && fitted < rounds, "{fitted} of {rounds}");
    }

    /// Would not end in a lifetime with a matcher that tries every way to share the key among the stars.
    #[test]
    fn a_pattern_made_to_be_slow_is_not() {
        let key = vec![b'a'; if cfg!(miri) { 500 } else { 100_000 }];
        let stars = b"a*".repeat(2_000);
        assert!(!fits(&[&stars[..], b"b"].concat(), &key));
        assert!(!fits(&[&stars[..], b"b*"].concat(), &key));
        assert!(fits(&[&b"*a".repeat(200)[..], b"*"].concat(), &key));
        let long = [&b"*"[..], &b"a?".repeat(2_000), b"b*"].concat();
        assert!(!fits(&long, &key) && fits(&long, &[&vec![b'a'; 4_200][..], b"b"].concat()));
    }

    #[test]
    fn a_pattern_of_the_greatest_length_works_and_one_byte_more_is_refused() {
        let text = vec![b'k'; MAX_PATTERN_LEN + 1];
        assert!(fits(&text[1..], &text[1..]) && !fits(&text[1..], &text[2..]));
        let between = [&b"*"[..], &text[3..], b"*"].concat();
        assert!(between.len() == MAX_PATTERN_LEN && fits(&between, &text) && !fits(&between, &text[4..]));
        assert!(Pattern::new(&text).unwrap_err().message().contains("at most 4096"));
    }

    #[test]
    fn a_set_of_keys_says_what_it_is_as_elements_of_a_pattern() {
        use Element::{AnyByte, AnyBytes, Byte};
        let pattern = Pattern::new(br"a*\*?").unwrap();
        assert!(KeySet::Fitting(&pattern).elements().eq([Byte(b'a'), AnyBytes, Byte(b'*'), AnyByte]));
        let set = KeySet::Beginning(b"a*");
        assert!(set.elements().eq([Byte(b'a'), Byte(b'*'), AnyBytes]));
        assert!(set.has(b"a*b") && !set.has(b"ab"));
    }
}
