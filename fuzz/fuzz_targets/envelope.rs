//! Feeds what the fuzzer finds to whoever reads envelopes, as another process or a damaged disk might: it must not panic, read outside, or
//! take more memory than the bytes can stand for; and what it believes has to be what writing it again gives.
#![no_main]

use codec::envelope::{resum, Envelope};
use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../src/codec/mod.rs"]
mod codec;

fuzz_target!(|bytes: &[u8]| {
    let Some((&key_len, rest)) = bytes.split_first() else { return };
    let (key, envelope) = rest.split_at(usize::from(key_len).min(rest.len()));
    look(key, envelope);
    // What is behind the checksum is hardly ever reached by chance: so it is made right.
    let mut envelope = envelope.to_vec();
    if resum(key, &mut envelope) {
        look(key, &envelope);
    }
});

fn look(key: &[u8], bytes: &[u8]) {
    let Ok(envelope) = Envelope::decode(key, bytes) else { return };
    let len = envelope.body.len();
    assert!(len <= bytes.len() * 255);
    envelope.remaining(envelope.created);
    assert!(envelope.tags.iter().map(|tag| tag.len() + 1).sum::<usize>() <= bytes.len());
    let mut value = vec![0; len];
    envelope.body.unpack(&mut value);
    let again = envelope.encode(key).expect("it came from as many bytes");
    assert_eq!(Envelope::decode(key, &again), Ok(envelope));
}
