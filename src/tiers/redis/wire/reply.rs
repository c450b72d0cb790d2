//! Replies, read from whatever they arrive by, in pieces of any size.

use super::LONGEST_VALUE;
use std::io::{self, Read};

/// As many as there can be keys in a reply to one command of ours, with room; what says more is none of ours.
const MOST_ELEMENTS: usize = 1 << 24;

/// Of arrays in arrays; CLUSTER SLOTS has three, and its metadata a fourth.
const DEEPEST: u32 = 8;

/// A reply of 100 values of 1 KiB is read with two calls of the kernel. Arbitrary beyond that: one buffer a connection.
const BUFFER_BYTES: usize = 64 << 10;

/// Memory for a long value is taken in steps as it arrives, not all because its length was announced.
const FIRST_STEP: usize = 1 << 20;

/// What a server answers to one command.
#[derive(Debug, PartialEq)]
#[cfg_attr(test, derive(Clone))]
pub(in super::super) enum Reply {
    Nil,
    Status(String),
    /// The line behind the minus sign: a word in capitals, and an explanation.
    Error(String),
    Number(i64),
    Bytes(Vec<u8>),
    List(Vec<Reply>),
}

/// What came instead of a reply.
#[derive(Debug)]
pub(in super::super) enum Unread {
    /// Reading failed, or the other side has closed: then it is [`io::ErrorKind::UnexpectedEof`].
    Io(io::Error),
    /// This is not the protocol of Redis.
    Garbled(&'static str),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Unread::Io(error)
    }
}

/// What has been received and not yet been read.
pub(in super::super) struct Inbox {
    buffer: Box<[u8]>,
    begun: usize,
    filled: usize,
}

impl Inbox {
    pub(in super::super) fn new() -> Self {
        Self { buffer: vec![0; BUFFER_BYTES].into_boxed_slice(), begun: 0, filled: 0 }
    }

    /// Whether nothing is left over: otherwise more was sent than was asked for.
    pub(in super::super) fn is_empty(&self) -> bool {
        self.begun == self.filled
    }

    /// The next reply.
    pub(in super::super) fn reply(&mut self, source: &mut impl Read) -> Result<Reply, Unread> {
        self.value(source, 0)
    }

    /// The next reply, which is a list of so many values or an error. Hands each value to `tell` as soon as it has arrived, by its place
    /// and where it lies; an error is returned.
    pub(in super::super) fn values(
        &mut self,
        source: &mut impl Read,
        count: usize,
        mut tell: impl FnMut(usize, Option<&[u8]>),
    ) -> Result<Option<String>, Unread> {
        let line = self.line(source)?;
        match self.buffer[line].split_first() {
            Some((b'*', text)) if length(text, MOST_ELEMENTS)? == Some(count) => {}
            Some((b'-', text)) => return Ok(Some(String::from_utf8_lossy(text).into_owned())),
            _ => return Err(Unread::Garbled("something else than the values that were asked for")),
        }
        for number in 0..count {
            let length = match self.short_length() {
                Some(length) => Some(length),
                None => {
                    let line = self.line(source)?;
                    match self.buffer[line].split_first() {
                        Some((b'$', text)) => length(text, LONGEST_VALUE)?,
                        _ => return Err(Unread::Garbled("something else than a value")),
                    }
                }
            };
            let Some(length) = length else {
                tell(number, None);
                continue;
            };
            if length + 2 > self.buffer.len() {
                tell(number, Some(&self.bytes(source, length)?));
                continue;
            }
            while self.filled - self.begun < length + 2 {
                self.fill(source)?;
            }
            let (value, after) = self.buffer[self.begun..self.filled].split_at(length);
            if !after.starts_with(b"\r\n") {
                return Err(Unread::Garbled("a value longer than announced"));
            }
            tell(number, Some(value));
            self.begun += length + 2;
        }
        Ok(None)
    }

    fn value(&mut self, source: &mut impl Read, depth: u32) -> Result<Reply, Unread> {
        if let Some(length) = self.short_length() {
            return self.bytes(source, length).map(Reply::Bytes);
        }
        let line = self.line(source)?;
        let Some((&kind, text)) = self.buffer[line].split_first() else {
            return Err(Unread::Garbled("an empty line"));
        };
        match kind {
            b'+' => Ok(Reply::Status(String::from_utf8_lossy(text).into_owned())),
            b'-' => Ok(Reply::Error(String::from_utf8_lossy(text).into_owned())),
            b':' => Ok(Reply::Number(number(text)?)),
            b'$' => match length(text, LONGEST_VALUE)? {
                None => Ok(Reply::Nil),
                Some(length) => self.bytes(source, length).map(Reply::Bytes),
            },
            b'*' => match length(text, MOST_ELEMENTS)? {
                None => Ok(Reply::Nil),
                Some(_) if depth == DEEPEST => Err(Unread::Garbled("lists nested too deeply")),
                Some(length) => {
                    // As above: not as much memory as is announced.
                    let mut list = Vec::with_capacity(length.min(1024));
                    for _ in 0..length {
                        list.push(self.value(source, depth + 1)?);
                    }
                    Ok(Reply::List(list))
                }
            },
            _ => Err(Unread::Garbled("an unknown type of reply")),
        }
    }

    /// The length of the next value, if all of that line is here and it is as nearly all are: one look at its few bytes instead of a search
    /// for their end and a second look.
    fn short_length(&mut self) -> Option<usize> {
        let (kind, digits) = self.buffer[self.begun..self.filled].split_first()?;
        let mut length = 0;
        for (at, byte) in digits.iter().take(9).enumerate() {
            match byte {
                b'0'..=b'9' => length = length * 10 + usize::from(byte - b'0'),
                b'\r' if *kind == b'$' && at > 0 && digits.get(at + 1) == Some(&b'\n') && length <= LONGEST_VALUE => {
                    self.begun += at + 3;
                    return Some(length);
                }
                _ => return None,
            }
        }
        None
    }

    /// The next line, without its end, as a range of the buffer.
    fn line(&mut self, source: &mut impl Read) -> Result<std::ops::Range<usize>, Unread> {
        let mut searched = 0;
        loop {
            let have = &self.buffer[self.begun..self.filled];
            if let Some(found) = have[searched..].iter().position(|byte| *byte == b'\n') {
                let end = self.begun + searched + found;
                let line = self.begun..end.saturating_sub(1);
                if line.end < line.start || self.buffer[line.end] != b'\r' {
                    return Err(Unread::Garbled("a line that does not end as lines do"));
                }
                self.begun = end + 1;
                return Ok(line);
            }
            searched = have.len();
            if searched == self.buffer.len() {
                return Err(Unread::Garbled("a line without an end"));
            }
            self.fill(source)?;
        }
    }

    fn bytes(&mut self, source: &mut impl Read, length: usize) -> Result<Vec<u8>, Unread> {
        let have = self.filled - self.begun;
        let bytes = if have >= length + 2 {
            let bytes = self.buffer[self.begun..self.begun + length].to_vec();
            self.begun += length;
            bytes
        } else {
            self.long_bytes(source, length)?
        };
        while self.filled - self.begun < 2 {
            self.fill(source)?;
        }
        if self.buffer[self.begun..self.begun + 2] != *b"\r\n" {
            return Err(Unread::Garbled("a value longer than announced"));
        }
        self.begun += 2;
        Ok(bytes)
    }

    /// A value of which some is still to come.
    #[cold]
    fn long_bytes(&mut self, source: &mut impl Read, length: usize) -> Result<Vec<u8>, Unread> {
        let mut bytes = Vec::with_capacity(length.min(FIRST_STEP));
        loop {
            let take = (self.filled - self.begun).min(length - bytes.len());
            bytes.extend_from_slice(&self.buffer[self.begun..self.begun + take]);
            self.begun += take;
            let missing = length - bytes.len();
            if missing == 0 {
                return Ok(bytes);
            }
            if missing < self.buffer.len() {
                // By way of the buffer, so that what follows comes along.
                self.fill(source)?;
                continue;
            }
            let (have, step) = (bytes.len(), bytes.len().max(FIRST_STEP).min(missing));
            bytes.resize(have + step, 0);
            let mut filled = have;
            while filled < have + step {
                filled += receive(source, &mut bytes[filled..])?;
            }
        }
    }

    /// Receives something behind what is there.
    fn fill(&mut self, source: &mut impl Read) -> Result<(), Unread> {
        if self.begun == self.filled {
            (self.begun, self.filled) = (0, 0);
        } else if self.filled == self.buffer.len() {
            self.buffer.copy_within(self.begun..self.filled, 0);
            (self.begun, self.filled) = (0, self.filled - self.begun);
        }
        self.filled += receive(source, &mut self.buffer[self.filled..])?;
        Ok(())
    }
}

fn receive(source: &mut impl Read, into: &mut [u8]) -> Result<usize, Unread> {
    match source.read(into)? {
        0 => Err(Unread::Io(io::ErrorKind::UnexpectedEof.into())),
        received => Ok(received),
    }
}

fn number(text: &[u8]) -> Result<i64, Unread> {
    // Lengths are short; the general way takes as long as copying the value.
    if let [b'0'..=b'9', ..] = text {
        if text.len() <= 9 && text.iter().all(u8::is_ascii_digit) {
            return Ok(text.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')));
        }
    }
    let text = std::str::from_utf8(text).ok();
    text.and_then(|text| text.parse().ok()).ok_or(Unread::Garbled("a number that is none"))
}

/// `None` is what RESP2 writes as -1.
fn length(text: &[u8], most: usize) -> Result<Option<usize>, Unread> {
    match number(text)? {
        -1 => Ok(None),
        length => match usize::try_from(length) {
            Ok(length) if length <= most => Ok(Some(length)),
            _ => Err(Unread::Garbled("an impossible length")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Hands out what it has in pieces of a given size.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let take = self.1.min(into.len()).min(self.0.len());
            let (now, later) = self.0.split_at(take);
            into[..take].copy_from_slice(now);
            self.0 = later;
            Ok(take)
        }
    }

    fn pack(reply: &Reply, into: &mut Vec<u8>) {
        match reply {
            Reply::Nil => into.extend_from_slice(b"$-1\r\n"),
            Reply::Status(text) => into.extend_from_slice(format!("+{text}\r\n").as_bytes()),
            Reply::Error(text) => into.extend_from_slice(format!("-{text}\r\n").as_bytes()),
            Reply::Number(number) => into.extend_from_slice(format!(":{number}\r\n").as_bytes()),
            Reply::Bytes(bytes) => {
                into.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
                into.extend_from_slice(bytes);
                into.extend_from_slice(b"\r\n");
            }
            Reply::List(list) => {
                into.extend_from_slice(format!("*{}\r\n", list.len()).as_bytes());
                list.iter().for_each(|reply| pack(reply, into));
            }
        }
    }

    fn any_reply() -> impl Strategy<Value = Reply> {
        let leaf = prop_oneof![
            Just(Reply::Nil),
            "[ -~]{0,40}".prop_map(Reply::Status),
            "[ -~]{0,40}".prop_map(Reply::Error),
            any::<i64>().prop_map(Reply::Number),
            prop::collection::vec(any::<u8>(), 0..300).prop_map(Reply::Bytes),
            // Around the size of the buffer, and of the first step.
            (BUFFER_BYTES - 20..BUFFER_BYTES + 20).prop_map(|length| Reply::Bytes(vec![b'\n'; length])),
            (FIRST_STEP - 2..FIRST_STEP + 2).prop_map(|length| Reply::Bytes(vec![b'\r'; length])),
        ];
        leaf.prop_recursive(3, 12, 6, |inner| prop::collection::vec(inner, 0..6).prop_map(Reply::List))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 96 }, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn replies_come_back_however_they_are_cut(replies in prop::collection::vec(any_reply(), 1..5), piece in 1_usize..100_000) {
            let mut bytes = Vec::new();
            replies.iter().for_each(|reply| pack(reply, &mut bytes));
            let (mut inbox, mut source) = (Inbox::new(), Pieces(&bytes, piece));
            for reply in replies {
                prop_assert!(inbox.reply(&mut source).unwrap() == reply);
            }
            prop_assert!(inbox.is_empty() && source.0.is_empty());
        }

        #[test]
        fn values_are_told_by_their_places_however_they_are_cut(
            values in prop::collection::vec(prop_oneof![
                Just(None),
                prop::collection::vec(any::<u8>(), 0..300).prop_map(Some),
                // Around the size of the buffer.
                (BUFFER_BYTES - 4..BUFFER_BYTES + 4).prop_map(|length| Some(vec![b'\r'; length])),
            ], 0..20),
            piece in 1_usize..100_000,
        ) {
            let replies = values.iter().map(|value| value.clone().map_or(Reply::Nil, Reply::Bytes)).collect();
            let mut bytes = Vec::new();
            pack(&Reply::List(replies), &mut bytes);
            pack(&Reply::Error("ERR no".into()), &mut bytes);
            let (mut inbox, mut source, mut told) = (Inbox::new(), Pieces(&bytes, piece), Vec::new());
            let said = inbox.values(&mut source, values.len(), |number, value| {
                assert_eq!(number, told.len());
                told.push(value.map(<[u8]>::to_vec));
            });
            prop_assert!(said.unwrap().is_none() && told == values);
            let said = inbox.values(&mut source, 7, |_, _| panic!("an error has no values")).unwrap();
            prop_assert_eq!(said.as_deref(), Some("ERR no"));
            prop_assert!(inbox.is_empty() && source.0.is_empty());
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(prop_oneof![Just(b'*'), Just(b'$'), Just(b'\r'), Just(b'\n'), Just(b'1'), Just(b'-'), any::<u8>()], 0..60)) {
            let (mut inbox, mut source) = (Inbox::new(), Pieces(&bytes, 7));
            while inbox.reply(&mut source).is_ok() {}
            let (mut inbox, mut source) = (Inbox::new(), Pieces(&bytes, 7));
            while inbox.values(&mut source, 1, |_, _| {}).is_ok() {}
        }
    }

    fn refused(bytes: &[u8]) -> String {
        match Inbox::new().reply(&mut Pieces(bytes, 1000)) {
            Err(Unread::Garbled(why)) => why.into(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn what_is_no_reply_is_refused_before_memory_is_taken_for_it() {
        assert_eq!(refused(b"$536870913\r\n"), "an impossible length");
        assert_eq!(refused(b"*16777217\r\n"), "an impossible length");
        assert_eq!(refused(b"$-2\r\n"), "an impossible length");
        assert_eq!(refused(b"$1x\r\n"), "a number that is none");
        assert_eq!(refused(b"HTTP/1.1 400 Bad Request\r\n"), "an unknown type of reply");
        assert_eq!(refused(b"\n"), "a line that does not end as lines do");
        assert_eq!(refused(b"\r\n"), "an empty line");
        assert_eq!(refused(b"$2\r\nabc\r\n"), "a value longer than announced");
        assert_eq!(refused(&b"*1\r\n".repeat(20)), "lists nested too deeply");
        assert!(refused(b"$536870912\r\nabc").contains("UnexpectedEof"));
    }

    #[test]
    fn values_that_are_not_those_that_were_asked_for_are_refused_and_those_before_were_told() {
        for (bytes, whole) in [
            (&b"*3\r\n$1\r\na\r\n"[..], 0),
            (b"*-1\r\n", 0),
            (b"$1\r\na\r\n", 0),
            (b"*2\r\n$1\r\na\r\n:5\r\n", 1),
            (b"*2\r\n$1\r\na\r\n-ERR\r\n", 1),
            (b"*2\r\n$1\r\na\r\n$2\r\nabc\r\n", 1),
            (b"*2\r\n$1\r\na\r\n$2\r\na", 1),
            (b"*2\r\n$1\r\na\r\n", 1),
        ] {
            let mut told = 0;
            let failed = Inbox::new().values(&mut Pieces(bytes, 1000), 2, |_, value| {
                assert_eq!(value, Some(&b"a"[..]));
                told += 1;
            });
            assert!(failed.is_err() && told == whole, "{bytes:?}");
        }
    }
}
