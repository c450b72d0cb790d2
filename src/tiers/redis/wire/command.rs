//! Commands, packed behind one another for one exchange.

use super::super::slots;
use std::io::Write;

/// Commands for one exchange.
pub(in super::super) struct Batch {
    bytes: Vec<u8>,
    commands: Vec<Command>,
    /// Whether each command's slot is computed: only clusters have them.
    slots: bool,
    slot: u16,
}

/// Where in the batch a command ends, and who has to get it.
pub(in super::super) struct Command {
    end: usize,
    pub(in super::super) slot: u16,
    /// Whether a replica may answer.
    pub(in super::super) from_replica: bool,
}

impl Batch {
    pub(in super::super) fn new(slots: bool) -> Self {
        // Room for a short command without a second allocation.
        Self { bytes: Vec::with_capacity(256), commands: Vec::with_capacity(2), slots, slot: 0 }
    }

    /// Makes room for so many bytes more.
    pub(in super::super) fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes);
    }

    /// Begins a command of so many arguments, its name included; then come [`Batch::text`], [`Batch::key`] and at last
    /// [`Batch::end`].
    pub(in super::super) fn begin(&mut self, arguments: usize) -> &mut Self {
        self.slot = 0;
        self.header(b'*', arguments);
        self
    }

    pub(in super::super) fn text(&mut self, text: impl AsRef<[u8]>) -> &mut Self {
        let text = text.as_ref();
        self.header(b'$', text.len());
        self.bytes.extend_from_slice(text);
        self.bytes.extend_from_slice(b"\r\n");
        self
    }

    pub(in super::super) fn number(&mut self, number: u64) -> &mut Self {
        let mut digits = [0; 20];
        let mut free = &mut digits[..];
        // 20 digits are enough for every number.
        let _ = write!(free, "{number}");
        let length = 20 - free.len();
        self.text(&digits[..length])
    }

    /// A key, in parts that follow each other. It decides which slot the command belongs to.
    pub(in super::super) fn key(&mut self, parts: &[&[u8]]) -> &mut Self {
        self.header(b'$', parts.iter().map(|part| part.len()).sum());
        let begun = self.bytes.len();
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        if self.slots {
            self.slot = slots::of(&self.bytes[begun..]);
        }
        self.bytes.extend_from_slice(b"\r\n");
        self
    }

    pub(in super::super) fn end(&mut self) {
        let (end, slot) = (self.bytes.len(), self.slot);
        self.commands.push(Command { end, slot, from_replica: false });
    }

    /// As [`Batch::end`], for a command that a replica may answer.
    pub(in super::super) fn end_for_any(&mut self) {
        self.end();
        if let Some(command) = self.commands.last_mut() {
            command.from_replica = true;
        }
    }

    fn header(&mut self, kind: u8, number: usize) {
        // Nearly all have one digit or two; formatting machinery costs as much as the rest of the command.
        let (tens, ones) = (b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8);
        match number {
            0..10 => self.bytes.extend_from_slice(&[kind, ones, b'\r', b'\n']),
            10..100 => self.bytes.extend_from_slice(&[kind, tens, ones, b'\r', b'\n']),
            _ => {
                let mut digits = [0; 20];
                let mut at = digits.len();
                let mut rest = number;
                while rest > 0 {
                    at -= 1;
                    digits[at] = b'0' + (rest % 10) as u8;
                    rest /= 10;
                }
                self.bytes.push(kind);
                self.bytes.extend_from_slice(&digits[at..]);
                self.bytes.extend_from_slice(b"\r\n");
            }
        }
    }

    pub(in super::super) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    pub(in super::super) fn len(&self) -> usize {
        self.commands.len()
    }

    pub(in super::super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(in super::super) fn commands(&self) -> &[Command] {
        &self.commands
    }

    /// One command of the batch, packed.
    pub(in super::super) fn bytes_of(&self, index: usize) -> &[u8] {
        let begun = if index == 0 { 0 } else { self.commands[index - 1].end };
        &self.bytes[begun..self.commands[index].end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_packed_as_the_protocol_says() {
        let mut batch = Batch::new(false);
        batch.begin(5).text("SET").key(&[b"p:", b"", b"key"]).text([b'v'; 12]).text("PX").number(u64::MAX).end();
        batch.begin(1).text("PING").end();
        let set =
            format!("*5\r\n$3\r\nSET\r\n$5\r\np:key\r\n$12\r\nvvvvvvvvvvvv\r\n$2\r\nPX\r\n$20\r\n{}\r\n", u64::MAX);
        assert_eq!(batch.bytes_of(0), set.as_bytes());
        assert_eq!(batch.bytes_of(1), b"*1\r\n$4\r\nPING\r\n");
        assert_eq!(batch.bytes(), [set.as_bytes(), b"*1\r\n$4\r\nPING\r\n"].concat());
    }
}
