//! The disk tier on real files, a subject a file; here is what they share.

mod basics;

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
    disk.read(&[key]).unwrap().pop().unwrap()
}
