//! Values come back: as they were put, from another connection, from another process's point of view, after reopening.

use super::{get, open, open_with_hash, outcome, put, put_of, random, remove, TemporaryFolder, MIB};
use crate::tiers::{FaultKind, Outcome, Tier as _, What, Write};

#[test]
fn what_was_put_is_read_and_is_there_after_reopening() {
    let folder = TemporaryFolder::new("reopen");
    let disk = open(&folder, 64 * MIB);
    put(&disk, b"a", b"first");
    put(&disk, b"", b"of the empty key");
    put(&disk, b"\0\xff", b"");
    let long = vec![7; 3 << 20];
    put(&disk, &[b'k'; 1000], &long);
    for _ in 0..2 {
        let disk = open(&folder, 64 * MIB);
        assert_eq!(get(&disk, b"a").unwrap(), b"first");
        assert_eq!(get(&disk, b"").unwrap(), b"of the empty key");
        assert_eq!(get(&disk, b"\0\xff").unwrap(), b"");
        assert_eq!(get(&disk, &[b'k'; 1000]).unwrap(), long);
        assert_eq!(get(&disk, b"b"), None);
        assert_eq!(disk.figures().entries, 4);
    }
    let keys: [&[u8]; 4] = [b"a", b"nobody", b"", b"a"];
    let found = disk.read(&keys).unwrap();
    assert_eq!(found[0].as_deref(), Some(&b"first"[..]));
    assert_eq!(found[1], None);
    assert_eq!(found[2].as_deref(), Some(&b"of the empty key"[..]));
    assert_eq!(found[3], found[0]);
    assert_eq!(disk.read(&[]).unwrap(), Vec::<Option<Vec<u8>>>::new());
    disk.write(&mut []).unwrap();
}

#[test]
fn what_was_in_the_file_before_is_found_by_its_id_once_upkeep_has_gone_through_it() {
    let folder = TemporaryFolder::new("learn");
    // More than one step of the walk.
    let keys: Vec<[u8; 4]> = (0..10_000_u32).map(u32::to_le_bytes).collect();
    {
        let disk = open(&folder, 64 * MIB);
        for keys in keys.chunks(1_000) {
            let mut writes: Vec<Write<'_>> = keys.iter().map(|key| put_of(key, key)).collect();
            disk.write(&mut writes).unwrap();
        }
        remove(&disk, &keys[0]);
        put(&disk, &keys[1], b"later");
    }
    let disk = open(&folder, 64 * MIB);
    while disk.lock().upkeep.is_learning() {
        disk.maintain().unwrap();
    }
    // Without the indexes nothing but a hint leads to a row.
    let file = rusqlite::Connection::open(folder.join("values/cache.db")).unwrap();
    file.execute_batch("DELETE FROM recent; DELETE FROM settled").unwrap();
    assert_eq!((get(&disk, &keys[0]), get(&disk, &keys[1]).unwrap()), (None, b"later".to_vec()));
    let found = keys[2..].iter().filter_map(|key| get(&disk, key).map(|value| assert_eq!(value, key))).count();
    // Some hashes fall on the same place.
    assert!(found > 9_000, "{found}");
}

#[test]
fn two_handles_on_one_file_see_each_others_rows_at_once() {
    let folder = TemporaryFolder::new("two");
    let (one, other) = (open(&folder, 64 * MIB), open(&folder, 64 * MIB));
    for round in 0..100_u32 {
        put(&one, b"k", &round.to_le_bytes());
        assert_eq!(get(&other, b"k").unwrap(), round.to_le_bytes());
        put(&other, b"k", &(1000 + round).to_le_bytes());
        assert_eq!(get(&one, b"k").unwrap(), (1000 + round).to_le_bytes());
        if round % 10 == 0 {
            assert_eq!(remove(&one, b"k"), Outcome::Done);
            assert_eq!(get(&other, b"k"), None);
        }
    }
    assert_eq!(one.figures().entries, 1);
}

#[test]
fn a_later_put_replaces_and_a_removal_removes() {
    let folder = TemporaryFolder::new("replace");
    let disk = open(&folder, 64 * MIB);
    let mut writes = [
        put_of(b"k", b"1"),
        put_of(b"k", b"2"),
        Write::new(b"k", What::Remove),
        Write::new(b"k", What::Remove),
        put_of(b"k", b"3"),
        put_of(b"other", b"4"),
    ];
    disk.write(&mut writes).unwrap();
    let outcomes: Vec<_> = writes.iter().map(|write| write.outcome.clone()).collect();
    let [done, nothing] = [Outcome::Done, Outcome::Nothing];
    assert_eq!(outcomes, [done.clone(), done.clone(), done.clone(), nothing, done.clone(), done]);
    assert_eq!(get(&disk, b"k").unwrap(), b"3");
    assert_eq!(disk.figures().entries, 2);
}

#[test]
fn a_put_if_absent_leaves_what_is_there_unless_its_time_is_over() {
    let folder = TemporaryFolder::new("absent");
    let disk = open(&folder, 64 * MIB);
    let put_at = |envelope: &[u8], expires, if_absent| {
        outcome(&disk, Write::new(b"k", What::Put { envelope, expires, tags: &[], if_absent }))
    };
    assert_eq!(put_at(b"1", None, true), Outcome::Done);
    assert_eq!(put_at(b"2", None, true), Outcome::Nothing);
    assert_eq!(get(&disk, b"k").unwrap(), b"1");
    assert_eq!(put_at(b"3", Some(1_000_000), false), Outcome::Done);
    assert_eq!(put_at(b"4", Some(u64::MAX), true), Outcome::Done);
    assert_eq!(put_at(b"5", None, true), Outcome::Nothing);
    assert_eq!(get(&disk, b"k").unwrap(), b"4");
}

#[test]
fn keys_of_one_hash_do_not_get_in_each_others_way() {
    let folder = TemporaryFolder::new("hash");
    let disk = open_with_hash(&folder, |key| key.len() as u64);
    let key = |number: u32| format!("key {number:06}").into_bytes();
    // More than are merged at once, so that both indexes have them.
    for first in (0..3000).step_by(500) {
        let keys: Vec<_> = (first..first + 500).map(key).collect();
        let mut writes: Vec<_> = keys.iter().map(|key| put_of(key, key)).collect();
        disk.write(&mut writes).unwrap();
    }
    for number in (0..3000).step_by(97) {
        assert_eq!(get(&disk, &key(number)).unwrap(), key(number));
    }
    assert_eq!(remove(&disk, &key(5)), Outcome::Done);
    put(&disk, &key(7), b"new");
    assert_eq!(get(&disk, &key(5)), None);
    assert_eq!(get(&disk, &key(6)).unwrap(), key(6));
    assert_eq!(get(&disk, &key(7)).unwrap(), b"new");
    assert_eq!(get(&disk, &key(4000)), None);
    assert_eq!(disk.figures().entries, 2999);
}

#[test]
fn a_value_that_is_too_large_is_refused_alone_and_takes_the_older_one_with_it() {
    let folder = TemporaryFolder::new("large");
    let disk = open(&folder, 4 * MIB);
    put(&disk, b"k", b"old");
    put(&disk, b"stays", b"old");
    let large = vec![0; 2 << 20];
    let absent = What::Put { envelope: &large, expires: None, tags: &[], if_absent: true };
    let mut writes =
        [put_of(b"before", b"1"), put_of(b"k", &large), Write::new(b"stays", absent), put_of(b"after", b"2")];
    disk.write(&mut writes).unwrap();
    for (write, done) in writes.iter().zip([true, false, false, true]) {
        match &write.outcome {
            Outcome::Done => assert!(done),
            Outcome::Refused(fault) => assert!(!done && fault.kind == FaultKind::TooLarge, "{fault}"),
            outcome => panic!("{outcome:?}"),
        }
    }
    assert_eq!(get(&disk, b"k"), None);
    assert_eq!(get(&disk, b"stays").unwrap(), b"old");
    assert_eq!(get(&disk, b"after").unwrap(), b"2");
}

#[test]
fn a_model_of_a_map_is_followed_through_merges_and_reopenings() {
    let folder = TemporaryFolder::new("model");
    let mut disk = open(&folder, 64 * MIB);
    let mut model = std::collections::BTreeMap::<Vec<u8>, Vec<u8>>::new();
    let mut next = random(1);
    for round in 0..60 {
        let items: Vec<(Vec<u8>, Option<Vec<u8>>)> = (0..300)
            .map(|_| {
                let key = format!("{}", next(4000)).into_bytes();
                let value = (next(5) > 0).then(|| vec![next(256) as u8; next(300) as usize]);
                (key, value)
            })
            .collect();
        let mut expected = Vec::new();
        for (key, value) in &items {
            expected.push(match value {
                Some(value) => {
                    model.insert(key.clone(), value.clone());
                    Outcome::Done
                }
                None if model.remove(key).is_some() => Outcome::Done,
                None => Outcome::Nothing,
            });
        }
        let mut writes: Vec<_> = items
            .iter()
            .map(|(key, value)| match value {
                Some(value) => put_of(key, value),
                None => Write::new(key, What::Remove),
            })
            .collect();
        disk.write(&mut writes).unwrap();
        let outcomes: Vec<_> = writes.iter().map(|write| write.outcome.clone()).collect();
        assert_eq!(outcomes, expected);
        disk.maintain().unwrap();
        if round % 20 == 19 {
            drop(disk);
            disk = open(&folder, 64 * MIB);
        }
        assert_eq!(disk.figures().entries, model.len() as u64);
    }
    for number in 0..4000 {
        let key = format!("{number}").into_bytes();
        assert_eq!(get(&disk, &key).as_ref(), model.get(&key));
    }
}
