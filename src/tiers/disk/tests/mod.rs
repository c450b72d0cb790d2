//! The disk tier on real files, a subject a file; here is what they share.

mod basics;
mod bench;
mod bound;
mod places;
mod processes;
mod purges;
mod trouble;
mod views;

#[path = "../../../../tests/support/folder.rs"]
mod folder;

pub(super) use self::folder::TemporaryFolder;
use super::{Disk, HashOf};
use crate::options::{DiskOptions, Options};
use crate::tiers::{Outcome, Tier as _, What, Write};

const MIB: u64 = 1 << 20;

fn options(folder: &TemporaryFolder, max_bytes: u64) -> DiskOptions {
    let mut options = Options::new();
    options.set("disk.path", &folder.join("values")).unwrap();
    options.set("disk.max_bytes", &format!("{max_bytes}B")).unwrap();
    options.disk
}

fn open(folder: &TemporaryFolder, max_bytes: u64) -> Disk {
    Disk::open(&options(folder, max_bytes)).unwrap()
}

fn open_with_hash(folder: &TemporaryFolder, hash_of: HashOf) -> Disk {
    Disk::with_hash(&options(folder, 64 * MIB), hash_of).unwrap()
}

fn put_of<'a>(key: &'a [u8], envelope: &'a [u8]) -> Write<'a> {
    Write::new(key, What::Put { envelope, expires: None, tags: &[], if_absent: false })
}

fn put(disk: &Disk, key: &[u8], envelope: &[u8]) {
    assert_eq!(outcome(disk, put_of(key, envelope)), Outcome::Done);
}

fn remove(disk: &Disk, key: &[u8]) -> Outcome {
    outcome(disk, Write::new(key, What::Remove))
}

fn outcome(disk: &Disk, write: Write<'_>) -> Outcome {
    let mut writes = [write];
    disk.write(&mut writes).unwrap();
    let [write] = writes;
    write.outcome
}

fn get(disk: &Disk, key: &[u8]) -> Option<Vec<u8>> {
    disk.read_one(key).unwrap()
}

/// Numbers that look random and are the same in each run: each below what is asked for.
fn random(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}

/// Does what the cache's own thread does, until it has led to something.
fn upkeep_until(disk: &Disk, what: &str, is_so: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !is_so() {
        assert!(began.elapsed().as_secs() < 60, "waited in vain for {what}: {:?}", disk.figures());
        let pause = disk.maintain().unwrap();
        std::thread::sleep(pause.unwrap_or_default().min(std::time::Duration::from_millis(100)));
    }
}
