//! The file stays as large as it may be; what was read lately stays in it; it becomes smaller when it can.

use super::{get, open, outcome, put, put_of, random, remove, upkeep_until, Disk, TemporaryFolder, MIB};
use crate::tiers::{Outcome, Tier as _, What, Write};
use std::path::Path;

/// Of all that is in the folder but the index of the WAL, which is memory that processes share.
fn bytes_in(folder: &Path) -> u64 {
    std::fs::read_dir(folder)
        .unwrap()
        .map(Result::unwrap)
        .filter(|entry| !entry.file_name().to_str().unwrap().ends_with("-shm"))
        .map(|entry| entry.metadata().map_or(0, |found| found.len()))
        .sum()
}

#[test]
fn the_bound_is_held_within_a_twentieth_under_puts_of_all_sizes_overwrites_and_removals() {
    for (bound, batch, longest) in [(MIB, 20, 4000), (8 * MIB, 200, 20_000), (32 * MIB, 700, 6000)] {
        let folder = TemporaryFolder::new("bound");
        let disk = open(&folder, bound);
        let values = folder.path().join("values");
        let mut next = random(bound);
        let mut written = 0;
        let (mut most, mut held) = (0, 0);
        while written < 3 * bound {
            let items: Vec<(Vec<u8>, Vec<u8>)> = (0..batch)
                .map(|_| {
                    let short = next(4) > 0;
                    let length = if short { next(longest / 10) } else { next(longest) };
                    (format!("{}", next(100_000)).into_bytes(), vec![3; length as usize])
                })
                .collect();
            written += items.iter().map(|(_, value)| value.len() as u64).sum::<u64>();
            let mut writes: Vec<Write<'_>> = items
                .iter()
                .map(
                    |(key, value)| {
                        if value.len() % 7 == 0 {
                            Write::new(key, What::Remove)
                        } else {
                            put_of(key, value)
                        }
                    },
                )
                .collect();
            disk.write(&mut writes).unwrap();
            most = most.max(bytes_in(&values));
            if disk.figures().evictions > 0 {
                held = bytes_in(&values);
            }
        }
        assert!(most <= bound / 20 * 21, "{most} of {bound}");
        assert!(held >= bound / 20 * 14, "only {held} of {bound} are used");
        let figures = disk.figures();
        assert!(figures.evictions > 0);
        assert!(figures.bytes <= bound / 20 * 21 && figures.bytes >= bound / 2, "{figures:?}");
        let rows: u64 = disk
            .readers
            .with(&disk.shared.file, |finder| {
                Ok(finder
                    .connection()
                    .query_row("SELECT count(*) FROM entries", [], |row| row.get::<_, i64>(0))
                    .unwrap() as u64)
            })
            .unwrap();
        assert_eq!(figures.entries, rows);
    }
}

#[test]
fn values_of_a_fifth_of_the_bound_go_in_and_the_bound_is_met_again() {
    let folder = TemporaryFolder::new("huge");
    let disk = open(&folder, 16 * MIB);
    let value = vec![1; (16 << 20) / 5];
    for number in 0..40_u32 {
        put(&disk, &number.to_le_bytes(), &value);
    }
    assert!(get(&disk, &39_u32.to_le_bytes()).is_some());
    assert!(get(&disk, &0_u32.to_le_bytes()).is_none());
    upkeep_until(&disk, "the bound", || bytes_in(&folder.path().join("values")) <= 16 * MIB / 20 * 21);
}

#[test]
fn what_was_read_outlives_what_was_not() {
    let folder = TemporaryFolder::new("recent");
    let disk = open(&folder, 4 * MIB);
    let key = |number: u32| format!("key {number}").into_bytes();
    let value = vec![5; 1000];
    let mut evicted = 0;
    for number in 0..8000 {
        put_one(&disk, &key(number), &value);
        if number % 50 == 0 {
            for hot in 0..20.min(number + 1) {
                assert!(get(&disk, &key(hot)).is_some(), "{hot} was read all the time and is gone after {number}");
            }
            if number > 3000 {
                evicted += u32::from(get(&disk, &key(number - 2900)).is_none());
            }
        }
    }
    assert!(evicted >= 95, "what nobody reads does not go: {evicted}");
}

fn put_all(disk: &Disk, numbers: std::ops::Range<u32>, value: &[u8]) {
    let keys: Vec<_> = numbers.map(u32::to_le_bytes).collect();
    let mut writes: Vec<_> = keys.iter().map(|key| put_of(key, value)).collect();
    disk.write(&mut writes).unwrap();
}

fn put_one(disk: &Disk, key: &[u8], value: &[u8]) {
    disk.write(&mut [put_of(key, value)]).unwrap();
}

#[test]
fn what_one_process_reads_another_does_not_evict() {
    let folder = TemporaryFolder::new("others");
    let (reader, writer) = (open(&folder, 4 * MIB), open(&folder, 4 * MIB));
    put(&writer, b"hot", b"value");
    let value = vec![5; 1000];
    for number in 0..8000_u32 {
        put_one(&writer, &number.to_le_bytes(), &value);
        if number % 100 == 0 {
            assert!(get(&reader, b"hot").is_some(), "gone after {number}");
            reader.maintain().unwrap();
        }
    }
    assert!(writer.figures().evictions > 4000);
}

#[test]
fn everything_being_read_all_the_time_does_not_keep_new_values_out() {
    let folder = TemporaryFolder::new("all");
    let disk = open(&folder, MIB);
    let value = vec![5; 500];
    for number in 0..3000_u32 {
        put_one(&disk, &number.to_le_bytes(), &value);
        for id in 0..6000 {
            disk.shared.marks.mark(id);
        }
        assert!(get(&disk, &number.to_le_bytes()).is_some());
    }
    assert!(disk.figures().evictions > 500);
}

#[test]
fn rows_whose_time_is_over_go_and_the_file_becomes_smaller() {
    let folder = TemporaryFolder::new("expiry");
    let disk = open(&folder, 64 * MIB);
    let value = vec![5; 2000];
    let soon = crate::clock::unix_micros() / 1000 + 100;
    for batch in 0..20_u32 {
        let keys: Vec<_> = (0..500).map(|number| (batch * 500 + number).to_le_bytes()).collect();
        let mut writes: Vec<_> = keys
            .iter()
            .enumerate()
            .map(|(number, key)| {
                let expires = (number % 10 > 0).then_some(soon);
                Write::new(key, What::Put { envelope: &value, expires, tags: &[], if_absent: false })
            })
            .collect();
        disk.write(&mut writes).unwrap();
    }
    let before = bytes_in(&folder.path().join("values"));
    upkeep_until(&disk, "the rows to go", || disk.figures().entries == 1000);
    assert_eq!(disk.figures().expirations, 9000);
    upkeep_until(&disk, "the file to shrink", || bytes_in(&folder.path().join("values")) < before / 4);
    assert!(get(&disk, &0_u32.to_le_bytes()).is_some());
    assert!(get(&disk, &1_u32.to_le_bytes()).is_none());
}

#[test]
fn a_file_that_was_cleared_becomes_small_and_upkeep_comes_to_an_end() {
    let folder = TemporaryFolder::new("clear");
    let disk = open(&folder, 64 * MIB);
    let value = vec![5; 2000];
    put_all(&disk, 0..8000, &value);
    assert_eq!(disk.clear().unwrap(), 8000);
    assert_eq!((disk.figures().entries, get(&disk, &0_u32.to_le_bytes())), (0, None));
    upkeep_until(&disk, "the file to shrink", || bytes_in(&folder.path().join("values")) < MIB);
    upkeep_until(&disk, "the end of upkeep", || disk.maintain().unwrap().is_none());
    assert!(disk.figures().bytes < MIB);
    assert_eq!(disk.clear().unwrap(), 0);
    put(&disk, b"k", b"v");
    assert!(disk.maintain().unwrap().is_some());
    assert_eq!(remove(&disk, b"k"), Outcome::Done);
}

#[test]
fn lowering_the_bound_makes_the_file_smaller() {
    let folder = TemporaryFolder::new("lower");
    let disk = open(&folder, 64 * MIB);
    let value = vec![5; 2000];
    put_all(&disk, 0..10_000, &value);
    disk.set_max_bytes(4 * MIB);
    upkeep_until(&disk, "the file to shrink", || bytes_in(&folder.path().join("values")) <= 4 * MIB);
    assert!(get(&disk, &9999_u32.to_le_bytes()).is_some());
    assert_eq!(disk.figures().max_bytes, 4 * MIB);
    assert!(outcome(&disk, put_of(b"k", &vec![0; 2 << 20])) != Outcome::Done);
}
