//! Tags, prefixes, patterns and clearing.

use super::{get, open, outcome, put, put_of, TemporaryFolder, MIB};
use crate::pattern::{KeySet, Pattern};
use crate::tiers::{Outcome, Tier as _, What, Write};

#[test]
fn a_tag_is_purged_for_what_was_made_up_to_then_in_every_process() {
    let folder = TemporaryFolder::new("tags");
    let (one, other) = (open(&folder, 64 * MIB), open(&folder, 64 * MIB));
    let is_purged = |tags: &[&[u8]], since| {
        let purged = one.is_purged(tags, since).unwrap();
        assert_eq!(other.is_purged(tags, since).unwrap(), purged);
        purged
    };
    assert!(!is_purged(&[b"a"], 0));
    one.purge_tag(b"a", 1000).unwrap();
    other.purge_tag(b"b", 500).unwrap();
    assert!(is_purged(&[b"a"], 1000) && !is_purged(&[b"a"], 1001));
    assert!(is_purged(&[b"b"], 500) && !is_purged(&[b"b"], 501));
    assert!(is_purged(&[b"x", b"b"], 400) && !is_purged(&[b"x"], 400) && !is_purged(&[], 0));
    other.purge_tag(b"a", 900).unwrap();
    assert!(is_purged(&[b"a"], 1000), "an older purge takes a newer one back");
    one.clear().unwrap();
    assert!(is_purged(&[b"a"], 1000), "another process may be about to write something older");
    drop((one, other));
    assert!(open(&folder, 64 * MIB).is_purged(&[b"a"], 1000).unwrap());
}

#[test]
fn purges_of_more_tags_than_are_kept_make_old_things_purged_and_new_ones_not() {
    let folder = TemporaryFolder::new("many-tags");
    let disk = open(&folder, 64 * MIB);
    let tag = |number: u32| format!("tag {number}").into_bytes();
    disk.writing(|writer, shared| {
        writer.transact(shared, |transaction| {
            (0..100_001).try_for_each(|number| transaction.purge_tag(&tag(number), 10 + i64::from(number)))
        })
    })
    .unwrap();
    assert!(disk.is_purged(&[b"never purged"], 10).unwrap());
    assert!(disk.is_purged(&[&tag(0)], 10).unwrap());
    assert!(!disk.is_purged(&[b"never purged"], 10_011).unwrap());
    assert!(disk.is_purged(&[&tag(50_000)], 50_010).unwrap());
    assert!(!disk.is_purged(&[&tag(50_000)], 50_011).unwrap());
}

#[test]
fn a_prefix_of_any_bytes_purges_what_begins_with_it_and_nothing_else() {
    let folder = TemporaryFolder::new("prefix");
    let disk = open(&folder, 64 * MIB);
    let prefixes: [&[u8]; 6] = [b"user:", b"use%_", b"\xff\xff", b"\0", b"", b"user:1"];
    for (number, prefix) in prefixes.iter().enumerate() {
        let keys: Vec<Vec<u8>> = (0..1500).map(|n| [*prefix, format!("{number}-{n}").as_bytes()].concat()).collect();
        let mut writes: Vec<_> = keys.iter().map(|key| put_of(key, b"value")).collect();
        disk.write(&mut writes).unwrap();
    }
    assert_eq!(disk.purge_keys(KeySet::Beginning(b"use%_")).unwrap(), 1500);
    assert_eq!(disk.purge_keys(KeySet::Beginning(b"\xff")).unwrap(), 1500);
    assert_eq!(disk.purge_keys(KeySet::Beginning(b"user:1")).unwrap(), 1500);
    assert!(get(&disk, b"user:0-7").is_some() && get(&disk, b"user:15-7").is_none());
    assert_eq!(disk.purge_keys(KeySet::Beginning(b"\0")).unwrap(), 1500);
    assert_eq!(disk.figures().entries, 3000);
    assert_eq!(disk.purge_keys(KeySet::Beginning(b"")).unwrap(), 3000);
    assert_eq!((disk.figures().entries, disk.purge_keys(KeySet::Beginning(b"")).unwrap()), (0, 0));
    put(&disk, b"k", b"v");
    assert!(get(&disk, b"k").is_some());
}

#[test]
fn what_has_ended_is_purged_and_not_counted_as_that() {
    let folder = TemporaryFolder::new("ended");
    let disk = open(&folder, 64 * MIB);
    let put_until = |key: &[u8], expires| {
        let what = What::Put { envelope: b"value", expires: Some(expires), tags: &[], if_absent: false };
        assert_eq!(outcome(&disk, Write::new(key, what)), Outcome::Done);
    };
    put_until(b"key:ended", 1);
    put_until(b"key:living", u64::MAX >> 1);
    put(&disk, b"key:for ever", b"value");
    assert_eq!(disk.purge_keys(KeySet::Beginning(b"key:")).unwrap(), 2);
    assert_eq!((disk.figures().entries, disk.figures().expirations), (0, 1));
}

#[test]
fn a_pattern_purges_what_fits_and_nothing_else_however_many_rows_lie_between() {
    let folder = TemporaryFolder::new("pattern");
    let disk = open(&folder, 64 * MIB);
    let key = |number: u32| format!("page:{}:{}", number / 2, ["en", "de"][number as usize % 2]).into_bytes();
    let keys: Vec<Vec<u8>> = (0..6_000).map(key).collect();
    let odd: [&[u8]; 5] = [b"", b"\0", b"\xff\xfe", b"%_", b"p*ge"];
    let mut writes: Vec<_> = keys.iter().map(|key| put_of(key, b"value")).collect();
    writes.extend(odd.map(|key| put_of(key, b"value")));
    disk.write(&mut writes).unwrap();
    let purge = |pattern: &[u8]| disk.purge_keys(KeySet::Fitting(&Pattern::new(pattern).unwrap())).unwrap();
    assert_eq!(purge(b"page:*:*:*"), 0);
    assert_eq!(purge(b"page:??:*"), 180);
    assert_eq!(purge(b"*:en"), 3_000 - 90);
    assert!(get(&disk, b"page:7:en").is_none() && get(&disk, b"page:7:de").is_some());
    assert!(get(&disk, b"page:77:de").is_none() && get(&disk, b"page:777:de").is_some());
    assert_eq!((purge(br"p\*ge"), purge(b"%_"), purge(b"?"), purge(b""), purge(b"\xff*")), (1, 1, 1, 1, 1));
    assert_eq!(purge(b"*2999*de*"), 1);
    assert_eq!((disk.figures().entries, purge(b"*")), (2_909, 2_909));
    put(&disk, b"k", b"v");
    assert!(get(&disk, b"k").is_some());
}
