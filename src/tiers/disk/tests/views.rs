//! Where reads come fast, views of the file stay open between them: nobody reads anything old by that, and nobody is kept waiting for long.

use super::{get, open, outcome, put, remove, TemporaryFolder, MIB};
use crate::tiers::disk::store::{self, BUSY, TICK};
use crate::tiers::disk::Disk;
use crate::tiers::{Fault, FaultKind, Outcome, Tier as _, What, Write};
use rusqlite::Connection;
use std::time::Duration;

/// Has reads come fast, and a view be open: of a WAL that has something in it, so that it cannot begin anew.
fn keep_a_view(disk: &Disk, other: &Disk) {
    for _ in 0..BUSY {
        get(disk, b"any");
    }
    assert_eq!(disk.maintain().unwrap().map(|pause| pause <= TICK), Some(true));
    put(other, b"first", b"1");
    assert_eq!(get(disk, b"first").unwrap(), b"1");
}

/// Whether the WAL can begin anew, for which nobody may read in it.
fn can_begin_anew(folder: &TemporaryFolder) -> bool {
    let connection = Connection::open(folder.join("values/cache.db")).unwrap();
    connection.busy_timeout(Duration::ZERO).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| row.get::<_, i64>(0)).unwrap() == 0
}

#[test]
fn whoever_keeps_a_view_sees_what_others_commit_at_once() {
    let folder = TemporaryFolder::new("fresh");
    // So large that its WAL need not begin anew, for which the other one would wait for the view.
    let (one, other) = (open(&folder, 1024 * MIB), open(&folder, 1024 * MIB));
    keep_a_view(&one, &other);
    assert!(!can_begin_anew(&folder), "a view is open");
    for round in 0..200_u64 {
        put(&other, b"k", &round.to_le_bytes());
        assert_eq!(get(&one, b"k").unwrap(), round.to_le_bytes());
        assert_eq!(one.read(&[b"k", b"none"]).unwrap(), [Some(round.to_le_bytes().to_vec()), None]);
        assert!(!one.is_purged(&[b"tag"], 2 * round + 1).unwrap());
        other.purge_tag(b"tag", 2 * round + 1).unwrap();
        assert!(one.is_purged(&[b"tag"], 2 * round + 1).unwrap());
        if round % 10 == 0 {
            assert_eq!(remove(&other, b"k"), Outcome::Done);
            assert_eq!(get(&one, b"k"), None);
        }
        if round % 50 == 7 {
            // Also what lies in the file and no more in the WAL, and what was written over a WAL that has begun anew.
            other.maintain().unwrap();
            can_begin_anew(&folder);
        }
    }
    put(&other, b"k", b"last");
    assert_eq!(get(&one, b"k").unwrap(), b"last");
    assert!(!can_begin_anew(&folder), "a view is open still");
    // Before the other one, which would wait for the view when it ends.
    drop(one);
}

#[test]
fn reads_that_begin_to_come_fast_call_for_a_tick_that_is_nothing_but_that() {
    let folder = TemporaryFolder::new("fast");
    let (one, other) = (open(&folder, 64 * MIB), open(&folder, 64 * MIB));
    put(&one, b"k", b"0");
    let upkeep_in = loop {
        let pause = one.maintain().unwrap().unwrap();
        if !pause.is_zero() {
            break pause;
        }
    };
    assert!(!one.calls_for_upkeep());
    // As many as it takes for 64 of them to come within 20 ms.
    while !one.calls_for_upkeep() {
        get(&one, b"k");
    }
    assert!(!one.calls_for_upkeep(), "once is enough");
    assert_eq!(one.maintain().unwrap(), Some(TICK.min(upkeep_in)));
    put(&other, b"k", b"1");
    assert_eq!(get(&one, b"k").unwrap(), b"1");
    assert!(!can_begin_anew(&folder), "a view is open");
    drop(one);
}

#[test]
fn a_view_that_nobody_reads_with_is_closed_by_the_next_tick() {
    let folder = TemporaryFolder::new("idle");
    let (one, other) = (open(&folder, 64 * MIB), open(&folder, 64 * MIB));
    keep_a_view(&one, &other);
    assert!(!can_begin_anew(&folder));
    one.maintain().unwrap();
    assert!(can_begin_anew(&folder));
    // Reads that come one by one keep none.
    put(&other, b"second", b"2");
    assert_eq!(get(&one, b"second").unwrap(), b"2");
    assert!(can_begin_anew(&folder));
}

#[test]
fn a_view_that_many_have_read_with_makes_way_for_another() {
    let folder = TemporaryFolder::new("many");
    let (one, other) = (open(&folder, 64 * MIB), open(&folder, 64 * MIB));
    keep_a_view(&one, &other);
    assert!(!can_begin_anew(&folder));
    for _ in 0..1_000 {
        assert_eq!(get(&one, b"first").unwrap(), b"1");
    }
    // The one that is open now is of what is in the file, and nobody reads in the WAL.
    assert!(can_begin_anew(&folder));
    drop(one);
}

#[test]
fn a_view_that_is_in_use_during_a_tick_is_closed_when_it_is_given_back() {
    let folder = TemporaryFolder::new("in use");
    let (one, other) = (open(&folder, 64 * MIB), open(&folder, 64 * MIB));
    keep_a_view(&one, &other);
    let found = one.reading(|finder, ways| {
        for _ in 0..BUSY {
            get(&one, b"first");
        }
        assert!(one.readers.tick().0.is_some(), "reads still come fast");
        store::read(finder, b"first", ways)
    });
    assert_eq!(found.unwrap().unwrap(), b"1");
    assert!(can_begin_anew(&folder));
    assert_eq!(get(&one, b"first").unwrap(), b"1");
    put(&other, b"second", b"2");
    assert_eq!(get(&one, b"second").unwrap(), b"2");
    assert!(!can_begin_anew(&folder), "the next ones are kept");
    drop(one);
}

#[test]
fn nobody_keeps_a_view_while_this_process_writes_or_after_a_fault() {
    let folder = TemporaryFolder::new("writes");
    let (one, other) = (open(&folder, 64 * MIB), open(&folder, 64 * MIB));
    keep_a_view(&one, &other);
    let during = one.writing(|_, _| {
        let before = can_begin_anew(&folder);
        put(&other, b"second", b"2");
        assert_eq!(get(&one, b"second").unwrap(), b"2");
        Ok((before, can_begin_anew(&folder)))
    });
    assert_eq!(during, Ok((true, true)));
    put(&other, b"third", b"3");
    assert_eq!(get(&one, b"third").unwrap(), b"3");
    assert!(!can_begin_anew(&folder), "once it has written, they are kept again");

    let fault = one.reading(|_, _| Err::<(), _>(Fault::new(FaultKind::TimedOut, "as the test wants it")));
    assert!(fault.is_err());
    assert!(can_begin_anew(&folder));
    assert_eq!(outcome(&other, Write::new(b"third", What::Remove)), Outcome::Done);
    assert_eq!(get(&one, b"third"), None);
    assert!(can_begin_anew(&folder));
}
