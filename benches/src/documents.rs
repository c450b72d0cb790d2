//! JSON as services answer with it: a list of records with the same fields, and in them what repeats (field names, states,
//! cities) and what does not (identifiers, amounts, names, words). What it compresses to is printed wherever it is used.

use crate::keys::Random;
use std::io::Write;

pub const DOCUMENT_LEN: usize = 10 << 10;

const SEED: u64 = 11;
const STATES: [&str; 5] = ["pending", "paid", "shipped", "delivered", "returned"];
const CURRENCIES: [&str; 3] = ["EUR", "USD", "GBP"];
const CITIES: [&str; 8] = ["Lisbon", "Toronto", "Nairobi", "Osaka", "Lima", "Gdansk", "Austin", "Pune"];
const NAMES: [&str; 16] = [
    "Amara", "Bruno", "Chiara", "Dmitri", "Elif", "Farid", "Greta", "Hiro", "Ines", "Jonas", "Kavya", "Luca", "Mina",
    "Noor", "Oskar", "Priya",
];
const WORDS: [&str; 24] = [
    "please",
    "ring",
    "the",
    "bell",
    "twice",
    "leave",
    "with",
    "neighbour",
    "gift",
    "wrapped",
    "fragile",
    "second",
    "floor",
    "after",
    "six",
    "call",
    "before",
    "delivery",
    "blue",
    "door",
    "behind",
    "garden",
    "gate",
    "side",
];

/// Makes documents one after the other in the same memory.
pub struct Documents(Vec<u8>);

impl Documents {
    pub fn new() -> Documents {
        Documents(Vec::with_capacity(2 * DOCUMENT_LEN))
    }

    /// The document `id`, the same in every run; `DOCUMENT_LEN` bytes.
    pub fn make(&mut self, id: usize) -> &[u8] {
        let mut random = Random::new(SEED ^ ((id as u64) << 16));
        let text = &mut self.0;
        text.clear();
        write!(text, "{{\"page\":{id},\"orders\":[").expect(IN_MEMORY);
        loop {
            let whole = text.len();
            record(text, &mut random);
            if text.len() + END.len() > DOCUMENT_LEN {
                text.truncate(whole);
                break;
            }
        }
        // The last comma goes, and spaces fill up, which JSON allows.
        text.pop();
        text.resize(DOCUMENT_LEN - END.len(), b' ');
        text.extend_from_slice(END);
        text
    }
}

impl Default for Documents {
    fn default() -> Self {
        Documents::new()
    }
}

const END: &[u8] = b"]}";
const IN_MEMORY: &str = "writing to memory does not fail";

fn record(text: &mut Vec<u8>, random: &mut Random) {
    let mut one_of = |list: &[&'static str]| list[random.below(list.len())];
    let (state, currency, city) = (one_of(&STATES), one_of(&CURRENCIES), one_of(&CITIES));
    let (first, last) = (one_of(&NAMES), one_of(&NAMES));
    let note: [&str; 6] = std::array::from_fn(|_| one_of(&WORDS));
    let (id, number) = (random.draw(), random.draw());
    write!(
        text,
        "{{\"id\":\"{id:016x}\",\"customer\":{{\"name\":\"{first} {last}\",\"email\":\"{}.{}{}@example.com\",\"city\":\"{city}\"}},\
         \"status\":\"{state}\",\"total\":{}.{:02},\"currency\":\"{currency}\",\"created_at\":\"2024-{:02}-{:02}T{:02}:{:02}:{:02}Z\",\
         \"items\":{},\"express\":{},\"note\":\"{}\"}},",
        first.to_lowercase(),
        last.to_lowercase(),
        number % 1000,
        number / 1000 % 500,
        number / 500_000 % 100,
        number >> 32 & 7 | 1,
        (number >> 36 & 15) + 10,
        (number >> 40) % 24,
        (number >> 44) % 60,
        (number >> 50) % 60,
        (number >> 56) % 9 + 1,
        number >> 63 == 1,
        note.join(" "),
    )
    .expect(IN_MEMORY);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_as_long_as_it_says_and_the_same_every_time() {
        let mut documents = Documents::new();
        for id in [0, 1, 999_999] {
            let first = documents.make(id).to_vec();
            assert_eq!(first.len(), DOCUMENT_LEN);
            assert!(first.starts_with(b"{\"page\":") && first.ends_with(b"]}"));
            documents.make(id + 1);
            assert!(documents.make(id) == first);
        }
    }
}
