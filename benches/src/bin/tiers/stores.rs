//! Other stores of values on disk that `sustained` measures, bounded in the plainest way: when there are as many values as the bound
//! has room for, the oldest goes for each that comes.

use crate::cache::Folder;
use crate::disk::{scattered, VALUE};
use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions};
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub trait Store {
    /// Stores the value of a key, of which this is the number; numbers rise by one.
    fn put(&mut self, number: usize, key: &[u8], value: &[u8]);
    fn finish(&mut self) {}
    fn evicted(&self) -> usize;
}

/// A value each, under a name made of its key, in one of 256 folders; replaced by renaming, so that no reader sees half of one.
pub struct Files {
    folder: PathBuf,
    most: usize,
    evicted: usize,
}

impl Files {
    pub fn open(folder: &Folder, bound: usize) -> Result<Files, String> {
        let folder = folder.path().join("files");
        for part in 0..256 {
            fs::create_dir_all(folder.join(format!("{part:02x}"))).map_err(|error| error.to_string())?;
        }
        Ok(Files { folder, most: bound / VALUE, evicted: 0 })
    }

    fn path(&self, number: usize, key: &[u8]) -> PathBuf {
        let name = String::from_utf8_lossy(key).replace(':', "-");
        self.folder.join(format!("{:02x}", number % 256)).join(name)
    }
}

impl Store for Files {
    fn put(&mut self, number: usize, key: &[u8], value: &[u8]) {
        let unfinished = self.folder.join("unfinished");
        File::create(&unfinished).and_then(|mut file| file.write_all(value)).expect("a file");
        fs::rename(&unfinished, self.path(number, key)).expect("a name");
        if let Some(oldest) = number.checked_sub(self.most) {
            fs::remove_file(self.path(oldest, scattered(oldest).bytes())).expect("the oldest file");
            self.evicted += 1;
        }
    }

    fn evicted(&self) -> usize {
        self.evicted
    }
}

/// Values in one transaction: as many as ours writes in one at most.
const TOGETHER: usize = 1024;

/// As much as SQLite's `synchronous = NORMAL` gives: what was committed before the last sync is safe.
const SYNC: Duration = Duration::from_secs(1);

/// Keys in a B-tree whose pages are mapped into memory.
pub struct Lmdb {
    env: Env,
    database: Database<Bytes, Bytes>,
    /// The next transaction: numbers, keys and values.
    waiting: Vec<(usize, Vec<u8>, Vec<u8>)>,
    synced: Instant,
    most: usize,
    evicted: usize,
}

impl Lmdb {
    pub fn open(folder: &Folder, bound: usize) -> Result<Lmdb, String> {
        let path = folder.path().join("lmdb");
        fs::create_dir(&path).map_err(|error| error.to_string())?;
        let text = |error: heed::Error| error.to_string();
        let mut options = EnvOpenOptions::new();
        // Room for pages that are half empty; the bound is on the values.
        options.map_size(4 * bound);
        // SAFETY: without syncing, a crash of the machine may damage the file; nobody else has it, and it goes with the run.
        let env = unsafe { options.flags(EnvFlags::NO_SYNC).open(&path) }.map_err(text)?;
        let mut transaction = env.write_txn().map_err(text)?;
        let database = env.create_database(&mut transaction, None).map_err(text)?;
        transaction.commit().map_err(text)?;
        // A page of 4 KiB takes three of our values.
        let most = bound / (4096 / 3);
        Ok(Lmdb { env, database, waiting: Vec::new(), synced: Instant::now(), most, evicted: 0 })
    }

    fn commit(&mut self) {
        let mut transaction = self.env.write_txn().expect("a transaction");
        for (number, key, value) in self.waiting.drain(..) {
            self.database.put(&mut transaction, &key, &value).expect("room");
            if let Some(oldest) = number.checked_sub(self.most) {
                self.database.delete(&mut transaction, scattered(oldest).bytes()).expect("the oldest");
                self.evicted += 1;
            }
        }
        transaction.commit().expect("a commit");
        if self.synced.elapsed() >= SYNC {
            self.env.force_sync().expect("a sync");
            self.synced = Instant::now();
        }
    }
}

impl Store for Lmdb {
    fn put(&mut self, number: usize, key: &[u8], value: &[u8]) {
        self.waiting.push((number, key.to_vec(), value.to_vec()));
        if self.waiting.len() == TOGETHER {
            self.commit();
        }
    }

    fn finish(&mut self) {
        self.commit();
        self.env.force_sync().expect("a sync");
    }

    fn evicted(&self) -> usize {
        self.evicted
    }
}
