//! One server: what is removed of it by prefix, by pattern, by tag and altogether.

use super::support::{is_installed, Server};
use super::{get, on, open, put, put_as, tagged};
use crate::clock::unix_micros;
use crate::pattern::{KeySet, Pattern};
use crate::tiers::Tier;

#[test]
fn clearing_removes_our_keys_and_nobody_elses() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let redis = open(&[("url", &server.url()), ("key_prefix", "a*[b]?\\:")]);
    let neighbour = open(&[("url", &server.url()), ("key_prefix", "axb:")]);
    for number in 0..2500 {
        put(&redis, format!("{number}").as_bytes(), b"v").unwrap();
    }
    put_as(&redis, b"\0odd", tagged(b"v", &[b"t"])).unwrap();
    put(&neighbour, b"stays", b"v").unwrap();
    server.cli(&["set", "foreign", "stays"]);
    server.cli(&["set", "axxbx\\:", "stays"]);
    let before = redis.namespace();
    assert_eq!(redis.clear().unwrap(), 2501);
    assert!(redis.namespace() > before);
    assert_eq!(get(&redis, b"17").unwrap(), None);
    assert_eq!(get(&neighbour, b"stays").unwrap().unwrap(), b"v");
    // Both namespaces, and what is not ours.
    assert_eq!(server.cli(&["dbsize"]), "5");
    assert_eq!(redis.clear().unwrap(), 0);
}

#[test]
fn a_prefix_takes_every_key_that_begins_with_it_and_no_other() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let redis = on(&server);
    let keys: [&[u8]; 7] = [b"user:1", b"user:2", b"user*", b"userx", b"\0zero", b"\0", b"other"];
    let fill = || keys.iter().for_each(|key| put_as(&redis, key, tagged(b"v", &[b"t"])).map(drop).unwrap());
    let left = || {
        let found = redis.read(&keys).unwrap();
        keys.iter().zip(found).filter(|(_, value)| value.is_some()).map(|(key, _)| *key).collect::<Vec<_>>()
    };
    fill();
    assert_eq!(redis.purge_keys(KeySet::Beginning(b"user*")).unwrap(), 1);
    assert_eq!(redis.purge_keys(KeySet::Beginning(b"user:")).unwrap(), 2);
    assert_eq!(left(), [&b"userx"[..], b"\0zero", b"\0", b"other"]);
    assert_eq!(redis.purge_keys(KeySet::Beginning(b"\0z")).unwrap(), 1);
    assert_eq!(redis.purge_keys(KeySet::Beginning(b"\0")).unwrap(), 1);
    assert_eq!(redis.purge_keys(KeySet::Beginning(b"\0tag")).unwrap(), 0);
    assert_eq!(left(), [&b"userx"[..], b"other"]);
    assert_eq!(redis.purge_keys(KeySet::Beginning(b"")).unwrap(), 2);
    // The tag is still known: nothing of the tier's own has gone.
    assert!(!redis.is_purged(&[b"t"], unix_micros()).unwrap());
    assert_ne!(server.raw(&[b"GET", b"catzilla:\0namespace"]), b"$-1\r\n");
}

#[test]
fn a_pattern_takes_every_key_that_fits_and_no_other() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let redis = open(&[("url", &server.url()), ("key_prefix", "a*[b]?\\:")]);
    let neighbour = open(&[("url", &server.url()), ("key_prefix", "axb:")]);
    let keys: [&[u8]; 12] = [
        b"page:1:en",
        b"page:2:en",
        b"page:12:en",
        b"page:1:de",
        b"page:",
        b"[p]age",
        b"p*ge",
        b"\0x",
        b"\0",
        b"\xff\xfe",
        b"x",
        b"",
    ];
    let purges: [(&[u8], &[&[u8]]); 14] = [
        (b"page:*:en", &[b"page:1:en", b"page:2:en", b"page:12:en"]),
        (b"page:?:*", &[b"page:1:en", b"page:2:en", b"page:1:de"]),
        (b"*:1?:*", &[b"page:12:en"]),
        (b"*a*e*:*:*n", &[b"page:1:en", b"page:2:en", b"page:12:en"]),
        (b"[p]*", &[b"[p]age"]),
        (br"p\*ge", &[b"p*ge"]),
        (b"p*ge", &[b"p*ge"]),
        (b"?x", &[b"\0x"]),
        (b"?", &[b"\0", b"x"]),
        (b"\0*", &[b"\0x", b"\0"]),
        (b"\xff?", &[b"\xff\xfe"]),
        (b"", &[b""]),
        (b"*tag:t", &[]),
        (b"**", &keys),
    ];
    put(&neighbour, b"page:1:en", b"v").unwrap();
    server.cli(&["set", "page:1:en", "stays"]);
    for (pattern, expected) in purges {
        keys.iter().for_each(|key| put_as(&redis, key, tagged(b"v", &[b"t"])).map(drop).unwrap());
        let pattern = Pattern::new(pattern).unwrap();
        assert_eq!(redis.purge_keys(KeySet::Fitting(&pattern)).unwrap(), expected.len() as u64, "{pattern:?}");
        let found = redis.read(&keys).unwrap();
        for (key, value) in keys.iter().zip(found) {
            assert_eq!(value.is_none(), expected.contains(key), "{pattern:?} {}", key.escape_ascii());
        }
    }
    // The tag and the namespaces are still known, and what is somebody else's.
    assert!(!redis.is_purged(&[b"t"], unix_micros()).unwrap());
    assert_eq!(server.cli(&["dbsize"]), "5");
    // A server would take years to try how these stars share a key.
    put(&redis, &[b'a'; 10_000], b"v").unwrap();
    let stars = [&b"*a".repeat(2_000)[..], b"*b"].concat();
    assert_eq!(redis.purge_keys(KeySet::Fitting(&Pattern::new(&stars).unwrap())).unwrap(), 0);
    let pattern = Pattern::new(&stars[..4_001]).unwrap();
    assert_eq!(redis.purge_keys(KeySet::Fitting(&pattern)).unwrap(), 1);
}

#[test]
fn a_purged_tag_says_so_of_what_was_made_before() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let redis = on(&server);
    let made = unix_micros();
    put_as(&redis, b"k", tagged(b"v", &[b"red", b"blue"])).unwrap();
    assert!(!redis.is_purged(&[], made).unwrap());
    assert!(!redis.is_purged(&[b"red", b"blue"], made).unwrap());
    redis.purge_tag(b"blue", made).unwrap();
    assert!(redis.is_purged(&[b"red", b"blue"], made).unwrap());
    assert!(!redis.is_purged(&[b"red", b"blue"], made + 1).unwrap());
    assert!(!redis.is_purged(&[b"red"], made).unwrap());
    // An earlier purge takes nothing back, and neither does a put.
    redis.purge_tag(b"blue", made - 10).unwrap();
    put_as(&redis, b"k", tagged(b"v", &[b"blue"])).unwrap();
    assert!(redis.is_purged(&[b"blue"], made).unwrap());
    // Another client sees the same.
    assert!(on(&server).is_purged(&[b"blue"], made).unwrap());
}

#[test]
fn a_tag_that_redis_has_lost_counts_as_purged_and_stays_so_for_what_was_there() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let redis = on(&server);
    assert!(redis.is_purged(&[b"never written"], unix_micros()).unwrap());
    let long_ago = unix_micros() - 60_000_000;
    put_as(&redis, b"old", tagged(b"v", &[b"t"])).unwrap();
    redis.purge_tag(b"t", long_ago).unwrap();
    server.raw(&[b"DEL", b"catzilla:\0tag:t"]);
    assert!(redis.is_purged(&[b"t"], long_ago).unwrap());
    let made = unix_micros();
    put_as(&redis, b"new", tagged(b"v", &[b"t"])).unwrap();
    assert!(redis.is_purged(&[b"t"], long_ago).unwrap(), "what was purged has come back");
    assert!(!redis.is_purged(&[b"t"], made).unwrap());
}
