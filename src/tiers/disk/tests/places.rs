//! Where the file is: folders and files that are made, closed to others, refused or set aside.

use super::{get, open, options, processes, put, TemporaryFolder, MIB};
use crate::error::{Error, Status};
use crate::tiers::disk::Disk;
use crate::tiers::Tier as _;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{symlink, PermissionsExt as _};
use std::path::Path;

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn refused(folder: &TemporaryFolder) -> Error {
    let error = Disk::open(&options(folder, 64 * MIB)).err().expect("it was not refused");
    assert_eq!(error.status(), Status::InvalidOption);
    assert!(error.message().contains("`disk.path`"), "{error}");
    error
}

fn set_aside_in(folder: &TemporaryFolder) -> usize {
    let names = fs::read_dir(folder.path().join("values")).unwrap().map(|entry| entry.unwrap().file_name());
    names
        .filter(|name| {
            name.to_str()
                .is_some_and(|name| name.contains("set-aside") && !name.ends_with("-wal") && !name.ends_with("-shm"))
        })
        .count()
}

#[test]
fn folders_and_files_are_ours_alone() {
    let folder = TemporaryFolder::new("modes");
    let mut options = options(&folder, 64 * MIB);
    options.path = Some(folder.join("a/b/values"));
    let disk = Disk::open(&options).unwrap();
    put(&disk, b"k", b"v");
    get(&disk, b"k");
    for part in ["a", "a/b", "a/b/values"] {
        assert_eq!(mode(folder.join(part)), 0o700, "{part}");
    }
    for file in ["cache.db", "cache.db-wal", "cache.db-shm", "cache.lock"] {
        assert_eq!(mode(folder.join(&format!("a/b/values/{file}"))), 0o600, "{file}");
    }
    drop(disk);
    set_mode(folder.join("a/b/values"), 0o755);
    set_mode(folder.join("a/b/values/cache.db"), 0o644);
    let disk = Disk::open(&options).unwrap();
    assert_eq!(get(&disk, b"k").unwrap(), b"v");
    assert_eq!((mode(folder.join("a/b/values")), mode(folder.join("a/b/values/cache.db"))), (0o700, 0o600));
}

#[test]
fn the_umask_does_not_matter() {
    for umask in [0, 0o777] {
        let folder = TemporaryFolder::new("umask");
        // It is the whole process's.
        processes::Child::numbered("processes::child_with_a_umask", &folder, umask).succeeds();
        assert_eq!(mode(folder.join("values")), 0o700);
        for file in ["cache.db", "cache.db-wal", "cache.db-shm", "cache.lock"] {
            assert_eq!(mode(folder.join(&format!("values/{file}"))), 0o600, "{file} with {umask:o}");
        }
    }
}

#[test]
fn an_open_folder_with_other_things_in_it_is_refused_and_left_alone() {
    let folder = TemporaryFolder::new("shared");
    let values = folder.join("values");
    fs::create_dir(&values).unwrap();
    set_mode(&values, 0o755);
    File::create(folder.join("values/letters.txt")).unwrap();
    assert!(refused(&folder).message().contains("open to other users"));
    assert_eq!(mode(&values), 0o755);
    set_mode(&values, 0o700);
    open(&folder, 64 * MIB);
}

#[test]
fn symlinks_and_things_that_are_no_folder_are_refused() {
    let folder = TemporaryFolder::new("links");
    fs::create_dir(folder.join("elsewhere")).unwrap();
    symlink(folder.join("elsewhere"), folder.join("values")).unwrap();
    assert!(refused(&folder).message().contains("symlink"));
    fs::remove_file(folder.join("values")).unwrap();
    fs::write(folder.join("values"), "text").unwrap();
    assert!(refused(&folder).message().contains("no folder"));
    fs::remove_file(folder.join("values")).unwrap();
    fs::create_dir(folder.join("values")).unwrap();
    for name in ["cache.db", "cache.db-wal", "cache.db-shm", "cache.lock"] {
        symlink(folder.join("elsewhere"), folder.join(&format!("values/{name}"))).unwrap();
        let error = refused(&folder);
        assert!(error.message().contains(name) && error.message().contains("symlink"), "{error}");
        fs::remove_file(folder.join(&format!("values/{name}"))).unwrap();
    }
    fs::create_dir(folder.join("values/cache.db")).unwrap();
    assert!(refused(&folder).message().contains("no ordinary file"));
}

#[test]
fn a_symlink_above_the_folder_is_followed() {
    let folder = TemporaryFolder::new("above");
    fs::create_dir(folder.join("elsewhere")).unwrap();
    symlink(folder.join("elsewhere"), folder.join("link")).unwrap();
    let mut options = options(&folder, 64 * MIB);
    options.path = Some(folder.join("link/values"));
    let disk = Disk::open(&options).unwrap();
    put(&disk, b"k", b"v");
    assert!(Path::new(&folder.join("elsewhere/values/cache.db")).exists());
}

#[test]
fn what_belongs_to_somebody_else_is_refused() {
    let folder = TemporaryFolder::new("owner");
    let values = folder.join("values");
    fs::create_dir(&values).unwrap();
    if std::os::unix::fs::chown(&values, Some(12_345), None).is_err() {
        // Only root can give a folder away.
        return;
    }
    assert!(refused(&folder).message().contains("belongs to user 12345"));
    std::os::unix::fs::chown(&values, Some(0), None).unwrap();
    put(&open(&folder, 64 * MIB), b"k", b"v");
    std::os::unix::fs::chown(folder.join("values/cache.db"), Some(12_345), None).unwrap();
    let error = refused(&folder);
    assert!(error.message().contains("cache.db") && error.message().contains("12345"), "{error}");
}

#[test]
fn a_folder_that_cannot_be_made_is_refused() {
    let folder = TemporaryFolder::new("impossible");
    fs::write(folder.join("file"), "text").unwrap();
    let mut options = options(&folder, 64 * MIB);
    for path in [folder.join("file/values"), "/".into(), "/proc/values".into(), folder.join(&"x".repeat(300))] {
        options.path = Some(path);
        let error = Disk::open(&options).err().expect("it was not refused");
        assert_eq!(error.status(), Status::InvalidOption);
        assert!(error.message().contains("`disk.path`"), "{error}");
    }
}

/// Makes what is in the file something else, and looks what becomes of it.
fn spoiled(name: &str, spoil: impl FnOnce(&Path)) {
    let folder = TemporaryFolder::new(name);
    let disk = open(&folder, 64 * MIB);
    let value = vec![5; 1000];
    for number in 0..500_u32 {
        put(&disk, &number.to_le_bytes(), &value);
    }
    drop(disk);
    let path = folder.path().join("values/cache.db");
    spoil(&path);
    let disk = open(&folder, 64 * MIB);
    assert_eq!(get(&disk, &1_u32.to_le_bytes()), None);
    put(&disk, b"k", b"v");
    assert_eq!(disk.figures().set_aside, 1);
    assert_eq!(set_aside_in(&folder), 1);
    drop(disk);
    let disk = open(&folder, 64 * MIB);
    assert_eq!(get(&disk, b"k").unwrap(), b"v");
    assert_eq!((disk.figures().set_aside, set_aside_in(&folder)), (0, 1));
}

fn change(path: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute_batch(sql).unwrap();
}

#[test]
fn a_file_that_is_no_sqlite_file_is_set_aside() {
    spoiled("garbage", |path| fs::write(path, b"This is a letter. ".repeat(1000)).unwrap());
    spoiled("empty", |path| fs::write(path, b"").unwrap());
}

#[test]
fn a_file_that_was_cut_off_is_set_aside() {
    spoiled("cut", |path| {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    });
}

#[test]
fn a_file_of_another_program_is_set_aside() {
    spoiled("foreign", |path| change(path, "PRAGMA application_id = 1"));
    spoiled("tables", |path| change(path, "DROP TABLE settled"));
}

#[test]
fn a_file_of_a_later_version_is_set_aside() {
    spoiled("later", |path| change(path, "PRAGMA user_version = 2"));
}

#[test]
fn a_file_whose_pages_were_overwritten_is_set_aside_by_who_meets_that() {
    let folder = TemporaryFolder::new("pages");
    let disk = open(&folder, 64 * MIB);
    let value = vec![5; 1000];
    for number in 0..2000_u32 {
        put(&disk, &number.to_le_bytes(), &value);
    }
    drop(disk);
    let path = folder.path().join("values/cache.db");
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    // In the middle, where opening does not look.
    let length = file.metadata().unwrap().len();
    file.seek(SeekFrom::Start(length / 3)).unwrap();
    file.write_all(&vec![0xEE; length as usize / 3]).unwrap();
    drop(file);
    let disk = open(&folder, 64 * MIB);
    assert_eq!(disk.figures().set_aside, 0);
    let met = (0..2000_u32).find_map(|number| disk.read(&[&number.to_le_bytes()]).err());
    assert_eq!(met.expect("nobody has met it").kind, crate::tiers::FaultKind::Damaged);
    disk.probe().unwrap();
    assert_eq!((disk.figures().set_aside, set_aside_in(&folder)), (1, 1));
    put(&disk, b"k", b"v");
    assert_eq!(get(&disk, b"k").unwrap(), b"v");
}

#[test]
fn no_more_than_three_files_are_kept_aside() {
    let folder = TemporaryFolder::new("three");
    for _ in 0..6 {
        put(&open(&folder, 64 * MIB), b"k", b"v");
        fs::write(folder.join("values/cache.db"), b"This is a letter. ").unwrap();
        assert_eq!(open(&folder, 64 * MIB).figures().set_aside, 1);
    }
    assert_eq!(set_aside_in(&folder), 3);
}

#[test]
fn two_that_find_the_same_file_damaged_set_it_aside_once() {
    let folder = TemporaryFolder::new("both");
    let (one, other) = (open(&folder, 64 * MIB), open(&folder, 64 * MIB));
    put(&one, b"k", b"v");
    let ages = (one.shared.file.age(), other.shared.file.age());
    one.shared.file.is_damaged(ages.0);
    other.shared.file.is_damaged(ages.1);
    one.probe().unwrap();
    put(&one, b"k", b"new");
    other.probe().unwrap();
    assert_eq!(get(&other, b"k").unwrap(), b"new");
    assert_eq!((one.figures().set_aside, other.figures().set_aside), (1, 0));
    assert_eq!(set_aside_in(&folder), 1);
}
