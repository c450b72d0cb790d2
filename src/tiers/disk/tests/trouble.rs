//! What goes wrong while the tier is in use: no room, no permission, no file. Each is a fault, and gone with its cause.

use super::{get, open, options, processes, put, put_of, TemporaryFolder, MIB};
use crate::tiers::disk::Disk;
use crate::tiers::{FaultKind, Tier as _};
use std::fs;
use std::process::Command;

/// Something that is mounted until this is dropped.
struct Mounted<'a>(&'a str);

impl<'a> Mounted<'a> {
    /// `None` where mounting is not possible, as for users who are not root and in most containers.
    fn new(arguments: &[&str], at: &'a str) -> Option<Self> {
        let mounted = Command::new("mount").args(arguments).arg(at).output().is_ok_and(|done| done.status.success());
        mounted.then_some(Self(at))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l", self.0]).output();
    }
}

/// Writes until there is a fault, which is returned.
fn fill(disk: &Disk, value_len: usize) -> crate::tiers::Fault {
    let value = vec![9; value_len];
    for number in 0..10_000_u32 {
        let key = number.to_le_bytes();
        if let Err(fault) = disk.write(&mut [put_of(&key, &value)]) {
            return fault;
        }
    }
    panic!("there was room for everything");
}

#[test]
fn a_full_file_system_is_a_fault_and_no_more_once_there_is_room() {
    let folder = TemporaryFolder::new("full");
    let at = folder.join("mounted");
    fs::create_dir(&at).unwrap();
    let Some(_mounted) = Mounted::new(&["-t", "tmpfs", "-o", "size=6m,mode=0700", "tmpfs"], &at) else {
        return;
    };
    let mut options = options(&folder, 64 * MIB);
    options.path = Some(folder.join("mounted/values"));
    let disk = Disk::open(&options).unwrap();
    let stuffing = folder.join("mounted/stuffing");
    put(&disk, b"first", b"value");
    fs::write(&stuffing, vec![1; 2 << 20]).unwrap();
    assert_eq!(fill(&disk, 20_000).kind, FaultKind::Full);
    assert_eq!(get(&disk, b"first").unwrap(), b"value");
    let _ = fs::write(folder.join("mounted/more"), vec![1; 6 << 20]);
    assert_eq!(disk.probe().unwrap_err().kind, FaultKind::Full);
    assert_eq!(get(&disk, b"first").unwrap(), b"value");
    fs::remove_file(folder.join("mounted/more")).unwrap();
    fs::remove_file(&stuffing).unwrap();
    disk.probe().unwrap();
    put(&disk, b"after", b"value");
    assert_eq!(get(&disk, b"after").unwrap(), b"value");
    assert_eq!(disk.figures().set_aside, 0);
    drop(disk);
    assert!(processes::is_sound(&folder.path().join("mounted/values/cache.db")));
    // One that begins when there is no room at all is opened, and works when there is.
    fs::remove_dir_all(folder.join("mounted/values")).unwrap();
    let _ = fs::write(&stuffing, vec![1; 7 << 20]);
    let disk = Disk::open(&options).unwrap();
    assert_eq!(disk.write(&mut [put_of(b"k", b"v")]).unwrap_err().kind, FaultKind::Full);
    assert_eq!(disk.read(&[b"k"]).unwrap_err().kind, FaultKind::Full);
    fs::remove_file(&stuffing).unwrap();
    put(&disk, b"k", b"v");
    assert_eq!(get(&disk, b"k").unwrap(), b"v");
}

/// A limit on the size of files, where file systems cannot be made: of a process of its own.
#[test]
fn a_limit_on_the_size_of_files_is_a_fault_and_no_more_once_it_is_lifted() {
    let folder = TemporaryFolder::new("limit");
    processes::Child::start("trouble::child_with_a_limit", &folder).succeeds();
    let disk = open(&folder, 64 * MIB);
    assert_eq!(get(&disk, b"first").unwrap(), b"value");
    assert_eq!(get(&disk, b"after").unwrap(), b"value");
}

#[test]
#[ignore = "a process of the test above"]
#[allow(unsafe_code)]
fn child_with_a_limit() {
    let Some(folder) = processes::folder_of_child() else { return };
    let mut options = crate::options::Options::new().disk;
    options.path = Some(folder);
    let disk = Disk::open(&options).unwrap();
    put(&disk, b"first", b"value");
    let limit = |bytes| {
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: reads a struct of this function's.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
    };
    // SAFETY: no handler is installed; the signal is not wanted, so that a write fails instead.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    limit(2 << 20);
    assert_eq!(fill(&disk, 20_000).kind, FaultKind::Full);
    assert_eq!(get(&disk, b"first").unwrap(), b"value");
    limit(libc::RLIM_INFINITY);
    disk.probe().unwrap();
    put(&disk, b"after", b"value");
}

#[test]
fn a_read_only_file_system_is_a_fault_and_reads_go_on() {
    let folder = TemporaryFolder::new("read-only");
    let at = folder.join("mounted");
    fs::create_dir(&at).unwrap();
    let Some(_mounted) = Mounted::new(&["-t", "tmpfs", "-o", "size=20m,mode=0700", "tmpfs"], &at) else {
        return;
    };
    let mut options = options(&folder, 64 * MIB);
    options.path = Some(folder.join("mounted/values"));
    let disk = Disk::open(&options).unwrap();
    put(&disk, b"k", b"v");
    assert_eq!(get(&disk, b"k").unwrap(), b"v");
    let remount = |how| Command::new("mount").args(["-o", how]).arg(&at).output().unwrap().status.success();
    // Refused while files are open for writing, as ours are but for a moment.
    let held = disk.hold();
    let is_read_only = remount("remount,ro");
    drop(held);
    if !is_read_only {
        return;
    }
    assert_eq!(disk.write(&mut [put_of(b"k", b"new")]).unwrap_err().kind, FaultKind::Refused);
    assert!(disk.probe().is_err());
    assert!(Disk::open(&options).is_ok(), "a reason that may pass is none to refuse");
    assert!(remount("remount,rw"));
    disk.probe().unwrap();
    assert_eq!(get(&disk, b"k").unwrap(), b"v");
    put(&disk, b"k", b"new");
}

#[test]
fn a_folder_that_is_removed_is_made_anew() {
    let folder = TemporaryFolder::new("removed");
    let disk = open(&folder, 64 * MIB);
    put(&disk, b"k", b"v");
    assert!(get(&disk, b"k").is_some());
    fs::remove_dir_all(folder.join("values")).unwrap();
    put(&disk, b"other", b"v");
    assert_eq!(get(&disk, b"k"), None, "a value of the file that was removed");
    drop(disk);
    assert_eq!(get(&open(&folder, 64 * MIB), b"other").unwrap(), b"v");
}

#[test]
fn a_folder_that_cannot_be_made_anew_is_a_fault_until_it_can() {
    let folder = TemporaryFolder::new("parent");
    let mut options = options(&folder, 64 * MIB);
    options.path = Some(folder.join("parent/values"));
    let disk = Disk::open(&options).unwrap();
    put(&disk, b"k", b"v");
    fs::remove_dir_all(folder.join("parent")).unwrap();
    assert_eq!(disk.write(&mut [put_of(b"k", b"v")]).unwrap_err().kind, FaultKind::Unreachable);
    assert!(disk.probe().is_err() && disk.maintain().is_err());
    fs::create_dir(folder.join("parent")).unwrap();
    disk.probe().unwrap();
    put(&disk, b"k", b"new");
    assert_eq!(get(&disk, b"k").unwrap(), b"new");
}

#[test]
fn a_file_that_is_replaced_is_the_one_that_counts() {
    let (folder, other) = (TemporaryFolder::new("replaced"), TemporaryFolder::new("replacing"));
    let disk = open(&folder, 64 * MIB);
    put(&disk, b"k", b"old");
    assert!(get(&disk, b"k").is_some());
    put(&open(&other, 64 * MIB), b"k", b"new");
    fs::rename(other.join("values/cache.db"), folder.join("values/cache.db")).unwrap();
    // What belongs to the former file and not to this one.
    fs::remove_file(folder.join("values/cache.db-wal")).unwrap();
    fs::remove_file(folder.join("values/cache.db-shm")).unwrap();
    disk.maintain().unwrap();
    assert_eq!(get(&disk, b"k").unwrap(), b"new");
    put(&disk, b"later", b"v");
    assert_eq!((get(&disk, b"later").unwrap(), disk.figures().set_aside), (b"v".to_vec(), 0));
    fs::remove_file(folder.join("values/cache.db")).unwrap();
    disk.maintain().unwrap();
    assert_eq!(get(&disk, b"k"), None, "a value of the file that was removed");
    put(&disk, b"k", b"v");
    assert_eq!(get(&open(&folder, 64 * MIB), b"k").unwrap(), b"v");
}

#[test]
fn a_symlink_in_place_of_the_folder_is_not_followed() {
    let folder = TemporaryFolder::new("swapped");
    let disk = open(&folder, 64 * MIB);
    put(&disk, b"k", b"v");
    fs::rename(folder.join("values"), folder.join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(folder.join("elsewhere"), folder.join("values")).unwrap();
    drop(disk.hold());
    assert_eq!(disk.write(&mut [put_of(b"k", b"v")]).unwrap_err().kind, FaultKind::Refused);
    assert_eq!(disk.read(&[b"k"]).unwrap_err().kind, FaultKind::Refused);
}

#[test]
fn a_read_that_never_ends_stops_writes_before_they_fill_the_disk() {
    let folder = TemporaryFolder::new("endless");
    let disk = open(&folder, 4 * MIB);
    put(&disk, b"k", b"v");
    let reader = rusqlite::Connection::open(folder.join("values/cache.db")).unwrap();
    // As of a process that was stopped in the middle of a read.
    reader.execute_batch("BEGIN; SELECT count(*) FROM entries;").unwrap();
    // Each waits for the reader for a while, so few and long ones.
    assert_eq!(fill(&disk, 100_000).kind, FaultKind::TimedOut);
    let length = fs::metadata(folder.join("values/cache.db-wal")).unwrap().len();
    assert!(length <= 5 * MIB, "{length}");
    assert!((0..1_000_u32).any(|number| get(&disk, &number.to_le_bytes()).is_some()), "reads go on");
    reader.execute_batch("COMMIT").unwrap();
    put(&disk, b"k", b"new");
    assert!(disk.figures().bytes <= 4 * MIB / 20 * 21, "{:?}", disk.figures());
}
